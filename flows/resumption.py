"""When a run that was left unfinished is taken up again by itself."""

from __future__ import annotations

from flows.ledger import Ledger
from flows.ledger_view import Run

COUNT, ROWS = "resumed", "resumed_rows"  # facts: how often in a row, and how many rows were finished then


def may_resume(ledger: Ledger, run: Run, times: int) -> bool:
    """Whether to take the run up once more: at most `times` in a row that did not finish a single row.

    Every yes is counted, so ask only when the run is then resumed.
    """
    if run.finished_rows > run.fact(ROWS, -1.0):
        ledger.facts(run.id, **{COUNT: 0, ROWS: run.finished_rows})
    return ledger.count(run.id, COUNT) <= times
