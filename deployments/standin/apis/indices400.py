"""All or nothing: one bad row has the whole batch refused with 400, which names the rows; nothing is created then."""

from __future__ import annotations

from typing import Any

from deployments.standin.answer import Answer, answer
from deployments.standin.apis.batch import Batches
from deployments.standin.arrivals import Arrival


class Indices400(Batches):
    """POST /contacts/batch {"records": [{"email": …, "name": …}, …]}; 200 with all ids, in order."""

    name = "indices400"
    path = "/contacts/batch"
    knows = ("busy", "bad")

    def respond(self, arrival: Arrival, sent: Any) -> Answer:
        """`busy`: the whole batch is put off with 409, once for each such row."""
        emails = [str(row["email"]) for row in sent["records"]]
        if refused := self.too_many(emails):
            return refused
        words = [self.book.judge(email) for email in emails]
        if "busy" in words:
            busy = {"code": "busy", "message": "Nothing was created, try again", "retry_after": self.knobs.wait_seconds}
            return answer(409, busy)
        if "bad" in words:
            return answer(400, {"message": "Nothing was created", "errors": self._errors(emails, words)})
        return answer(self.status(200), {"ids": [self.book.create(email) for email in emails]})

    def _errors(self, emails: list[str], words: list[str]) -> list[dict[str, Any]]:
        """Nothing is created: a bad row is failed from now on, and the others wait as they did."""
        return [
            {"index": at, "message": self.book.refuse(email)}
            for at, (email, word) in enumerate(zip(emails, words, strict=True))
            if word == "bad"
        ]
