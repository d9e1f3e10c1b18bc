"""The end of a run's life: its ledger entries, its spool and its journal go together."""

from __future__ import annotations

import time
from contextlib import suppress

from flows.errors import RunBusy, RunNotFound, StorageError
from flows.ledger import Ledger
from flows.ledger_view import View
from flows.located import journal
from flows.records import RunState
from flows.settings import Settings
from flows.spool import Spool

AT_ONCE = 20  # runs that a purge removes: it happens in passing, when another run begins
_ENDED = (RunState.FINISHED, RunState.STOPPED, RunState.CANCELLED)


def delete_run(run: str, ledger: Ledger, settings: Settings) -> None:
    """Remove a run and everything kept of it. Raises RunBusy while it is being delivered, RunNotFound, StackError."""
    ledger.delete(run)
    with suppress(StorageError):  # the ledger has forgotten the run, so nobody will look for what is left
        Spool(settings.spool_url, run).delete()
        journal(settings, run).forget()


def purge(ledger: Ledger, view: View, settings: Settings, *, now: float | None = None) -> list[str]:
    """Delete ended runs that are older than the retention, oldest first; returns their ids."""
    oldest = (now or time.time()) - settings.retention_days * 86_400
    gone = []
    for run in view.older_than(oldest, AT_ONCE):
        if run.state in _ENDED and (run.ended or run.created) < oldest:
            try:
                delete_run(run.id, ledger, settings)
            except (RunBusy, RunNotFound):
                continue  # somebody resumes it, or was faster
            gone.append(run.id)
    return gone
