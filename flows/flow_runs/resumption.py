"""When a run that was left unfinished is taken up again by itself."""

from __future__ import annotations

import time

from flows.ledger.ledger import Ledger
from flows.ledger.run import Run
from flows.records import RowState

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 60.0, 3600.0


def resumptions(run: Run) -> int:
    """How often in a row the run was taken up again by itself without that the API answered for a single row."""
    return 0 if _answered(run) > run.facts.resumed_rows else run.facts.resumed


def count_resumption(ledger: Ledger, run: Run) -> None:
    """Note that the run is taken up once more."""
    ledger.facts(run.id, resumed=resumptions(run) + 1, resumed_rows=_answered(run))


def _answered(run: Run) -> int:
    # Not the unknown rows: every death leaves some.
    return run.counts[RowState.DONE] + run.counts[RowState.FAILED]


def may_resume(ledger: Ledger, run: Run, times: int) -> bool:
    """Whether to take the run up once more: at most `times` in a row in which no row got its answer.

    Every yes is counted, so ask only when the run is then resumed.
    """
    if resumptions(run) >= times:
        return False
    count_resumption(ledger, run)
    return True


def note_stop(ledger: Ledger, run: Run) -> None:
    """Note that the run stopped for a reason that lies outside of it.

    An API that fails costs some rows at every try: these become failed or unknown, and a person has to look at them.
    """
    done, lost = run.counts[RowState.DONE], run.counts[RowState.FAILED] + run.counts[RowState.UNKNOWN]
    in_vain = done <= run.facts.stops_done and lost > run.facts.stops_lost
    ledger.facts(run.id, stops=run.facts.stops + 1 if in_vain else 0, stops_done=done, stops_lost=lost)


def pause_seconds(run: Run) -> float:
    """How long a stopped run is to be left alone yet: nothing after the first stop, then longer and longer."""
    stops = run.facts.stops
    if stops < 2 or run.ended is None:
        return 0.0
    pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** (min(stops, 12) - 2))
    return max(0.0, run.ended + pause - time.time())
