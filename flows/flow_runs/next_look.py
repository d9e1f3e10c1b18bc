"""Rows that the API has accepted for later are asked about by a flow run of their own: no process waits for them."""

from __future__ import annotations

import time

from flows.delivery.settling import next_look_seconds
from flows.errors import RowrelayError
from flows.flow_runs.start import start
from flows.ledger.ledger import Ledger
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.pipeline.definition import Definition
from flows.pipeline.reading import from_resolved
from flows.records import RowState, RunState

LATE_SECONDS = 120.0  # after which a look that ought to have been is lost: it failed, or Prefect forgot it
_NEWEST = 200


def schedule_look(run: Run, definition: Definition, ledger: Ledger) -> None:
    """Have the accepted rows of a run that has ended asked about, when it is time."""
    if definition.poll is None or not _waits(run):
        return
    seconds = next_look_seconds(definition.poll, run.facts.looks)
    if why := _start(run, seconds, f"look:{run.id}:{run.facts.epoch}"):
        ledger.event(run.id, f"Nobody asks about the accepted rows yet: {why}")


def renew_looks(view: View, *, now: float | None = None) -> list[str]:
    """Schedule the looks anew that ought to have been long ago; returns what was done. Raises StackError.

    Of a run whose time for questions is over the look says that its rows are unknown.
    """
    now = time.time() if now is None else now
    told = []
    for run in view.runs(0, _NEWEST):
        if not _waits(run) or run.busy or not run.ended:
            continue
        poll = from_resolved(view.definition(run.id)).poll
        if poll is None or now - max(run.ended, run.facts.polled_at) < next_look_seconds(poll, 20) + LATE_SECONDS:
            continue
        if not _start(run, 0.0, f"look:{run.id}:{run.facts.epoch}:{now // LATE_SECONDS:.0f}"):
            told.append(f"{run.shown_file}: nobody asked about its accepted rows, scheduled anew")
    return told


def _waits(run: Run) -> bool:
    return bool(run.counts[RowState.ACCEPTED]) and run.state in (RunState.FINISHED, RunState.STOPPED)


def _start(run: Run, seconds: float, key: str) -> str:
    """Why it could not be scheduled, or ""."""
    by = run.by or "Rowrelay"
    try:
        start(run.pipeline, resume=run.id, rows="accepted", by=by, idempotency_key=key, after_seconds=seconds)
    except RowrelayError as exc:
        return exc.message
    return ""
