"""What the HTTP API gives of the rows of a run, as pydantic models."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from dashboard.api.envelope import Answer, Page
from dashboard.rows.question import Found
from flows.records import Rejection as Rejected
from flows.records import RowState


class Row(Answer):
    """A row: what stands in the file, and what became of it."""

    row: int
    line: int
    state: RowState
    values: dict[str, Any] = Field(description="By column")
    attempts: int
    status: int | None = Field(description="HTTP status of the last answer")
    kept: dict[str, Any] = Field(description="What the pipeline keeps of the answer, by name")
    reason: str
    answer_excerpt: str
    took_seconds: float | None
    at: datetime | None

    @classmethod
    def of(cls, found: Found) -> Row:
        """From a row of the rowbook."""
        return cls.model_validate(_row(found))


class RowPage(Page[Row]):
    """Rows that fit, in the order asked for."""

    matching: int = Field(description="How many rows fit")
    note: str = Field("", description="Where what was asked for could not be done in full")


class Request(Answer):
    """A row's request as it goes out, with secrets masked. `problem` says why there is none."""

    method: str
    url: str
    headers: dict[str, str]
    body: str
    problem: str = ""


class RowDetail(Row):
    """A row with its request; null for a rejected row."""

    request: Request | None = None

    @classmethod
    def of(cls, found: Found, request: Request | None = None) -> RowDetail:
        """From a row of the rowbook."""
        return cls.model_validate({**_row(found), "request": request})


class Reason(Answer):
    """Why a row was rejected; `column` is empty where the whole row is at fault."""

    column: str
    check: str
    value: str


class Rejection(Answer):
    """A row that was refused, and why."""

    row: int
    line: int
    reasons: list[Reason]
    cells: list[str]

    @classmethod
    def of(cls, rejection: Rejected) -> Rejection:
        """From the ledger's sample of it."""
        reasons = [Reason(column=each.column, check=each.check, value=each.value) for each in rejection.reasons]
        return cls(row=rejection.row, line=rejection.line, reasons=reasons, cells=list(rejection.cells))


class Preview(Answer):
    """What a check found: the first rejected rows, the first requests, and the shortest time it can take."""

    rejections: list[Rejection]
    requests: list[Request]
    rows_to_send: int
    seconds: float | None
    runs_with_same_content: list[str]


class Result(Answer):
    """A row and what became of it; the columns, what was kept of the answer and reasons are beside these, by name."""

    model_config = ConfigDict(extra="allow")

    row: int
    line: int
    result: RowState | Literal["skipped"] = Field(description="skipped: left out, as an earlier run delivered it")


class Results(Answer):
    """Every row, in the order of the file."""

    result: list[Result]


def _row(found: Found) -> dict[str, Any]:
    at = found.record.at
    return found.as_object() | {"at": datetime.fromtimestamp(at, UTC) if at else None}
