"""Routes for runs: start, look, act, take the results home."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from itertools import chain, islice
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import StreamingResponse

from dashboard import actions, preview, run_list
from dashboard.absent import not_begun
from dashboard.api.schemas import (
    EventOut,
    MarkDone,
    Moved,
    NewRun,
    Preview,
    RejectionOut,
    RequestOut,
    Resume,
    RowDetail,
    RowOut,
    RowsOut,
    RunOut,
    Runs,
    Started,
)
from dashboard.connections import settings, view
from dashboard.files.upload import harmless
from dashboard.rows import choice
from dashboard.rows.book import Rowbook
from dashboard.rows.choice import OUTCOMES
from dashboard.rows.question import Question
from flows import export
from flows.errors import RunNotFound
from flows.ledger.view import Run
from flows.limit.pace import expected_seconds
from flows.pipeline.reading import from_resolved
from flows.records import Row, RowState
from flows.spool.spool import Spool

router = APIRouter(prefix="/runs", tags=["runs"])
Key = Annotated[
    str | None,
    Header(
        description="The same key with the same request gives the same run; with another request it is refused (422). "
        "Each pipeline has keys of its own",
        max_length=200,
    ),
]
States = Annotated[list[RowState] | None, Query(description="Only rows in these states; may be repeated")]


class Form(StrEnum):
    """Forms of the results."""

    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


_TYPES = {Form.JSON: "application/json", Form.JSONL: "application/jsonl", Form.CSV: "text/csv; charset=utf-8"}


def by(request: Request) -> str:
    """Who acts, for the run's record: a person's name, or API."""
    return request.state.by or "API"


@router.post("", status_code=202)
def start(body: NewRun, request: Request, idempotency_key: Key = None) -> Started:
    """Check a file and send its good rows; with `dry_run` only check it. It is `starting` until a runner begins."""
    begin = actions.check if body.dry_run else actions.send
    how = actions.How(body.skip_delivered, body.encoding, body.apostrophes)
    run = begin(body.pipeline, body.file, by=by(request), how=how, key=idempotency_key)
    return Started(id=run, flow_run=run)


@router.get("")
def runs(
    search: str = "",
    pipeline: str = "",
    state: Annotated[str, Query(description=f"How a run is shown, one of: {', '.join(run_list.WORDS)}")] = "",
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> Runs:
    """Runs, newest first; the state also by its plain word, such as `sending` or `finished`."""
    if state and state not in run_list.WORDS:
        raise actions.NotMeant(f"{state!r} is no state of a run.", hint=f"There are: {', '.join(run_list.WORDS)}.")
    found, total = run_list.page(view(), offset, limit, search=search, pipeline=pipeline, kind=state)
    return Runs(runs=[RunOut.of(run) for run in found], total=total)


@router.get("/{run}")
def one(run: str) -> RunOut:
    """A run as it stands. `last`, the beginning of an id, or a flow run's id will do. 404 once it is deleted."""
    try:
        return RunOut.of(_known(run))
    except RunNotFound as exc:
        return RunOut.not_begun(not_begun(run, exc))


@router.get("/{run}/preview")
def look(run: str) -> Preview:
    """What the check found, and the first requests as they would go out, secrets masked."""
    found, book = _book(run)
    terms = book.definition.terms
    ready = found.total - found.counts[RowState.REJECTED]
    digest = found.facts.digest
    return Preview(
        rejections=[RejectionOut.of(each) for each in view().samples(found.id)],
        requests=[_request(found, book, row) for row in (book.spool.read(0, 3) if ready else [])],
        rows_to_send=ready,
        seconds=expected_seconds(ready, terms.windows),
        runs_with_same_content=[other.id for other in run_list.sent_before(view(), digest, but=found.id)],
    )


@router.get("/{run}/rows")
def rows(
    run: str,
    page: Annotated[int, Query(ge=1)] = 1,
    size: Annotated[int, Query(ge=1, le=1000)] = 100,
    state: States = None,
    search: str = "",
    column: Annotated[str, Query(description="Bounds the search: a column's name, `@row` or `@line`")] = "",
    sort: Annotated[
        str, Query(description="A column's name, or `@row`, `@status`, `@attempts`, `@took_seconds`, `@at`")
    ] = "",
    descending: bool = False,
) -> RowsOut:
    """A page of rows; one past the last is empty."""
    _, book = _book(run)
    _refuse_unknown("column", column, ("@row", "@line", *book.definition.column_names))
    _refuse_unknown("sort", sort, ("@row", *OUTCOMES, *book.definition.column_names))
    found = choice.page(book, Question(tuple(state or ()), search, column, sort, descending), page, size=size)
    shown = [RowOut.of(row) for row in found.rows]
    return RowsOut(rows=shown, matching=found.matching, page=found.number, pages=found.pages, note=found.note)


@router.get("/{run}/rows/{row}")
def row_detail(run: str, row: int) -> RowDetail:
    """One row, with its request as it goes out, secrets masked."""
    found, book = _book(run)
    if not 1 <= row <= found.total:
        raise actions.NotThere(f"The run has rows 1 to {found.total}.")
    (each,) = book.rows([row])
    detail = RowDetail(**RowOut.of(each).model_dump())
    if each.record.state is not RowState.REJECTED:
        row_sent = Row(each.record.row, each.line, each.values)
        detail.request = _request(found, book, row_sent, generation=each.record.generation)
    return detail


@router.get("/{run}/events")
def events(run: str, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> list[EventOut]:
    """The last events in words, newest first."""
    return [
        EventOut(at=datetime.fromtimestamp(at, UTC), text=text)
        for at, text in view().events(_begun(run, _known).id, limit)
    ]


@router.get("/{run}/chart")
def chart(
    run: str, span: Annotated[str, Query(pattern="^(seconds|minutes)$")] = "seconds"
) -> dict[int, dict[str, int]]:
    """Requests sent and outcomes by Unix second of the last quarter of an hour, or by Unix minute of all of it."""
    return view().chart(_begun(run, _known).id, span)


@router.get("/{run}/results.{form}", response_class=StreamingResponse)
def results(run: str, form: Form, state: States = None) -> StreamingResponse:
    """Every row and what became of it, streamed: `{"result": [{"row": 1, "line": 2, …}]}`, or a row a line."""
    found, book = _book(run)
    items = export.results(book.view, _spool(found), found, states=frozenset(state) if state else None)
    pieces = export.FORMS[form](items, export.layout_of(book.view, found))
    return _download(pieces, _TYPES[form], f"{_stem(found)}-results.{form}")


@router.get("/{run}/troubled.csv", response_class=StreamingResponse)
def troubled(run: str, state: States = None) -> StreamingResponse:
    """Rejected and failed rows (or those in `state`) with their reasons, to be corrected and uploaded again.

    Rejected rows have all cells of the file, the others those of the pipeline's columns. A cell that looks like a
    formula has an apostrophe in front, which is taken away when the file comes back.
    """
    found, book = _book(run)
    states = frozenset(state) if state else frozenset(export.TROUBLED)
    pieces = export.troubled_csv(book.view, _spool(found), found, states=states)
    return _download(pieces, _TYPES[Form.CSV], f"{_stem(found)}-to-correct.csv")


@router.post("/{run}/cancel", status_code=202)
def cancel(run: str, request: Request) -> RunOut:
    """Send no further row; those under way end as they will. A run that nobody has begun never begins."""
    try:
        found = _exact(run)
    except RunNotFound as exc:
        actions.take_back(not_begun(run, exc).flow, by=by(request))
        return RunOut.not_begun(not_begun(run, exc))
    actions.cancel(found, by=by(request))
    return RunOut.of(view().run(found.id))


@router.post("/{run}/resume", status_code=202)
def resume(run: str, request: Request, body: Resume | None = None, idempotency_key: Key = None) -> Started:
    """Send the unfinished rows, or the failed or unknown ones again. A checked run is sent by this too.

    A run that was only to be checked, and whose check did not end, is checked again.
    """
    found = _begun(run, _exact)
    rows = body.rows if body else "unfinished"
    return Started(id=found.id, flow_run=actions.resume(found, rows, by=by(request), key=_key(found, idempotency_key)))


@router.post("/{run}/check", status_code=202)
def check(run: str, request: Request, idempotency_key: Key = None) -> Started:
    """Check the file of a run again whose check did not end. Nothing is sent."""
    found = _begun(run, _exact)
    return Started(id=found.id, flow_run=actions.check_again(found, by=by(request), key=_key(found, idempotency_key)))


@router.post("/{run}/mark-done")
def mark_done(run: str, request: Request, body: MarkDone | None = None) -> Moved:
    """Call unknown rows done, because you know that the API acted on them."""
    return Moved(rows=actions.mark_done(_begun(run, _exact), by=by(request), rows=body.rows if body else None))


@router.delete("/{run}", status_code=204)
def delete(run: str, request: Request) -> None:
    """Remove a run, all that is known of its rows, and its uploaded file. That it was deleted, and by whom, stays."""
    actions.delete(view().run(run), by=by(request))


def _begun(name: str, find: Callable[[str], Run]) -> Run:
    """A run of which there is more to say or to do than that it has not begun."""
    try:
        return find(name)
    except RunNotFound as exc:
        what, more = not_begun(name, exc).words
        raise actions.NotPossible(what, hint=more) from None


def _known(name: str) -> Run:
    reads = view()
    return reads.run(reads.resolve(name))


def _exact(name: str) -> Run:
    """A run to act on: a name that was cut off must not be taken for the one run that begins with it."""
    reads = view()
    return reads.run(reads.exact(name))


def _refuse_unknown(what: str, given: str, known: Sequence[str]) -> None:
    if given and given not in known:
        raise actions.NotMeant(f"`{what}` cannot be {given!r}.", hint=f"It can be: {', '.join(known)}.")


def _key(run: Run, given: str | None) -> str | None:
    return f"api:{run.id}:{given}" if given else None


def _book(name: str) -> tuple[Run, Rowbook]:
    run, reads = _begun(name, _known), view()
    return run, Rowbook(reads, run, from_resolved(reads.definition(run.id)), settings())


def _spool(run: Run) -> Spool:
    """One of its own for each download: they walk at their own pace."""
    return Spool(settings().spool_url, run.id)


def _request(run: Run, book: Rowbook, row: Row, *, generation: int = 0) -> RequestOut:
    shown = preview.request_of(run.id, book.definition, row, settings(), generation=generation)
    return RequestOut(
        method=shown.method, url=shown.url, headers=dict(shown.headers or {}), body=shown.body, problem=shown.problem
    )


def _stem(run: Run) -> str:
    name = harmless(run.facts.name or run.file)
    return name.removesuffix(".gz").rsplit(".", 1)[0] or "rows"


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
