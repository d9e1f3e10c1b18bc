"""When a run that was left unfinished is taken up again by itself."""

from __future__ import annotations

from flows.ledger import Ledger
from flows.ledger_view import Run
from flows.records import RowState

COUNT, ROWS = "resumed", "resumed_rows"  # facts: how often in a row, and how many rows had their answer then


def resumptions(run: Run) -> int:
    """How often in a row the run was taken up again by itself without that the API answered for a single row."""
    return 0 if _answered(run) > run.fact(ROWS, -1.0) else int(run.fact(COUNT))


def count_resumption(ledger: Ledger, run: Run) -> None:
    """Note that the run is taken up once more."""
    ledger.facts(run.id, **{COUNT: resumptions(run) + 1, ROWS: _answered(run)})


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
