"""Routes for runs: start, look, act."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Body, Query, Request, Response

from dashboard import actions, run_list, starting
from dashboard.absent import not_begun
from dashboard.api import schemas
from dashboard.api.envelope import Cursor, cursor_of, place_of
from dashboard.api.problems import raises
from dashboard.api.request import Key, by, say_where
from dashboard.api.schemas_mending import Mended, MendedPage, Mending
from dashboard.connections import settings, view
from dashboard.prefect_api.server import PrefectRefused
from dashboard.refusals import DeliveredSince, NotFound, NotPossible
from dashboard.rows.book import Rowbook
from dashboard.rows.since import NOTHING, SENT, delivered_since, later_runs
from flows.delivery.changes import ChangesRefused, as_map, read
from flows.errors import (
    DefinitionError,
    FileError,
    LedgerOlder,
    RunBusy,
    RunDeleted,
    RunNotFound,
    SecretAbroad,
    SecretMissing,
    SpoolDamaged,
    SpoolGone,
    StorageError,
)
from flows.flow_runs.start import KeyReused
from flows.ledger.mends import in_effect
from flows.ledger.notes import EVENTS
from flows.ledger.run import Run
from flows.pipeline.file_form import said
from flows.pipeline.reading import from_resolved
from flows.records import Wanted

router = APIRouter(prefix="/runs", tags=["runs"])
OF_ROWS = (SpoolGone, SpoolDamaged, StorageError, FileError)  # where rows are read


@router.post("", status_code=202)
@raises(DefinitionError, SecretMissing, SecretAbroad, FileError, StorageError, KeyReused, PrefectRefused)
def start_run(
    body: schemas.NewRun, request: Request, response: Response, idempotency_key: Key = None
) -> schemas.Started:
    """Check a file and send its good rows; with `dry_run` only check it. It is `starting` until a worker begins."""
    begin = starting.check if body.dry_run else starting.send
    form = said(encoding=body.encoding, apostrophes=body.apostrophes).but(body.source)
    how = starting.How(body.skip_delivered, form, body.map)
    run = begin(body.pipeline, body.file, by=by(request), how=how, key=idempotency_key)
    say_where(request, response, f"/runs/{run}")
    return schemas.Started(id=run, flow_run=run)


@router.get("")
def list_runs(
    search: Annotated[str, Query(description="Words of its file, pipeline, id, or who started it")] = "",
    pipeline: Annotated[str, Query(description="Only runs of this pipeline")] = "",
    state: Annotated[schemas.ShownAs | None, Query(description="Only runs in this state")] = None,
    since: Annotated[datetime | None, Query(description="Only runs begun at this moment or later")] = None,
    until: Annotated[datetime | None, Query(description="Only runs begun at this moment or earlier")] = None,
    cursor: Cursor = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> schemas.RunPage:
    """Runs, newest first. The state may be the word that is shown or the plain one: `finished` has both kinds."""
    after = place_of(cursor, tuple[float, str])
    first, end = (_seconds(each) for each in (since, until))
    found, last = run_list.page(view(), after, limit, run_list.RunFilter(search, pipeline, state or "", first, end))
    return schemas.RunPage(items=[schemas.Run.of(run) for run in found], next=cursor_of(*last) if last else None)


def _seconds(moment: datetime | None) -> float:
    """Unix seconds; a moment without a time zone is one of UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() if moment else 0.0


@router.get("/{run}")
@raises(RunNotFound, RunDeleted)
def get_run(run: str) -> schemas.Run:
    """A run as it stands. `last`, the beginning of an id, or a flow run's id will do. 404 once it is deleted.

    It is shown as `starting` while what was asked of it has not begun.
    """
    try:
        found = known(run)
        return schemas.Run.of(found, asked=bool(starting.asked(found)))
    except RunNotFound as exc:
        return schemas.Run.not_begun(not_begun(run, exc))


@router.get("/{run}/events")
@raises(RunNotFound, RunDeleted, NotPossible)
def list_events(run: str, cursor: Cursor = "", limit: Annotated[int, Query(ge=1, le=EVENTS)] = 50) -> schemas.EventPage:
    """What happened, in words, newest first; of a long run the latest 200 events."""
    found = view().events(begun(run, known).id, EVENTS)
    after = place_of(cursor, tuple[float, int])
    places = [(at, zlib.crc32(text.encode())) for at, text in found]
    first = places.index(after) + 1 if after in places else len(places) if after else 0
    last = first + limit
    return schemas.EventPage(
        items=[schemas.Event(at=datetime.fromtimestamp(at, UTC), text=text) for at, text in found[first:last]],
        next=cursor_of(*places[last - 1]) if last < len(places) else None,
    )


@router.get("/{run}/chart")
@raises(RunNotFound, RunDeleted, NotPossible)
def get_chart(run: str, span: Literal["seconds", "minutes"] = "seconds") -> schemas.Chart:
    """Requests sent and outcomes by second of the last quarter of an hour, or by minute of all of it."""
    return schemas.Chart.of(span, view().chart(begun(run, known).id, span))


@router.post("/{run}/cancel", status_code=202)
@raises(RunNotFound, RunDeleted, NotPossible, PrefectRefused)
def cancel_run(run: str, request: Request, response: Response) -> schemas.Run:
    """Send no further row; those under way end as they will. A run that nobody has begun never begins."""
    try:
        found = exact(run)
    except RunNotFound as exc:
        actions.take_back(not_begun(run, exc).flow, by=by(request))
        found_none = not_begun(run, exc)
        say_where(request, response, f"/runs/{found_none.flow.id}")
        return schemas.Run.not_begun(found_none)
    actions.cancel(found, by=by(request))
    say_where(request, response, f"/runs/{found.id}")
    return schemas.Run.of(view().run(found.id))


@router.post("/{run}/resume", status_code=202)
@raises(
    RunNotFound,
    RunDeleted,
    RunBusy,
    NotPossible,
    DeliveredSince,
    DefinitionError,
    SecretMissing,
    SecretAbroad,
    LedgerOlder,
    KeyReused,
    PrefectRefused,
)
def resume_run(
    run: str,
    request: Request,
    response: Response,
    body: Annotated[schemas.Resume, Body(default_factory=schemas.Resume)],
    idempotency_key: Key = None,
) -> schemas.Started:
    """Send the unfinished rows, or the failed or unknown ones again. A checked run is sent by this too.

    A run that was only to be checked, and whose check did not end, is checked again.
    """
    found = begun(run, exact)
    key = _key(found, idempotency_key)
    if not (body.delivered_too or found.busy or (key and found.facts.asked_key == key)):
        _refuse_delivered(found, body.rows)
    renewed = body.definition == "new"
    flow = starting.resume(found, body.rows, by=by(request), key=key, renewed=renewed, reason=body.reason)
    say_where(request, response, f"/runs/{found.id}")
    return schemas.Started(id=found.id, flow_run=flow)


@router.post("/{run}/check", status_code=202)
@raises(RunNotFound, RunDeleted, RunBusy, NotPossible, KeyReused, PrefectRefused)
def check_run(run: str, request: Request, response: Response, idempotency_key: Key = None) -> schemas.Started:
    """Check the file of a run again whose check did not end. Nothing is sent."""
    found = begun(run, exact)
    flow = starting.check_again(found, by=by(request), key=_key(found, idempotency_key))
    say_where(request, response, f"/runs/{found.id}")
    return schemas.Started(id=found.id, flow_run=flow)


@router.post("/{run}/undo", status_code=202)
@raises(RunNotFound, RunDeleted, RunBusy, NotPossible, FileError, KeyReused, PrefectRefused)
def undo_run(
    run: str,
    request: Request,
    response: Response,
    body: Annotated[schemas.UndoRun, Body(default_factory=schemas.UndoRun)],
    idempotency_key: Key = None,
) -> schemas.Started:
    """Begin a new run that takes back the done rows of this one, as its pipeline's `undo` says.

    Rows of which nothing was kept that `undo` needs, and those that an earlier undo has, are skipped with a reason.
    """
    found = begun(run, exact)
    undoing = starting.undo(found, by=by(request), dry_run=body.dry_run, key=idempotency_key)
    say_where(request, response, f"/runs/{undoing}")
    return schemas.Started(id=undoing, flow_run=undoing)


@router.post("/{run}/mark-done")
@raises(RunNotFound, RunDeleted, RunBusy, NotFound, NotPossible)
def mark_rows_done(
    run: str, request: Request, body: Annotated[schemas.MarkDone, Body(default_factory=schemas.MarkDone)]
) -> schemas.Moved:
    """Call unknown rows done, because you know that the API acted on them."""
    moved = actions.mark_done(begun(run, exact), by=by(request), rows=body.rows)
    return schemas.Moved(rows=moved)


@router.post("/{run}/mend")
@raises(RunNotFound, RunDeleted, RunBusy, NotPossible, ChangesRefused, KeyReused, *OF_ROWS)
def mend_rows(run: str, request: Request, body: Mending, idempotency_key: Key = None) -> Mended:
    """Change rejected rows of a run that was checked and not sent, and check those again. Or take that back.

    The file stays as it is. The results say of each row what was changed.
    """
    found = begun(run, exact)
    document = read(body.model_dump(exclude_none=True))
    return Mended.of(actions.mend(found, document, by=by(request), key=_key(found, idempotency_key)))


@router.get("/{run}/mends")
@raises(RunNotFound, RunDeleted, NotPossible)
def list_mends(run: str) -> MendedPage:
    """The documents by which rejected rows of a run were mended, and the lines that keep them in its pipeline."""
    found = begun(run, known)
    mends = view().mends(found.id)
    kept = as_map(from_resolved(view().definition(found.id)), in_effect(mends))
    return MendedPage(items=[Mended.of(each) for each in mends], map=kept)


@router.delete("/{run}", status_code=204)
@raises(RunNotFound, RunDeleted, RunBusy, StorageError)
def delete_run(run: str, request: Request) -> None:
    """Remove a run, all that is known of its rows, and its uploaded file. That it was deleted, and by whom, stays."""
    actions.delete(view().run(run), by=by(request))


def _refuse_delivered(run: Run, rows: Wanted) -> None:
    """Raises DeliveredSince where later runs have delivered some of these rows."""
    if (state := SENT.get(rows)) is None or not run.counts[state]:
        return
    book = Rowbook(view(), run, from_resolved(view().definition(run.id)), settings())
    later = later_runs(view(), book)
    found = delivered_since(view(), book, later) if later else NOTHING
    if count := found.states.get(state, 0):
        raise DeliveredSince(
            f"A later run has delivered {count:,} of the {run.counts[state]:,} {state} rows.",
            hint="Send `delivered_too: true` to send all of them again; to leave those out, send the file as a new run"
            " with `skip_delivered`.",
        )


def begun(name: str, find: Callable[[str], Run]) -> Run:
    """A run of which there is more to say or to do than that it has not begun. Raises NotPossible, RunNotFound."""
    try:
        return find(name)
    except RunNotFound as exc:
        what, more = not_begun(name, exc).words
        raise NotPossible(what, hint=more) from None


def known(name: str) -> Run:
    """A run to look at, by its id, the beginning of one, a flow run's id, or `last`. Raises RunNotFound."""
    reads = view()
    return reads.run(reads.resolve(name))


def exact(name: str) -> Run:
    """A run to act on: a name that was cut off must not be taken for the one run that begins with it."""
    reads = view()
    return reads.run(reads.exact(name))


def _key(run: Run, given: str | None) -> str | None:
    return f"api:{run.id}:{given}" if given else None
