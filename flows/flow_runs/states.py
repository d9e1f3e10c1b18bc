"""What Prefect is told of a run: who began it, and the state in which its flow run ends."""

from __future__ import annotations

import logging
from typing import Any

from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from flows.ledger.run import Run
from flows.records import RunState


def started_by() -> str:
    """Who has asked for this flow run, as its tags say."""
    tags = flow_run.tags or []
    for tag in tags:
        if tag.startswith("by:"):
            return str(tag[3:])
    return "schedule" if "auto-scheduled" in tags else "Prefect"


def final(run: Run, logger: Any) -> State[Any]:
    """The state for how the run ended, which is logged as well."""
    counts = ", ".join(f"{count} {word}" for word, count in run.shown_counts.items() if count) or "no rows"
    message = f"{counts} of {run.total}" + (f". {run.reason}" if run.reason else "")
    if run.state is RunState.CANCELLED:
        logger.info(message)
        return Cancelled(message=message)
    if run.state is RunState.STOPPED:
        logger.error(message)
        return Failed(message=message)
    logger.log(logging.INFO if run.ended_well else logging.WARNING, message)
    if not run.ended_well:
        return Completed(name="CompletedWithErrors", message=message)
    return Completed(message=message)
