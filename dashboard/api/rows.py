"""Routes for the rows of a run: what the check found, rows by page, and all of them as a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from enum import StrEnum
from itertools import chain, islice
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import StreamingResponse

from dashboard import preview, run_list
from dashboard.api import schemas_rows as schemas
from dashboard.api.envelope import Cursor, cursor_of, place_of
from dashboard.api.problems import NotValid, raises
from dashboard.api.request import refuse_unknown
from dashboard.api.runs import OF_ROWS, begun, known
from dashboard.connections import settings, view
from dashboard.files.upload import harmless
from dashboard.refusals import NotFound, NotPossible
from dashboard.rows import choice, groups
from dashboard.rows.book import Rowbook
from dashboard.rows.question import Question
from flows.client.outlook import number_of_requests
from flows.errors import RunDeleted, RunNotFound
from flows.export.correctable import TROUBLED, troubled_csv
from flows.export.forms import FORMS
from flows.export.layout import layout_of
from flows.export.results import results
from flows.ledger.run import Run
from flows.limit.pace import expected_seconds
from flows.pipeline.file_form import bare_name
from flows.pipeline.meant import meant
from flows.pipeline.reading import from_resolved
from flows.records import Row, RowState
from flows.spool.spool import Spool

router = APIRouter(prefix="/runs/{run}", tags=["rows"])
States = Annotated[list[RowState] | None, Query(description="Only rows in these states; may be repeated")]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_OF_A_RUN = (RunNotFound, RunDeleted, NotPossible, *OF_ROWS)


class Form(StrEnum):
    """Forms of the results."""

    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


_TYPES = {Form.JSON: "application/json", Form.JSONL: "application/jsonl", Form.CSV: "text/csv; charset=utf-8"}
_LINES: dict[int | str, dict[str, Any]] = {200: {"content": {"application/jsonl": {"schema": {"type": "string"}}}}}
CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}


@router.get("/preview")
@raises(*_OF_A_RUN)
def preview_run(run: str) -> schemas.Preview:
    """What the check found, and the first requests as they would go out, secrets masked."""
    found, book = _book(run)
    terms = book.definition.terms
    ready = found.total - found.counts[RowState.REJECTED]
    first = book.spool.read(0, max(preview.MOST_SHOWN, book.definition.rows_per_request)) if ready else []
    shown = preview.first_requests(found.id, book.definition, first, settings(), found.facts.places)
    number = number_of_requests(book.definition, ready, first=len(shown[0].rows) if shown else 0)
    digest = found.facts.digest
    refused = view().samples(found.id)
    place = book.cell_places() if refused else None
    return schemas.Preview(
        rejections=[schemas.Rejection.of(each, place) for each in refused if place],
        requests=[_request(each) for each in shown],
        requests_to_send=schemas.NumberOfRequests.model_validate(number.as_object()),
        rows_to_send=ready,
        seconds=expected_seconds(number.likely, terms.windows),
        runs_with_same_content=[other.id for other in run_list.sent_before(view(), digest, but=found.id)],
    )


@router.get("/rows")
@raises(*_OF_A_RUN)
def list_rows(
    run: str,
    state: States = None,
    search: str = "",
    column: Annotated[str, Query(description="Bounds the search: a column's name, `@row` or `@line`")] = "",
    sort: Annotated[
        str, Query(description="A column's name, or `@row`, `@status`, `@attempts`, `@took_seconds`, `@at`")
    ] = "",
    descending: bool = False,
    reason: Annotated[str, Query(description="Only rows with this reason, as `groups` has it")] = "",
    cursor: Cursor = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> schemas.RowPage:
    """Rows in the order of the file, or as sorted. In the file's order each row comes once, also while rows move."""
    _, book = _book(run)
    refuse_unknown("`column`", [column], ("@row", "@line", *book.definition.column_names))
    refuse_unknown("`sort`", [sort], ("@row", *choice.OUTCOMES, *book.definition.column_names))
    after = place_of(cursor, tuple[Literal["row", "at"], _Count])
    question = Question(tuple(state or ()), search, column, sort, descending, reason)
    if after and (after[0] == "row") != choice.by_row(question):
        raise NotValid("`cursor` belongs to another order.", hint="Leave the other parameters as they were.")
    found, last = choice.following(book, question, after, limit)
    return schemas.RowPage(
        items=[schemas.Row.of(row) for row in found.rows],
        next=cursor_of(*last) if last else None,
        matching=found.matching,
        note=found.note,
    )


@router.get("/rows/{row}")
@raises(*_OF_A_RUN, NotFound)
def get_row(run: str, row: int) -> schemas.RowDetail:
    """One row, with its request as it goes out, secrets masked."""
    found, book = _book(run)
    if not 1 <= row <= found.total:
        raise NotFound(f"The run has rows 1 to {found.total}.")
    (each,) = book.rows([row])
    if each.record.state is RowState.REJECTED:
        return schemas.RowDetail.of(each)
    row_sent = Row(each.record.row, each.line, each.values)
    parcel = book.parcel(row) if each.place else []
    shown = preview.sent_as(found, book.definition, row_sent, each.record, settings(), parcel)
    rows = [other.row for other in parcel] or None
    return schemas.RowDetail.of(each, [_request(each) for each in shown], rows)


@router.get("/groups")
@raises(*_OF_A_RUN)
def list_groups(
    run: str,
    state: Annotated[groups.State, Query(description="Rows in this state")] = "rejected",
    cursor: Cursor = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> schemas.GroupPage:
    """Rejected, failed or unknown rows by what is wrong with them, the largest group first.

    A change by `column` and `value` mends a group of rejected rows; `/rows?reason=` lists the rows of any group.
    """
    _, book = _book(run)
    skip = place_of(cursor, tuple[_Count]) or (0,)
    found = groups.groups(book, state, skip=skip[0], limit=limit)
    last = skip[0] + len(found.items)
    return schemas.GroupPage(
        items=[_group(each, book) for each in found.items],
        next=cursor_of(last) if last < found.matching else None,
        matching=found.matching,
        note=found.note,
    )


def _group(group: groups.Group, book: Rowbook) -> schemas.Group:
    column = book.definition.columns.get(group.column) if group.by_value else None
    likely = meant(column, group.value) if column is not None else None
    return schemas.Group.model_validate(asdict(group) | {"likely": likely})


@router.get("/results.json", response_class=StreamingResponse, responses={200: {"model": schemas.Results}})
@raises(*_OF_A_RUN)
def download_results(run: str, state: States = None) -> StreamingResponse:
    """Every row and what became of it, streamed: `{"result": [{"row": 1, "line": 2, …}]}`."""
    return _results(run, Form.JSON, state)


@router.get("/results.jsonl", response_class=StreamingResponse, responses=_LINES)
@raises(*_OF_A_RUN)
def download_results_as_lines(run: str, state: States = None) -> StreamingResponse:
    """Every row and what became of it, streamed: a JSON object a line."""
    return _results(run, Form.JSONL, state)


@router.get("/results.csv", response_class=StreamingResponse, responses=CSV)
@raises(*_OF_A_RUN)
def download_results_as_csv(run: str, state: States = None) -> StreamingResponse:
    """Every row and what became of it, streamed: a table. A cell that looks like a formula has an apostrophe first."""
    return _results(run, Form.CSV, state)


@router.get("/troubled.csv", response_class=StreamingResponse, responses=CSV)
@raises(*_OF_A_RUN)
def download_rows_to_correct(
    run: str,
    state: States = None,
    reason: Annotated[str, Query(description="Only rows with this reason, as `groups` has it")] = "",
) -> StreamingResponse:
    """Rejected and failed rows (or those in `state`) with their reasons, to be corrected and uploaded again.

    They have all cells of the file, and its delimiter. A cell that looks like a formula has an apostrophe in front,
    which is taken away when the file comes back.
    """
    found, book = _book(run)
    states = frozenset(state) if state else frozenset(TROUBLED)
    pieces = troubled_csv(book.view, _spool(found), found, states=states, reason=reason)
    return _download(pieces, _TYPES[Form.CSV], f"{_stem(found)}-to-correct.csv")


def _results(run: str, form: Form, state: list[RowState] | None) -> StreamingResponse:
    found, book = _book(run)
    items = results(book.view, _spool(found), found, states=frozenset(state) if state else None)
    pieces = FORMS[form](items, layout_of(book.view, found))
    return _download(pieces, _TYPES[form], f"{_stem(found)}-results.{form}")


def _book(name: str) -> tuple[Run, Rowbook]:
    run, reads = begun(name, known), view()
    return run, Rowbook(reads, run, from_resolved(reads.definition(run.id)), settings())


def _spool(run: Run) -> Spool:
    """One of its own for each download: they walk at their own pace."""
    return Spool(settings().spool_url, run.id, run.facts.mended)


def _request(shown: preview.Shown) -> schemas.Request:
    return schemas.Request(
        method=shown.method,
        url=shown.url,
        headers=dict(shown.headers or {}),
        body=shown.body,
        problem=shown.problem,
        title=shown.title,
    )


def _stem(run: Run) -> str:
    return bare_name(harmless(run.facts.name or run.file)) or "rows"


def _download(pieces: Iterator[bytes], media_type: str, name: str) -> StreamingResponse:
    plain = name.encode("ascii", "replace").decode().replace("?", "_").replace('"', "_")
    headers = {
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}",
        "Content-Encoding": "identity",  # compressing would cost more than it saves on the way to the next room
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    # What goes wrong mostly does so at the first rows, which a header may precede: the answer can still be an error.
    first = list(islice(pieces, 2))
    return StreamingResponse(chain(first, pieces), media_type=media_type, headers=headers)
