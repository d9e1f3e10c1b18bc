"""What APIs have in common that take many rows in one request."""

from __future__ import annotations

from typing import Any

from deployments.standin.answer import Answer, answer
from deployments.standin.apis.api import Api


class Batches(Api):
    """An API whose requests hold rows, each with an `email`."""

    def too_many(self, rows: list[Any]) -> Answer | None:
        """The refusal of a batch that is too long or has nothing in it."""
        if 0 < len(rows) <= self.knobs.batch_rows:
            return None
        return answer(413 if rows else 400, {"message": f"A batch has 1 to {self.knobs.batch_rows} rows"})
