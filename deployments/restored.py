"""After a ledger was put back from a backup: `python -m deployments.restored`, before anything that sends is started.

A backup is older than the truth: it does not know what was sent after it. So the waiting rows of unfinished runs become
`unknown`, which nobody sends again unasked, and the flow runs in Prefect that would go on with them are cancelled. Then
compare with the API: `rowrelay mark-done` for what has arrived, `rowrelay send --resume RUN --rows unknown` for what
has not.
"""

from __future__ import annotations

import asyncio
import sys

import httpx
import redis

from flows.connection import connect, verify
from flows.errors import RowrelayError
from flows.ledger import Ledger
from flows.ledger_view import Run, View
from flows.records import RowState, RunState
from flows.settings import Settings

WHY = "the ledger was put back from a backup; whether this row was sent since then is not known"
PAGE = 200


def main() -> int:
    """Do it, saying what was done. Returns 2 where that is not possible."""
    from prefect.exceptions import PrefectHTTPStatusError

    try:
        settings = Settings.read()
        client = connect(settings.redis_url.get_secret_value() if settings.redis_url else "")
        verify(client)
        asyncio.run(_cancel_flow_runs())
        doubt_all(client)
    except (RowrelayError, redis.RedisError, PrefectHTTPStatusError, httpx.HTTPError) as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    return 0


def doubt_all(client: redis.Redis) -> None:
    """Make the waiting rows of all unfinished runs unknown. May be called again."""
    view, ledger = View(client), Ledger(client)
    runs = [run for first in range(0, view.count(), PAGE) for run in view.runs(first, PAGE)]
    for run in runs:
        if run.state is RunState.FINISHED:
            continue
        moved = _doubt(view, ledger, run)
        _say(f"run {run.id} of {run.file}: {moved} rows are unknown now" + _rest(run))


def _doubt(view: View, ledger: Ledger, run: Run) -> int:
    rows = view.select(run.id, [RowState.WAITING], run.total).tolist()
    return ledger.doubt(run.id, rows, why=WHY)


def _rest(run: Run) -> str:
    return "" if run.total else "; it was still being checked: send it as a new run if the API has none of its rows"


async def _cancel_flow_runs() -> None:
    """End what Prefect's own backup would begin or go on with: every run of ours that has had its time."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterExpectedStartTime,
        FlowRunFilterState,
        FlowRunFilterStateType,
        FlowRunFilterTags,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.states import Cancelled
    from prefect.types import DateTime

    from deployments.roster import TAG

    alive = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING]
    due = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=alive)),
        tags=FlowRunFilterTags(all_=[TAG]),
        expected_start_time=FlowRunFilterExpectedStartTime(before_=DateTime.now("UTC")),
    )
    async with get_client() as client:
        while found := await client.read_flow_runs(flow_run_filter=due, limit=PAGE):
            for run in found:
                await client.set_flow_run_state(run.id, Cancelled(message=WHY), force=True)
                _say(f"flow run {run.name}: cancelled")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
