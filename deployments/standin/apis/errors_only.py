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
    knows = ("busy", "bad", "twice", "stray")

    def respond(self, arrival: Arrival, sent: Any) -> Answer:
        """`stray`: the row is refused under an index that nobody sent, so that nobody knows which one is meant.

        `twice`: two errors of one row, of which one is final.
        """
        emails = [str(row["email"]) for row in sent["contacts"]]
        if refused := self.too_many(emails):
            return refused
        errors = [error for at, email in enumerate(emails) for error in self._write(at, email)]
        spoken = {error["index"] for error in errors}
        if any(at >= len(emails) for at in spoken):
            self.book.doubt([email for at, email in enumerate(emails) if at not in spoken])
        return answer(self.status(200), {"imported": len(emails) - len(spoken), "errors": errors})

    def _write(self, at: int, email: str) -> list[dict[str, Any]]:
        locked = {"index": at, "code": "locked", "message": "Try this row again"}
        word = self.book.judge(email)
        if word in ("bad", "twice", "stray"):
            index = at + 1000 if word == "stray" else at
            blocked = {"index": index, "code": "blocked", "message": self.book.refuse(email)}
            return [locked, blocked] if word == "twice" else [blocked]
        if word == "busy":
            return [locked]
        self.book.create(email)
        return []
