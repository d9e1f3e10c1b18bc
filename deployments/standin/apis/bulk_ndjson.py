"""Lines in, as a search engine's _bulk: two a row; 200 with `errors` and an item a row, in order."""

from __future__ import annotations

from typing import Any

import msgspec

from deployments.standin.answer import Answer, answer
from deployments.standin.apis.batch import Batches
from deployments.standin.arrivals import Arrival


class BulkNdjson(Batches):
    """POST /contacts/_bulk, lines {"index": {"_id": …}} and {"email": …, "name": …} by turns.

    A document that is indexed again counts as updated. The body ends with a newline, or it is refused.
    """

    name = "bulk_ndjson"
    path = "/contacts/_bulk"
    takes = ("application/x-ndjson", "application/json")
    knows = ("busy", "bad")

    def _parse(self, body: bytes) -> Any:
        if not body.endswith(b"\n"):
            raise msgspec.DecodeError("The bulk request must be terminated by a newline")
        return [msgspec.json.decode(line) for line in body.splitlines()]

    def respond(self, arrival: Arrival, sent: Any) -> Answer:
        """`busy`: 429 for the item, which was not executed."""
        actions, documents = sent[::2], sent[1::2]
        if len(actions) != len(documents):
            return answer(400, _error(400, "an action without a document"))
        if refused := self.too_many(actions):
            return refused
        names, emails = [str(each["index"]["_id"]) for each in actions], [str(row["email"]) for row in documents]
        items = [self._write(name, email) for name, email in zip(names, emails, strict=True)]
        wrong = any("error" in item for item in items)
        return answer(self.status(200), {"took": 1, "errors": wrong, "items": [{"index": item} for item in items]})

    def _write(self, name: str, email: str) -> dict[str, Any]:
        match self.book.judge(email):
            case "busy":
                return {"_id": name, **_error(429, "rejected execution: queue is full")}
            case "bad":
                return {"_id": name, **_error(400, self.book.refuse(email))}
        if self.book.entry(email).ids:
            self.book.update(email)
            return {"_id": name, "status": 200, "result": "updated"}
        self.book.create(email)
        return {"_id": name, "status": 201, "result": "created"}


def _error(status: int, reason: str) -> dict[str, Any]:
    kind = "es_rejected_execution_exception" if status == 429 else "document_parsing_exception"
    return {"status": status, "error": {"type": kind, "reason": reason}}
