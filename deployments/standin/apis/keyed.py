"""An object in, by keys that the client chooses, and an object out with an entry a key."""

from __future__ import annotations

from typing import Any

from deployments.standin.answer import Answer, answer
from deployments.standin.apis.batch import Batches
from deployments.standin.arrivals import Arrival


class Keyed(Batches):
    """PUT or POST /contacts/batch {"contacts": {KEY: {"email": …, "name": …}, …}}.

    It does not look whether a key was there before: what is sent twice is created twice, and counted.
    """

    name = "keyed"
    path = "/contacts/batch"
    knows = ("busy", "bad", "mute", "stray")

    def respond(self, arrival: Arrival, sent: Any) -> Answer:
        """`mute`: written, without an entry. `stray`: written, with an entry under a key that nobody sent."""
        rows = {key: str(row["email"]) for key, row in sent["contacts"].items()}
        if refused := self.too_many(list(rows)):
            return refused
        results = {}
        for key, email in reversed(rows.items()):  # the order is not the one in which they were sent
            word = self.book.judge(email)
            if said := self._write(email, word):
                results["stray-" + key if word == "stray" else key] = said
        return answer(self.status(200), {"results": results})

    def _write(self, email: str, word: str) -> dict[str, Any] | None:
        if word == "busy":
            return {"status": "locked", "detail": "Try this row again"}
        if word == "bad":
            return {"status": "error", "detail": self.book.refuse(email)}
        made = {"status": "created", "id": self.book.create(email, "unknown" if word else "done")}
        return None if word == "mute" else made
