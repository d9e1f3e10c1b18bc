"""A list in, and out only what was refused: {"errors": [{"index": 3, "message": …}]}. The rest was taken."""

from __future__ import annotations

from typing import Any

from deployments.standin.answer import Answer, answer
from deployments.standin.apis.batch import Batches
from deployments.standin.arrivals import Arrival


class ErrorsOnly(Batches):
    """POST /contacts/import {"contacts": [{"email": …, "name": …}, …]}. `index` counts from 0."""

    name = "errors_only"
    path = "/contacts/import"
    knows = ("busy", "bad", "stray")

    def respond(self, arrival: Arrival, sent: Any) -> Answer:
        """`stray`: the row is refused under an index that nobody sent, so that nobody knows which one is meant."""
        emails = [str(row["email"]) for row in sent["contacts"]]
        if refused := self.too_many(emails):
            return refused
        errors = [error for at, email in enumerate(emails) if (error := self._write(at, email))]
        spoken = {error["index"] for error in errors}
        if any(at >= len(emails) for at in spoken):
            self.book.doubt([email for at, email in enumerate(emails) if at not in spoken])
        return answer(self.status(200), {"imported": len(emails) - len(errors), "errors": errors})

    def _write(self, at: int, email: str) -> dict[str, Any] | None:
        match self.book.judge(email):
            case "busy":
                return {"index": at, "code": "locked", "message": "Try this row again"}
            case "bad":
                return {"index": at, "code": "blocked", "message": self.book.refuse(email)}
            case "stray":
                return {"index": at + 1000, "code": "blocked", "message": self.book.refuse(email)}
        self.book.create(email)
        return None
