"""What Prefect is told of a run: who began it, and the state in which its flow run ends."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from flows.flow_runs.outcome import OUTCOMES, SAYS_WITH_ERRORS, STOPPED, WAITING, WITH_ERRORS
from flows.ledger.run import Run
from flows.records import RowState, RunState


def started_by() -> str:
    """Who has asked for this flow run, as its tags say."""
    tags = flow_run.tags or []
    for tag in tags:
        if tag.startswith("by:"):
            return str(tag[3:])
    return "schedule" if "auto-scheduled" in tags else "Prefect"


def signed(by: str) -> None:
    """Let the tags of this flow run say who has asked for it, as those of every run that `start` begins do.

    Not by `prefect.tags`: its task runs would have the tag too, and ask for a slot of it, each of them.
    """
    _tag(lambda before: [*before, f"by:{by}"])


def told(state: State[Any], outcome: str = "") -> State[Any]:
    """The state as it is, once the tags of this flow run say its outcome.

    The outcome of an earlier end goes: Prefect can run a flow run again.
    """
    _tag(lambda before: [*(tag for tag in before if tag not in OUTCOMES), *filter(None, [outcome])])
    return state


def _tag(change: Callable[[list[str]], list[str]]) -> None:
    """Change the tags of this flow run. Prefect being away stops no delivery."""
    with suppress(httpx.HTTPError, PrefectHTTPStatusError, ObjectNotFound), get_client(sync_client=True) as client:
        own = UUID(str(flow_run.id))
        before = client.read_flow_run(own).tags
        wanted = change(before)
        if set(wanted) != set(before):
            client.update_flow_run(own, tags=wanted)


def final(run: Run, logger: Any) -> State[Any]:
    """The state for how the run ended, which is logged as well."""
    counts = ", ".join(f"{count} {word}" for word, count in run.shown_counts.items() if count) or "no rows"
    message = f"{counts} of {run.total}" + (f". {run.reason}" if run.reason else "")
    if run.state is RunState.CANCELLED:
        logger.info(message)
        return told(Cancelled(message=message))
    if run.state is RunState.STOPPED:
        logger.error(message)
        return told(Failed(message=message), STOPPED)
    waits = run.counts[RowState.ACCEPTED] > 0  # who asks about them later says how the run came out
    logger.log(logging.INFO if run.ended_well or waits else logging.WARNING, message)
    if waits:
        return told(Completed(message=f"Waiting for the API: {message}"), WAITING)
    if not run.ended_well:
        return told(Completed(message=f"{SAYS_WITH_ERRORS}{message}"), WITH_ERRORS)
    return told(Completed(message=message))
