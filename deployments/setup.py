"""Sets a Prefect server up for workers: `python -m deployments.setup [POOL]`. May be run again after every change.

It makes the work pool, the deployments of every pipeline and the automation that resumes crashed runs. Workers are then
started with `python -m deployments.worker`, on as many machines as there are; each needs this package,
ROWRELAY_REDIS_URL, PREFECT_API_URL, and storage that all of them reach.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING
from uuid import UUID

import httpx

from deployments import stack
from flows.errors import RowrelayError
from flows.pipeline.pipelines import present
from flows.settings import Settings

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.deployments.runner import RunnerDeployment

POOL = "rowrelay"


def main(arguments: list[str]) -> int:
    """Set up, saying what there is then. Returns 1 where wrong definitions were left out, 2 where nothing goes."""
    try:
        settings = Settings.read()
        stack.ready_prefect(settings)
        refused = asyncio.run(_set_up(settings, arguments[0] if arguments else POOL))
    except (RowrelayError, httpx.HTTPError, RuntimeError) as exc:  # the last: Prefect is not there
        sys.stderr.write(f"{exc}\n")
        return 2
    for fault in refused:
        sys.stderr.write(f"Left out, its deployments stay as they were: {fault}\n")
    return 1 if refused else 0


async def _set_up(settings: Settings, pool: str) -> list[RowrelayError]:
    from prefect.client.orchestration import get_client

    from deployments import automations, roster

    found = present(settings)
    async with get_client() as client:
        await _make_pool(client, pool)
        recovery = await roster.recovery(work_pool=pool)
        await automations.resume_crashed(client, await _apply(client, recovery))
        for definition in found.values():
            for made in await roster.of(definition, work_pool=pool):
                await _apply(client, made)
        for name in await roster.withdraw_missing(client, found, work_pool=pool):
            _say(f"{name}: its definition is gone; paused, its schedules are taken away")
    _say(f"automation: {automations.RESUME}")
    _say(f"Start workers with: python -m deployments.worker {pool}")
    return list(found.refused.values())


async def _apply(client: PrefectClient, made: RunnerDeployment) -> UUID:
    from deployments import roster

    identity = await (await roster.keep_what_people_set(client, made)).aapply()
    _say(f"{made.flow_name}/{made.name}")
    return identity


async def _make_pool(client: PrefectClient, name: str) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound

    try:
        await client.read_work_pool(name)
    except ObjectNotFound:
        await client.create_work_pool(WorkPoolCreate(name=name, type="process", description="Runs of Rowrelay"))
    _say(f"work pool {name}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
