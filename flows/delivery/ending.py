"""How a run ends."""

from __future__ import annotations

from flows.errors import Interrupted, RowrelayError
from flows.ledger.run import Run
from flows.records import RowState, RunState


def last_state(run: Run, failure: RowrelayError | None, *, cancelled: bool) -> tuple[RunState, str]:
    """The state in which a run ends, and why. `failure`: what cut it short; `cancelled`: somebody wished it to end."""
    if isinstance(failure, Interrupted):
        return RunState.CANCELLED, failure.message
    if failure is not None:
        return RunState.STOPPED, str(failure)
    left = run.counts[RowState.WAITING] + run.counts[RowState.SENDING]
    if cancelled and (left or not run.total):
        return RunState.CANCELLED, "cancelled before everything was sent"
    if left:
        return RunState.STOPPED, f"{left} rows were not sent; resume the run"
    return RunState.FINISHED, ""
