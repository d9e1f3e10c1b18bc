"""The end of a run's life: its ledger entries, its spool, its journal and its uploaded file go together."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path

from flows.delivery.journal import journal
from flows.errors import RunBusy, RunNotFound
from flows.ledger.erase import erase
from flows.ledger.inbox import Claims, Ended
from flows.ledger.ledger import Ledger
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.records import RowState, RunState
from flows.settings import Settings
from flows.spool.spool import Spool
from flows.storage.located import stored, upload_of

AT_ONCE = 20  # runs that a purge removes: it happens in passing, when another run begins
SWEEP_SECONDS = 3600.0  # between two looks for such
_PAGE = 100
_ENDED = (RunState.FINISHED, RunState.STOPPED, RunState.CANCELLED)
logger = logging.getLogger(__name__)


def delete_run(run: str, ledger: Ledger, settings: Settings, *, by: str = "") -> None:
    """Remove a run and everything kept of it, its uploaded file too if no other run has that.

    The storage goes first: where it fails, the run is still there to be deleted again. A file of an inbox of which
    anything was sent is known as such from now on: it may lie there still, and is not sent again. `by` whom the run
    was deleted stays known for a year.

    Raises:
        RunBusy: it is being delivered.
        RunNotFound: there is no such run.
        StorageError: what is stored of it cannot be removed.
        StackError: Redis does not answer.
    """
    view = View(ledger.client)
    found = view.run(run)
    if found.busy:
        raise RunBusy(f"Run {run} is being delivered.", hint="Cancel it first.")
    Spool(settings.spool_url, run).delete()
    _remember(found, ledger)
    _tell_what_it_undid(found, ledger, view)
    erase(ledger.client, run, by=by)
    journal(settings, run).forget()
    uploads = stored(settings)
    uploads.delete(f"inbox/{run}")
    if (upload := upload_of(found.file, settings)) and upload not in _uploads_in_use(view, settings):
        uploads.delete(upload)


def _remember(run: Run, ledger: Ledger) -> None:
    digest = run.facts.digest
    if run.facts.source is None or not digest or not run.any_sent:
        return
    claims = Claims(ledger.client, run.pipeline)
    if claims.holder(digest) == run.id and claims.ended(digest) is None:
        name = run.shown_file
        claims.end(digest, Ended(run.id, name, time.time(), well=run.ended_well))


def _tell_what_it_undid(run: Run, ledger: Ledger, view: View) -> None:
    """Note it of the run that this one undid: whoever undoes that one again must know that nobody can tell which."""
    try:
        first = view.run(run.facts.undoes) if run.facts.undoes else None
    except RunNotFound:
        return
    if first is None:
        return
    if run.any_sent:
        undone = first.facts.undone_rows | {run.id: run.counts[RowState.DONE]}
        ledger.facts(first.id, undone_rows=undone)
    else:
        by = {other: at for other, at in first.facts.undone_by.items() if other != run.id}
        ledger.facts(first.id, undone_by=by)


def purge(ledger: Ledger, view: View, settings: Settings, *, now: float | None = None) -> list[str]:
    """Delete runs over which the retention has passed, oldest first, and uploads left behind; returns the runs' ids.

    What cannot be removed is logged and tried again the next time: whoever calls this has something else to do.
    """
    now = now or time.time()
    oldest = now - settings.retention_days * 86_400
    gone: list[str] = []
    try:
        skipped = 0
        while len(gone) < AT_ONCE and (page := view.older_than(oldest, _PAGE, skip=skipped)):
            for run in page[: AT_ONCE - len(gone)]:
                if _last_life(run) < oldest and _deleted(run.id, ledger, settings):
                    gone.append(run.id)
                else:
                    skipped += 1
        sweep(view, settings, now=now)
    except Exception:  # whatever storage and Redis raise; the run that begins here will meet it itself
        logger.warning("old runs could not be cleared away", exc_info=True)
    return gone


def sweep(view: View, settings: Settings, *, now: float) -> None:
    """Remove uploads on this machine that no run has and that are as old as runs get. Looks once an hour at most.

    A run that waits in Prefect for its turn has a file, too, and the ledger does not know it before it begins.
    """
    mark = settings.uploads / ".swept"
    if not settings.uploads.is_dir() or (mark.exists() and now - mark.stat().st_mtime < SWEEP_SECONDS):
        return
    mark.touch()
    oldest = now - settings.retention_days * 86_400
    old = [folder for folder in settings.uploads.iterdir() if _is_stray(folder, oldest)]
    kept = _uploads_in_use(view, settings) if old else set()
    for folder in old:
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def _deleted(run: str, ledger: Ledger, settings: Settings) -> bool:
    try:
        delete_run(run, ledger, settings, by=f"Rowrelay, which keeps runs for {settings.retention_days} days")
    except (RunBusy, RunNotFound):
        return False  # somebody resumes it, or was faster
    except Exception:  # every kind of storage has errors of its own
        logger.warning("run %s could not be deleted", run, exc_info=True)
        return False
    return True


def _last_life(run: Run) -> float:
    """When a run last showed life. One that never ended, with nobody delivering it, counts from when somebody did."""
    if run.busy:
        return float("inf")
    if run.state in _ENDED and run.ended:
        return max(run.ended, run.facts.asked_at)
    return max(run.created, run.ended or 0.0, run.held_until, run.facts.asked_at)


def _uploads_in_use(view: View, settings: Settings) -> set[str]:
    return {upload_of(file, settings) for file in view.files()}


def _is_stray(folder: Path, oldest: float) -> bool:
    return folder.is_dir() and folder.name != "inbox" and folder.stat().st_mtime < oldest
