"""Sets a Prefect server up for workers: `rowrelay register [POOL]`. May be run again after every change.

With `--watch` it stays, and does so by itself when a definition changes; `--ready FILE` is made once it has.

It makes the work pool, the deployments of every pipeline and the automation that resumes crashed runs. Workers are then
started with `rowrelay worker`, on as many machines as there are; each needs this package,
ROWRELAY_REDIS_URL, PREFECT_API_URL, and storage that all of them reach.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import httpx

from deployments.embedded import addresses
from flows.errors import RowrelayError
from flows.pipeline.pipelines import Mark, mark, present
from flows.settings import Settings

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.deployments.runner import RunnerDeployment

POOL = "rowrelay"
LOOK_SECONDS = 2.0
AGAIN_SECONDS = 10.0  # after a Prefect server that was away


def run(pool: str, *, watch: bool, ready: Path | None) -> int:
    """Set up, saying what there is then. Returns 1 where wrong definitions were left out, 2 where nothing goes.

    With `watch` it stays, and sets up again when a definition changes. Raises SettingError, DefinitionError.
    """
    settings = Settings.read()
    seen = mark(settings)
    code = _try(settings, pool)
    if code != 2 and ready:
        ready.touch()
    while watch and code != 2:
        seen = _change(settings, pool, seen)
    return code


def _change(settings: Settings, pool: str, seen: Mark) -> Mark:
    """Wait for a change of the definitions and set up again, as often as it takes; what was seen then."""
    while (now := mark(settings)) == seen:
        time.sleep(LOOK_SECONDS)
    while _try(settings, pool) == 2:
        time.sleep(AGAIN_SECONDS)
        now = mark(settings)
    return now


def _try(settings: Settings, pool: str) -> int:
    try:
        addresses.ready_prefect(settings)
        refused = asyncio.run(_set_up(settings, pool))
    except (RowrelayError, httpx.HTTPError, RuntimeError) as exc:  # the last: Prefect is not there
        sys.stderr.write(f"{exc}\n")
        return 2
    for fault in refused:  # of a definition, or of Prefect
        sys.stderr.write(f"Left out, its deployments stay as they were: {fault}\n")
    return 1 if refused else 0


async def _set_up(settings: Settings, pool: str) -> list[Exception]:
    from prefect.client.orchestration import get_client

    from deployments.registry import automations, deployments, notifications

    found = present(settings)
    async with get_client() as client:
        await _make_pool(client, pool)
        recovery = await deployments.recovery(work_pool=pool)
        await automations.resume_crashed(client, await _apply(client, recovery))
        await notifications.renew(client, settings)
        for paused in await deployments.pause_refused(client):
            _say(f"A schedule is paused, as it cannot be run. {paused}")
        refused: list[Exception] = [*found.refused.values()]
        for name, definition in found.items():
            try:
                for made in await deployments.of(definition, work_pool=pool):
                    await _apply(client, made)
            except httpx.TransportError:
                raise
            except Exception as exc:  # one that Prefect does not take keeps no other from being served
                refused.append(RowrelayError(f"{name}: {exc}"))
        for name in await deployments.withdraw_missing(client, found, work_pool=pool):
            _say(f"{name}: its definition is gone; paused, its schedules are taken away")
    _say(f"automation: {automations.RESUME}")
    _say(f"Start workers with: rowrelay worker {pool}")
    return refused


async def _apply(client: PrefectClient, made: RunnerDeployment) -> UUID:
    from deployments.registry import deployments

    identity = await deployments.register(client, made, lambda kept: kept.aapply())
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
    sys.stdout.flush()
