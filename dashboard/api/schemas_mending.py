"""What the HTTP API takes and gives of rejected rows that are mended, as pydantic models."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import Field

from dashboard.api.envelope import Answer, Body, Page
from flows.ledger.mends import Mend


class Change(Body):
    """One decision about rejected rows: `becomes` is the new text of a cell, `skip` leaves the rows out.

    `value`: of all cells of the column that hold it and were refused. `row`: of this row alone; a row that is skipped
    needs no `column`.
    """

    column: str | None = Field(None, examples=["country"])
    value: str | None = Field(None, description="What stands in the cells, letter by letter", examples=["Germany"])
    row: int | None = Field(None, ge=1, description="Number of a row, counted from 1")
    becomes: str | None = Field(None, examples=["DE"])
    skip: bool | None = Field(None, description="true: the rows stay rejected, and are not asked about any more")


class Mending(Body):
    """Changes of rejected rows, or the number of the document that is to be taken back: the last one in effect."""

    changes: list[Change] | None = Field(None, min_length=1, max_length=10_000)
    undo: int | None = Field(None, ge=1)


class Mended(Answer):
    """What a document came to. `accepted` rows of the `changed` ones can be sent now; the others are rejected still."""

    number: int = Field(description="Of the document; `undo` takes it")
    at: datetime
    by: str
    changes: list[Change] = Field(description="As they were sent")
    undo: int | None = Field(description="The document that this one took back")
    matched: list[int] = Field(description="To how many rows each of the changes was applied")
    changed: int
    accepted: int
    skipped: int

    @classmethod
    def of(cls, mend: Mend) -> Mended:
        """From what the ledger keeps of it."""
        found = {name: getattr(mend, name) for name in cls.model_fields}
        return cls.model_validate(found | {"at": datetime.fromtimestamp(mend.at, UTC)})


class MendedPage(Page[Mended]):
    """The documents by which rejected rows were mended, oldest first; what was taken back is among them."""

    map: str = Field(description="Lines of YAML that keep the changes by value in the pipeline, as `map`; empty: none")
