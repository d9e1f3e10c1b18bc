"""Rows that the API has accepted for later are asked about by a flow run of their own: no process waits for them."""

from __future__ import annotations

from flows.delivery.settling import next_look_seconds
from flows.errors import RowrelayError
from flows.flow_runs.start import start
from flows.ledger.ledger import Ledger
from flows.ledger.run import Run
from flows.pipeline.definition import Definition
from flows.records import RowState, RunState


def schedule_look(run: Run, definition: Definition, ledger: Ledger) -> None:
    """Have the accepted rows of a run that has ended asked about, when it is time."""
    if definition.poll is None or not run.counts[RowState.ACCEPTED] or run.state is RunState.CANCELLED:
        return
    seconds = next_look_seconds(definition.poll, run.facts.looks)
    try:
        start(
            run.pipeline,
            resume=run.id,
            rows="accepted",
            by=run.by or "Rowrelay",
            idempotency_key=f"look:{run.id}:{run.facts.epoch}",
            after_seconds=seconds,
        )
    except RowrelayError as exc:
        ledger.event(run.id, f"Nobody asks about the accepted rows: {exc.message} Resume the run to ask.")
