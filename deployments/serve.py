"""Serves the deployments of every pipeline on this machine: `python -m deployments.serve`.

Definitions may change while it runs. What is right is taken over within seconds; what is wrong is refused with a
message, and the deployments stay as they were. Runs under way keep the definition that they began with.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import UUID

import httpx

from flows.definition import Definition, shipped
from flows.errors import RowrelayError
from flows.pipelines import present
from flows.settings import Settings

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.runner import Runner

LOOK_SECONDS = 2.0
RUNS_AT_ONCE = 32  # processes of this machine, whatever they run
AHEAD_SECONDS = 1.0  # by default 10: then a look through an inbox is cancelled for one that ends before its time comes

Mark = tuple[tuple[str, int, int], ...]


def main() -> int:
    """Serve until interrupted. Returns 2 where the definitions are wrong to begin with."""
    settings = Settings.read()
    mark = _mark(settings)
    try:
        found = present(settings)
    except RowrelayError as exc:
        _say(str(exc))
        return 2
    os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "30")  # read when Prefect is imported
    try:
        asyncio.run(_serve(settings, found, mark))
    except KeyboardInterrupt:
        return 0
    return 0


async def _serve(settings: Settings, found: Mapping[str, Definition], mark: Mark) -> None:
    from prefect.client.orchestration import get_client
    from prefect.runner import Runner

    from deployments import roster

    runner = Runner(name="rowrelay", pause_on_shutdown=False, limit=RUNS_AT_ONCE, prefetch_seconds=AHEAD_SECONDS)
    async with get_client() as client:
        crashes = await runner.aadd_deployment(await roster.keep_what_people_set(client, await roster.recovery()))
        for definition in found.values():
            await _offer(runner, client, definition)
        await _automate(client, crashes)
        if left := await roster.give_back(client):
            _say(f"{left} runs that an earlier process had taken on are scheduled anew.")
        watch = asyncio.create_task(_watch(runner, client, settings, dict(found), mark))
        try:
            await runner.start()
        finally:
            watch.cancel()


async def _automate(client: PrefectClient, recovery: UUID) -> None:
    from prefect.exceptions import PrefectHTTPStatusError

    from deployments import automations

    try:
        await automations.ensure(client, recovery)
    except (PrefectHTTPStatusError, httpx.HTTPError) as exc:
        _say(f"Runs of dead machines will not be resumed by themselves: {exc}")


async def _offer(runner: Runner, client: PrefectClient, definition: Definition) -> None:
    from deployments import roster

    for made in await roster.of(definition):
        await runner.aadd_deployment(await roster.keep_what_people_set(client, made))


async def _watch(
    runner: Runner, client: PrefectClient, settings: Settings, served: dict[str, Definition], mark: Mark
) -> None:
    """Take over what changes on disk, for as long as this runs."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            now = _mark(settings)
            if now == mark:
                continue
            mark = now
            await _take_over(runner, client, served, present(settings))
        except RowrelayError as exc:
            _say(f"The change is refused, everything stays as it was: {exc}")
        except Exception as exc:  # Prefect raises errors of many libraries when it is away
            mark = ()  # so that the next look tries again
            _say(f"The change could not be taken over yet: {exc}")


async def _take_over(
    runner: Runner, client: PrefectClient, served: dict[str, Definition], found: Mapping[str, Definition]
) -> None:
    for name, definition in found.items():
        if name in served and served[name].resolved() == definition.resolved():
            continue
        await _offer(runner, client, definition)
        _say(f"Pipeline {name} is {'changed' if name in served else 'new'}.")
        served[name] = definition
    for name in served.keys() - found.keys():
        await _withdraw(client, name)
        _say(f"Pipeline {name} is gone: its schedules end; runs that are unfinished can still be resumed.")
        del served[name]


async def _withdraw(client: PrefectClient, name: str) -> None:
    from flows.schedule import OWN

    there = await client.read_deployment_by_name(f"inbox/{name}")
    for schedule in there.schedules:
        if (schedule.slug or "").startswith(OWN):
            await client.delete_deployment_schedule(there.id, schedule.id)


def _mark(settings: Settings) -> Mark:
    """Something that changes with any definition file."""
    files = [
        file
        for path in (shipped(), *settings.pipelines)
        for file in (sorted(path.iterdir()) if path.is_dir() else [path])
        if file.exists()
    ]
    return tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
