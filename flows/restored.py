"""A ledger that was put back from a backup is older than the truth: what waits in it may have been sent since."""

from __future__ import annotations

import redis

from flows.errors import RunBusy
from flows.ledger.backup_guard import turn
from flows.ledger.connection import translated
from flows.ledger.ledger import Ledger
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.limit.status import distrust, names
from flows.records import RowState, RunState

UNCHECKED = (
    "Redis was restored from a backup that was made before this file had been checked. If the API has not got its "
    "rows, send its file as a new run."
)
_PAGE = 200


def doubtful(view: View) -> list[Run]:
    """The runs of which rows may have been sent since. Raises RunBusy where one of all is being delivered."""
    runs = [run for first in range(0, view.count(), _PAGE) for run in view.runs(first, _PAGE)]
    if busy := next((run for run in runs if run.busy), None):
        raise RunBusy(f"Run {busy.id} is being delivered.", hint="Cancel it first, then say that this is a backup.")
    return [run for run in runs if run.counts[RowState.WAITING] or _unchecked(run)]


def _unchecked(run: Run) -> bool:
    return run.state is RunState.CHECKING and not run.total


def doubt(client: redis.Redis, runs: list[Run], *, by: str) -> dict[str, int]:
    """Make their waiting rows `unknown` and let every limit wait as after a restart; may be called again.

    A run whose rows were not known yet ends as cancelled, so that nobody goes on with it unasked.

    Returns how many rows moved, by run.
    """
    view, ledger = View(client), Ledger(client)
    moved = {}
    with translated():
        for run in runs:
            if _unchecked(run):
                ledger.cancel(run.id, by)
                ledger.facts(run.id, state=RunState.CANCELLED, reason=UNCHECKED)
            waiting = view.select(run.id, [RowState.WAITING], run.total).tolist()
            moved[run.id] = ledger.restored(run.id, waiting)
            words = f"restored from a backup: {moved[run.id]:,} waiting rows became unknown ({by})"
            ledger.event(run.id, words)
        for name in names(client):
            distrust(client, name)
        turn(client)
    return moved
