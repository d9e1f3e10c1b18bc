"""A list in, a list out: 207 with the status of each row, in the order in which they were sent."""

from __future__ import annotations

from typing import Any

from deployments.standin.answer import Answer, answer
from deployments.standin.apis.batch import Batches
from deployments.standin.arrivals import Arrival


class Items207(Batches):
    """POST /contacts/batch [{"email": …, "name": …}, …]. With `ok_status` 200 the answer looks like a success."""

    name = "items207"
    path = "/contacts/batch"
    knows = ("busy", "bad", "mute", "blank")

    def respond(self, arrival: Arrival, sent: Any) -> Answer:
        """`mute`: the row is written and left out of the list, so that nobody knows whose the other items are.

        `blank`: the row is written, and its item is null.
        """
        emails = [str(row["email"]) for row in sent]
        if refused := self.too_many(emails):
            return refused
        items = [item for email in emails for item in self._write(email)]
        if len(items) < len(emails):
            self.book.doubt(emails)
        return answer(self.status(207), {"results": items})

    def _write(self, email: str) -> list[dict[str, Any] | None]:
        """The items of a row: one, or none."""
        match self.book.judge(email):
            case "busy":
                return [{"status": 429, "error": {"code": "rate_limited", "message": "Try this row again"}}]
            case "bad":
                return [{"status": 422, "error": {"code": "blocked", "message": self.book.refuse(email)}}]
            case "mute" | "blank" as word:
                self.book.create(email, "unknown")
                return [] if word == "mute" else [None]
        return [{"status": 201, "id": self.book.create(email)}]
