"""What Prefect would begin or go on with, once it and the ledger were put back from a backup."""

from __future__ import annotations

import asyncio

import httpx

from deployments.embedded import addresses
from flows.errors import StackError
from flows.ledger.connection import masked
from flows.settings import Settings

WHY = "the ledger was put back from a backup; the run does not go on by itself"
PAGE = 200


def cancel_due(settings: Settings) -> list[str]:
    """Cancel every run of ours that has had its time. Returns their names. Raises StackError."""
    addresses.ready_prefect(settings)
    try:
        return asyncio.run(_cancel())
    except (httpx.HTTPError, RuntimeError) as exc:  # the second: Prefect is not there
        server = masked(addresses.prefect_api_url(settings))
        raise StackError(f"Prefect at {server} does not answer: {exc}", hint="Start it, then say it again.") from exc


async def _cancel() -> list[str]:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterExpectedStartTime,
        FlowRunFilterState,
        FlowRunFilterStateType,
        FlowRunFilterTags,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort
    from prefect.states import Cancelled
    from prefect.types import DateTime

    from deployments.registry.deployments import TAG

    alive = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING]
    due = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=alive)),
        tags=FlowRunFilterTags(all_=[TAG]),
        expected_start_time=FlowRunFilterExpectedStartTime(before_=DateTime.now("UTC")),
    )
    names = []
    async with get_client() as client:
        # The server refuses to do without an order, which the client leaves out.
        by = FlowRunSort.EXPECTED_START_TIME_ASC
        while found := await client.read_flow_runs(flow_run_filter=due, sort=by, limit=PAGE):
            for run in found:
                await client.set_flow_run_state(run.id, Cancelled(message=WHY), force=True)
                names.append(str(run.name))
    return names
