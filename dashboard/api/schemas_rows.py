"""What the HTTP API gives of the rows of a run, as pydantic models."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from dashboard.api.envelope import Answer, Page
from dashboard.rows import groups
from dashboard.rows.question import Found
from flows.records import Rejection as Rejected
from flows.records import RowState


class Row(Answer):
    """A row: what stands in the file, and what became of it."""

    row: int
    line: int
    place: str = Field("", description="Where it stands in the file: line 17, Sheet1!A17, [16]")
    state: RowState
    values: dict[str, Any] = Field(description="By column")
    attempts: int
    status: int | None = Field(description="HTTP status of the last answer")
    kept: dict[str, Any] = Field(description="What the pipeline keeps of the answer, by name")
    reason: str
    answer_excerpt: str
    took_seconds: float | None
    at: datetime | None
    parcel: str | None = Field(None, description="The request that it last went in; only where many rows travel in one")
    position: int | None = Field(None, description="Its place there, counted from 0")
    changed: dict[str, str] = Field({}, description="What a person mended: what stood in the file, by column")

    @classmethod
    def of(cls, found: Found) -> Row:
        """From a row of the rowbook."""
        return cls.model_validate(_row(found))


class RowPage(Page[Row]):
    """Rows that fit, in the order asked for."""

    matching: int = Field(description="How many rows fit")
    note: str = Field("", description="Where what was asked for could not be done in full")


class Group(Answer):
    """Rows that share what is wrong with them."""

    state: groups.State
    column: str = Field(description="Of rejected rows: whose cell was refused; empty where the whole row was")
    check: str = Field(description="What the cell must be, or why the row was not done")
    value: str = Field(description="Of rejected rows: what stands in the cell")
    cut: bool = Field(description="Whether only the beginning of a long value is told; it is changed row by row")
    reason: str = Field(description="All of it in words: what `/rows?reason=` takes")
    status: int | None = Field(description="Of rows that were sent: HTTP status of the last answer")
    rows: int
    first: int = Field(description="The first of its rows")
    place: str = Field("", description="Of rejected rows: where that row's cell stands, such as `Sheet1!D17`")
    likely: str | None = Field(None, description="Of a rejected cell: what it was likely meant to say, to be confirmed")


class GroupPage(Page[Group]):
    """Groups of rows, the largest first."""

    matching: int = Field(description="How many groups there are")
    note: str = Field("", description="Where not all rows could be looked at")


class Request(Answer):
    """A row's request as it goes out, with secrets masked. `problem` says why there is none."""

    method: str
    url: str
    headers: dict[str, str]
    body: str
    problem: str = ""
    title: str = Field("", description="Which rows it carries, and which of several steps it is")


class RowDetail(Row):
    """A row with its request; null for a rejected row."""

    request: Request | None = None
    requests: list[Request] = Field([], description="Of a pipeline with several steps: the request of each")
    parcel_rows: list[int] | None = Field(None, description="The rows of its parcel, in their order")

    @classmethod
    def of(cls, found: Found, requests: list[Request] | None = None, rows: list[int] | None = None) -> RowDetail:
        """From a row of the rowbook. `rows`: those of its parcel."""
        made = requests or []
        first = made[0] if made else None
        return cls.model_validate({**_row(found), "request": first, "requests": made, "parcel_rows": rows})


class Reason(Answer):
    """Why a row was rejected; `column` is empty where the whole row is at fault."""

    column: str
    check: str
    value: str
    place: str = Field(description="Where it stands in the file: line 17, Sheet1!D17, [16].price")


class Rejection(Answer):
    """A row that was refused, and why."""

    row: int
    line: int
    reasons: list[Reason]
    cells: list[str]

    @classmethod
    def of(cls, rejection: Rejected, place: Callable[[int, str], str]) -> Rejection:
        """From the ledger's sample of it. `place`: where the cell of a line and a column stands."""
        reasons = [
            Reason(column=each.column, check=each.check, value=each.value, place=place(rejection.line, each.column))
            for each in rejection.reasons
        ]
        return cls(row=rejection.row, line=rejection.line, reasons=reasons, cells=list(rejection.cells))


class NumberOfRequests(Answer):
    """How many requests the rows make, without what has to be repeated. `most`: null where that depends on the rows."""

    least: int
    most: int | None
    likely: int


class Preview(Answer):
    """What a check found: the first rejected rows, the first requests, and the shortest time it can take."""

    rejections: list[Rejection]
    requests: list[Request]
    rows_to_send: int
    requests_to_send: NumberOfRequests
    seconds: float | None
    runs_with_same_content: list[str]


class Result(Answer):
    """A row and what became of it; the columns, what was kept of the answer and reasons are beside these, by name."""

    model_config = ConfigDict(extra="allow")

    row: int
    line: int
    result: RowState | Literal["skipped"] = Field(
        description="skipped: left out, since it was delivered before or there is nothing to undo"
    )


class Results(Answer):
    """Every row, in the order of the file."""

    result: list[Result]


def _row(found: Found) -> dict[str, Any]:
    at = found.record.at
    return found.as_object() | {"at": datetime.fromtimestamp(at, UTC) if at else None}
