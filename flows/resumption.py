"""When a run that was left unfinished is taken up again by itself."""

from __future__ import annotations

import time

from flows.ledger import Ledger
from flows.ledger_view import Run
from flows.records import RowState

COUNT, ROWS = "resumed", "resumed_rows"  # facts: how often in a row, and how many rows were finished then
STOPS, DONE, LOST = (
    "stops",
    "stops_done",
    "stops_lost",
)  # how often in a row it cost rows and got none done; counts then
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 60.0, 3600.0


def may_resume(ledger: Ledger, run: Run, times: int) -> bool:
    """Whether to take the run up once more: at most `times` in a row that did not finish a single row.

    Every yes is counted, so ask only when the run is then resumed.
    """
    if run.finished_rows > run.fact(ROWS, -1.0):
        ledger.facts(run.id, **{COUNT: 0, ROWS: run.finished_rows})
    return ledger.count(run.id, COUNT) <= times


def note_stop(ledger: Ledger, run: Run) -> None:
    """Note that the run stopped for a reason that lies outside of it.

    An API that fails costs some rows at every try: these become failed or unknown, and a person has to look at them.
    """
    done, lost = run.counts[RowState.DONE], run.counts[RowState.FAILED] + run.counts[RowState.UNKNOWN]
    in_vain = done <= run.fact(DONE) and lost > run.fact(LOST)
    ledger.facts(run.id, **{STOPS: int(run.fact(STOPS)) + 1 if in_vain else 0, DONE: done, LOST: lost})


def pause_seconds(run: Run) -> float:
    """How long a stopped run is to be left alone yet: nothing after the first stop, then longer and longer."""
    stops = int(run.fact(STOPS))
    if stops < 2 or run.ended is None:
        return 0.0
    pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** (min(stops, 12) - 2))
    return max(0.0, run.ended + pause - time.time())
