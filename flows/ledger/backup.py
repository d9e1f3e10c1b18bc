"""A ledger that was put back from a backup is older than the truth: what waits in it may have been sent since."""

from __future__ import annotations

import redis

from flows.errors import RunBusy
from flows.ledger.connection import translated
from flows.ledger.ledger import Ledger
from flows.ledger.tide import Tide, turn
from flows.ledger.view import Run, View
from flows.limit.status import distrust, names
from flows.records import RowState

_PAGE = 200


def doubtful(view: View) -> list[Run]:
    """The runs with waiting rows. Raises RunBusy where one of all is being delivered."""
    runs = [run for first in range(0, view.count(), _PAGE) for run in view.runs(first, _PAGE)]
    if busy := next((run for run in runs if run.busy), None):
        raise RunBusy(f"Run {busy.id} is being delivered.", hint="Cancel it first, then say that this is a backup.")
    return [run for run in runs if run.total and run.counts[RowState.WAITING]]


def doubt(client: redis.Redis, runs: list[Run], *, by: str) -> dict[str, int]:
    """Make their waiting rows `unknown` and let every limit wait as after a restart; may be called again.

    Returns how many rows moved, by run.
    """
    view, ledger = View(client), Ledger(client)
    moved = {}
    with translated():
        for run in runs:
            waiting = view.select(run.id, [RowState.WAITING], run.total).tolist()
            moved[run.id] = ledger.restored(run.id, waiting)
            words = f"restored from a backup: {moved[run.id]:,} waiting rows became unknown ({by})"
            ledger.event(run.id, words)
        for name in names(client):
            distrust(client, name)
        turn(client)
    return moved


def notice(client: redis.Redis, tide: Tide) -> dict[str, int]:
    """Doubt what waits if the ledger is older than this machine knows. Returns how many rows moved, by run.

    Raises RunBusy where a run is being delivered already: nothing is changed then.
    """
    with translated():
        fallen = tide.has_fallen()
    if not fallen:
        return {}
    try:
        return doubt(client, doubtful(View(client)), by="it is older than what this machine has seen of it")
    except RunBusy as exc:
        raise RunBusy(
            f"Redis was restored from a backup: it has forgotten what this machine has seen. {exc.message}",
            hint="Cancel that run first; then what waits becomes unknown, and nothing is sent twice.",
        ) from exc
