"""Serves the deployments of every pipeline on this machine: `rowrelay serve`.

Definitions may change while it runs. What is right is taken over within seconds; a file that is wrong is left out with
a message, and the deployments of its pipeline stay as they were. Runs under way keep the definition that they began
with. Asked to end (SIGTERM, Ctrl-C), it takes on nothing more, and runs under way are handed over: they get the answers
that they wait for, and whoever serves next goes on with what is left.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import httpx

from deployments.registry.heartbeat import HEARTBEAT_SECONDS, VARIABLE
from flows import logs
from flows.errors import RowrelayError, StackError
from flows.pipeline.definition import Definition
from flows.pipeline.pipelines import Mark, Pipelines, present
from flows.pipeline.pipelines import mark as marked
from flows.settings import Settings

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.runner import Runner

LOOK_SECONDS = 2.0
RUNS_OF_A_MACHINE = 32  # processes, whatever they run
POLL_SECONDS = 0.5  # for runs that somebody has just asked for
AHEAD_SECONDS = 1.0  # by default 10: then a scheduled run begins before its time

log = logging.getLogger("rowrelay.serve")


def run(ready: Path | None) -> int:
    """Serve until asked to end. Returns 2 where no definition is right.

    Raises SettingError, DefinitionError, and StackError where Prefect does not answer.

    The file `ready` is made once everything is served.
    """
    settings = Settings.read()
    logs.voice(log.name, settings.log_format)
    mark = marked(settings)
    found = present(settings)
    _tell_refused(found)
    if not found:
        return 2
    os.environ.setdefault(VARIABLE, str(HEARTBEAT_SECONDS))
    os.environ.update(logs.for_prefect(os.environ))
    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(_serve(settings, found, mark, ready))
    except (httpx.TransportError, OSError) as exc:
        address = os.environ.get("PREFECT_API_URL", "")
        raise StackError(
            f"Prefect does not answer{f' at {address}' if address else ''}: {str(exc) or type(exc).__name__}",
            hint="Start it, or correct PREFECT_API_URL.",
        ) from exc
    return 0


async def _serve(settings: Settings, found: Pipelines, mark: Mark, ready: Path | None) -> None:
    from prefect.client.orchestration import get_client
    from prefect.runner import Runner

    from deployments.registry import deployments
    from deployments.runners import fork_server, prefect_starter, zombies

    runner = Runner(
        name="rowrelay",
        pause_on_shutdown=False,
        limit=RUNS_OF_A_MACHINE,
        query_seconds=POLL_SECONDS,
        prefetch_seconds=AHEAD_SECONDS,
    )
    async with get_client() as client:
        crashes = await deployments.register(client, await deployments.recovery(), runner.aadd_deployment)
        for paused in await deployments.pause_refused(client):
            _say(f"A schedule is paused, as it cannot be run. {paused}")
        served: dict[str, Definition] = {}
        offered = [crashes, *await _take_over(runner, client, served, found)]
        await _automate(client, crashes, settings)
        _tell_ready(ready)
        if left := await deployments.give_back(client, offered):
            _say(f"{left} runs that an earlier process had taken on are scheduled anew.")
        watches = [
            asyncio.create_task(_watch(runner, client, settings, served, () if _behind(served, found) else mark)),
            asyncio.create_task(zombies.watch(settings)),
        ]
        try:
            with fork_server.beside(os.environ) as command:
                prefect_starter.start_by(command)
                await _run(runner)
        finally:
            for watch in watches:
                watch.cancel()


async def _run(runner: Runner) -> None:
    """Run what is scheduled until asked to end, and then until everything under way is handed over."""
    asked = asyncio.Event()
    serving = asyncio.create_task(runner.start())
    await asyncio.sleep(0)  # it hears SIGTERM itself from here on, and would take its runs with it
    with _heard(asked):
        leaving = asyncio.create_task(_leave(runner, asked))
        await asyncio.wait({serving, leaving}, return_when=asyncio.FIRST_COMPLETED)
    leaving.cancel()
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving


@contextmanager
def _heard(asked: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, asked.set)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _leave(runner: Runner, asked: asyncio.Event) -> None:
    from deployments.runners.drain import hand_over

    await asked.wait()
    _say("Leaving: runs under way are handed over.")
    runner._scheduled_run_poller.stopping = True  # noqa: SLF001  `stop` would end the runs as well
    if not await asyncio.to_thread(hand_over, os.getpid()):
        _say("Some runs did not end in time; they are resumed when they are found dead.")


async def _automate(client: PrefectClient, recovery: UUID, settings: Settings) -> None:
    from prefect.exceptions import PrefectHTTPStatusError

    from deployments.registry import automations, notifications

    try:
        await automations.resume_crashed(client, recovery)
    except (PrefectHTTPStatusError, httpx.HTTPError) as exc:
        _say(f"Crashed runs will not be resumed by themselves: {exc}")
    try:
        await notifications.renew(client, settings)
    except (PrefectHTTPStatusError, httpx.HTTPError) as exc:
        _say(f"Who is told of runs that stop is not up to date: {exc}. Say `rowrelay notify` once more.")


async def _offer(runner: Runner, client: PrefectClient, definition: Definition) -> list[UUID]:
    from deployments.registry import deployments

    return [
        await deployments.register(client, made, runner.aadd_deployment) for made in await deployments.of(definition)
    ]


async def _watch(
    runner: Runner, client: PrefectClient, settings: Settings, served: dict[str, Definition], mark: Mark
) -> None:
    """Take over what changes on disk, for as long as this runs."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            now = marked(settings)
            if now == mark:
                continue
            mark = now
            found = present(settings)
            _tell_refused(found)
            await _take_over(runner, client, served, found)
            mark = () if _behind(served, found) else mark  # so that the next look tries again
        except RowrelayError as exc:
            _say(f"Refused, everything stays as it was: {exc}")
        except Exception as exc:  # Prefect raises errors of many libraries when it is away
            mark = ()  # so that the next look tries again
            _say(f"The change could not be taken over yet: {exc}")


async def _take_over(
    runner: Runner, client: PrefectClient, served: dict[str, Definition], found: Pipelines
) -> list[UUID]:
    """Offer what is new or has changed. One that Prefect does not take keeps no other from being served."""
    began, offered = bool(served), list[UUID]()
    for name, definition in found.items():
        if name in served and served[name].resolved() == definition.resolved():
            continue
        try:
            offered += await _offer(runner, client, definition)
        except Exception as exc:  # Prefect raises errors of many libraries
            _say_once(f"Pipeline {name} could not be taken over, its deployments stay as they were: {exc}")
            continue
        if began:
            _say(f"Pipeline {name} is {'changed' if name in served else 'there'}.")
        served[name] = definition
    for name in await _withdraw(client, found):
        served.pop(name, None)
    return offered


def _behind(served: dict[str, Definition], found: Pipelines) -> bool:
    """Whether anything could not be taken over."""
    return any(name not in served or served[name].resolved() != each.resolved() for name, each in found.items())


async def _withdraw(client: PrefectClient, found: Pipelines) -> list[str]:
    from deployments.registry import deployments

    gone = await deployments.withdraw_missing(client, found)
    for name in gone:
        _say(f"Pipeline {name} is gone: its schedules end; runs that are unfinished can still be resumed.")
    return gone


def _tell_ready(mark: Path | None) -> None:
    if mark:
        mark.touch()


def _tell_refused(found: Pipelines) -> None:
    for fault in found.refused.values():
        _say(f"Refused, the deployments of its pipeline stay as they were, and new runs of it fail: {fault}")


@lru_cache(maxsize=100)
def _say_once(text: str) -> None:
    """What is found anew at every look."""
    _say(text)


def _say(text: str) -> None:
    log.info(text)
