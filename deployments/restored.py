"""After a ledger was put back from a backup: `python -m deployments.restored`, before anything that sends is started.

A backup does not know what was sent after it. So the waiting rows of unfinished runs become `unknown`, which nobody
sends again unasked, every limit waits as after a restart, and what Prefect would go on with is cancelled. Then compare
with the API: `rowrelay mark-done` for what has arrived, `rowrelay send --resume RUN --rows unknown` for what has not.
Without Prefect `rowrelay restored` does the same.
"""

from __future__ import annotations

import asyncio
import sys

import httpx
import redis

from deployments.embedded import addresses
from flows.errors import RowrelayError
from flows.ledger.connection import connect, verify
from flows.ledger.view import View
from flows.restored import doubt, doubtful
from flows.settings import Settings

WHY = "the ledger was put back from a backup; the run does not go on by itself"
PAGE = 200


def main() -> int:
    """Do it, saying what was done. Returns 2 where that is not possible."""
    try:
        settings = Settings.read()
        client = connect(settings.redis_address)
        addresses.ready_prefect(settings)
        verify(client)
        for name in asyncio.run(cancel_flow_runs()):
            _say(f"flow run {name}: cancelled")
        for run, moved in doubt(client, doubtful(View(client)), by="deployments.restored").items():
            _say(f"run {run}: {moved} rows are unknown now")
    except (RowrelayError, redis.RedisError, httpx.HTTPError, RuntimeError) as exc:  # the last: Prefect is not there
        sys.stderr.write(f"{exc}\n")
        return 2
    return 0


async def cancel_flow_runs() -> list[str]:
    """End what Prefect's own backup would begin or go on with: every run of ours that has had its time. Their names."""
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


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
