"""What a person on a page, or a program over HTTP, may set going: one way in, and so the same checks for both."""

from __future__ import annotations

import time
from collections.abc import Sequence

import httpx

from dashboard import prefect_api
from dashboard.connections import client, ledger, pipelines, ready_prefect, settings, view
from flows import limit_status
from flows.connection import translated
from flows.delivered import refuse_skipping
from flows.errors import RowrelayError, RunBusy, StackError
from flows.ledger_view import Run
from flows.limit_status import open_limit
from flows.located import find, stored, upload_of
from flows.pipelines import pick
from flows.records import RowState, RunState, Wanted
from flows.spool import Spool
from flows.start import start

_SAME_WISH_SECONDS = 20  # two clicks within it are one wish
_ASKED_SECONDS = 600.0


class NotPossible(RowrelayError):
    """The run is not in a state in which that can be done."""


def check(pipeline: str, file: str, *, by: str, skip_delivered: bool = False, key: str | None = None) -> str:
    """Check a file, send nothing; returns the new run's id. Raises FileError, DefinitionError, StackError."""
    return _begin(pipeline, file, dry_run=True, skip_delivered=skip_delivered, by=by, key=key)


def send(pipeline: str, file: str, *, by: str, skip_delivered: bool = False, key: str | None = None) -> str:
    """Check a file and send its good rows; returns the new run's id. Raises FileError, DefinitionError, StackError."""
    return _begin(pipeline, file, dry_run=False, skip_delivered=skip_delivered, by=by, key=key)


def resume(run: Run, rows: Wanted, *, by: str, key: str | None = None) -> str:
    """Send what a run still has to send, or its failed or unknown rows again; returns the flow run's id.

    Raises:
        RunBusy: it is being delivered.
        NotPossible: there is nothing to send.
        StackError: Prefect does not answer.
    """
    if run.busy:
        raise RunBusy("The run is being delivered already.", hint="Wait until it ends, or cancel it first.")
    if not to_send(run, rows):
        raise NotPossible(f"The run has no {rows} rows." if rows != "unfinished" else "Everything was sent already.")
    ready_prefect()
    key = key or f"resume:{run.id}:{rows}:{run.facts.get('epoch', 0)}:{int(time.time() / _SAME_WISH_SECONDS)}"
    flow = str(start(run.pipeline, resume=run.id, rows=rows, by=by, idempotency_key=key))
    with translated():
        ledger().facts(run.id, asked=flow, asked_at=f"{time.time():.0f}")
    return flow


def to_send(run: Run, rows: Wanted) -> int:
    """How many rows a resume would send."""
    if rows == "failed":
        return run.counts[RowState.FAILED]
    if rows == "unknown":
        return run.counts[RowState.UNKNOWN]
    left = run.counts[RowState.WAITING] + run.counts[RowState.SENDING]
    return left if run.total else int(run.state is not RunState.CHECKING or bool(run.facts.get("asked")))


def asked(run: Run) -> str:
    """The flow run that was asked for and has not begun, so that every tab can say so; "" if there is none."""
    flow = run.facts.get("asked", "")
    if not flow or run.busy or time.time() - run.fact("asked_at") > _ASKED_SECONDS or flow in view().flows(run.id):
        return ""
    try:
        found = prefect_api.flow_run(flow)
    except StackError:
        return flow
    return flow if found and not found.ended else ""


def cancel(run: Run, *, by: str) -> None:
    """Let no further row of it be sent; those under way end as they will. Raises NotPossible, StackError."""
    waiting = asked(run)
    if not run.busy and not waiting:
        raise NotPossible("The run is not being delivered, so there is nothing to cancel.")
    if waiting:
        prefect_api.cancel(waiting)
    with translated():
        ledger().cancel(run.id, by)
        ledger().event(run.id, f"cancelled by {by}")


def mark_done(run: Run, *, by: str, rows: Sequence[int] | None = None) -> int:
    """Call unknown rows done, all or these; returns how many moved. Raises NotPossible, StackError."""
    if run.busy:
        raise RunBusy("The run is being delivered.", hint="Wait until it ends, or cancel it first.")
    chosen = view().select(run.id, [RowState.UNKNOWN], run.total).tolist() if rows is None else rows
    if not chosen:
        raise NotPossible("The run has no unknown rows.")
    with translated():
        moved = ledger().mark_done(run.id, chosen, by=by)
        if moved:
            ledger().event(run.id, f"{moved} unknown rows marked done by {by}")
    return moved


def delete(run: Run) -> None:
    """Remove a run, its rows, its spool, and its uploaded file if no other run has it. Raises RunBusy, StackError."""
    if asked(run):
        raise RunBusy("The run is about to be delivered.", hint="Cancel it first.")
    ledger().delete(run.id)
    Spool(settings().spool_url, run.id).delete()
    _remove_upload(run.file)


def open_the_limit(name: str, *, by: str) -> bool:
    """Say that the API lets us in again. False if the limit was not latched. Raises NotPossible, StackError."""
    with translated():
        if name not in limit_status.names(client()):
            raise NotPossible(f"There is no limit {name!r}.")
        return open_limit(client(), name, by)


def inbox_files(limit: int = 200) -> list[tuple[str, int, float]]:
    """Files that lie ready: (name below the inbox, bytes, Unix time), newest first."""
    root = settings().inbox
    try:
        found = [(path, path.stat()) for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")]
    except OSError:
        return []
    found.sort(key=lambda each: -each[1].st_mtime)
    return [(str(path.relative_to(root)), stat.st_size, stat.st_mtime) for path, stat in found[:limit]]


def _begin(pipeline: str, file: str, *, dry_run: bool, skip_delivered: bool, by: str, key: str | None) -> str:
    refuse_skipping(pick(pipelines(), pipeline), None, wished=skip_delivered)
    find(file, settings())
    ready_prefect()
    try:
        return str(start(pipeline, file, dry_run=dry_run, skip_delivered=skip_delivered, by=by, idempotency_key=key))
    except (httpx.HTTPError, OSError) as exc:
        raise StackError("The Prefect server does not answer.", hint="Start everything with `rowrelay up`.") from exc


def _remove_upload(file: str) -> None:
    """Uploads lie alone in a folder of their own."""
    folder, uploads = upload_of(file, settings()), stored(settings())
    if not folder or not uploads.names(folder):
        return
    others = view()
    for first in range(0, others.count(), 500):
        if any(run.file == file for run in others.runs(first, 500)):
            return
    uploads.delete(folder)
