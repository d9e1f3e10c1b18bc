"""What is asked of a run's rows, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flows.export.layout import OF_A_PARCEL
from flows.ledger.keys import Record
from flows.ledger.parcels import Place
from flows.records import Reason, Rejection

WRONG, SKIPPED = "wrong", "skipped"  # the two kinds of rejected rows, see `Run.wrong` and `Run.skipped`


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for. `states` are row states, WRONG or SKIPPED; none: all.

    `column` bounds the search: a name, `@row`, `@line`, or "" for anywhere. `reason`: what is wrong, letter by letter.
    `sort` is the name of a column, `@row`, or one of choice.OUTCOMES.
    """

    states: tuple[str, ...] = ()
    search: str = ""
    column: str = ""
    sort: str = ""
    descending: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """One row with all that is known of it. `reasons` only where it was rejected."""

    record: Record
    line: int
    values: dict[str, Any]
    reasons: tuple[Reason, ...] = ()
    changed: Mapping[str, str] = field(default_factory=dict)  # what a person mended: what stood in the file, by column
    stands: str = ""  # where it stands in the file, in words: line 17, Sheet1!A17
    place: Place | None = None  # the parcel that it last went in, and its position there; only with `batch`

    @property
    def why(self) -> str:
        """The reason in words, for rows that are not done."""
        return "; ".join(map(str, self.reasons)) or self.record.reason

    def as_object(self) -> dict[str, Any]:
        """All of it by name; `at` in Unix seconds."""
        record = self.record
        return (
            {
                "row": record.row,
                "line": self.line,
                "place": self.stands,
                "state": record.state,
                "values": self.values,
                "attempts": record.attempts,
                "status": record.status,
                "kept": record.kept,
                "reason": self.why,
                "answer_excerpt": record.excerpt,
                "took_seconds": record.took_seconds,
                "at": record.at,
            }
            | ({"changed": dict(self.changed)} if self.changed else {})
            | (dict(zip(OF_A_PARCEL, self.place, strict=True)) if self.place else {})
        )

    @property
    def skipped(self) -> bool:
        """Whether it is a good row that was left out because an earlier run delivered it."""
        return Rejection(self.record.row, self.line, self.reasons, ()).skipped


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its rows, how many fit in all, which page of how many."""

    rows: list[Found]
    matching: int
    number: int
    pages: int
    note: str = ""
