"""What is made known to a real Prefect, over restarts, changes and people: schedules above all."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.schedules import RRuleSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.registry import deployments
from deployments.runners import serve
from flows.pipeline.definition import Definition
from flows.pipeline.pipelines import Pipelines, shipped
from flows.pipeline.reading import load
from tests.harness.stack import RunningStack
from tests.harness.world import ROOT


def stated(folder: Path, name: str, *crons: str) -> Definition:
    """The shipped pipeline under another name, with these schedules."""
    text = (shipped() / "posts.yaml").read_text().replace("name: posts ", f"name: {name} ", 1)
    plan = json.dumps([{"cron": each} for each in crons])
    path = folder / f"{name}.yaml"
    path.write_text(f"{text}\nschedules: {plan}\n")
    return load(path)


def with_prefect(stack: RunningStack, act: Callable[[PrefectClient], Awaitable[None]]) -> None:
    async def run() -> None:
        async with get_client() as client:
            await act(client)

    with temporary_settings(updates={PREFECT_API_URL: stack.addresses.prefect_api_url}):
        asyncio.run(run())


async def made_known(client: PrefectClient, definition: Definition) -> None:
    for made in await deployments.of(definition):
        await deployments.register(client, made, lambda kept: kept.aapply())


async def planned(client: PrefectClient, name: str) -> dict[str, DeploymentSchedule]:
    there = await client.read_deployment_by_name(f"inbox/{name}")
    found = {str(getattr(each.schedule, "cron", "")): each for each in there.schedules}
    assert len(found) == len(there.schedules), "one of them is there twice"
    return found


async def withdrawn(client: PrefectClient, name: str) -> None:
    for flow in ("deliver", "inbox"):
        await client.delete_deployment((await client.read_deployment_by_name(f"{flow}/{name}")).id)


def test_a_stated_schedule_that_a_person_removed_stays_removed(stack: RunningStack, tmp_path: Path) -> None:
    six, seven, five = "0 6 * * *", "0 7 * * *", "0 5 * * *"

    async def act(client: PrefectClient) -> None:
        await made_known(client, stated(tmp_path, "removed", six, seven))
        there = await planned(client, "removed")
        assert set(there) == {six, seven}
        deployment = (await client.read_deployment_by_name("inbox/removed")).id
        await client.delete_deployment_schedule(deployment, there[six].id)
        await client.update_deployment_schedule(deployment, there[seven].id, active=False)

        for crons in ((six, seven), (five, six, seven)):  # a restart, and another schedule in front of them
            await made_known(client, stated(tmp_path, "removed", *crons))
            there = await planned(client, "removed")
            assert set(there) == set(crons) - {six}
            assert not there[seven].active

        assert "removed" in await deployments.withdraw_missing(client, Pipelines())
        assert await planned(client, "removed") == {}
        await made_known(client, stated(tmp_path, "removed", five, six, seven))
        assert set(await planned(client, "removed")) == {five, seven}

        await made_known(client, stated(tmp_path, "removed", seven))
        await made_known(client, stated(tmp_path, "removed", six, seven))  # stated anew
        assert set(await planned(client, "removed")) == {six, seven}
        await withdrawn(client, "removed")

    with_prefect(stack, act)


def test_a_schedule_that_cannot_be_run_is_paused_and_named(stack: RunningStack, tmp_path: Path) -> None:
    async def act(client: PrefectClient) -> None:
        await made_known(client, stated(tmp_path, "endless", "0 6 * * *"))
        deployment = (await client.read_deployment_by_name("inbox/endless")).id
        rule = RRuleSchedule(rrule="DTSTART:20300101T000000\nRRULE:FREQ=DAILY;INTERVAL=-1", timezone="UTC")
        wanted = DeploymentScheduleCreate(schedule=rule, active=True)
        await client.create_deployment_schedules(deployment, [(wanted.schedule, True)])

        for _ in range(2):  # it is named at every start, for as long as it is there
            (said,) = await deployments.pause_refused(client)
            assert said.startswith("endless: ")
            assert "INTERVAL=-1 is not 1 or more" in said
        assert {cron: each.active for cron, each in (await planned(client, "endless")).items()} == {
            "0 6 * * *": True, "": False,
        }  # fmt: skip
        await withdrawn(client, "endless")

    with_prefect(stack, act)


class Registering:
    """In the place of Prefect's runner: it makes deployments known, but for those of one pipeline."""

    async def aadd_deployment(self, made: RunnerDeployment) -> UUID:
        if made.name == "untaken":
            raise ValueError("Prefect does not take it")
        return await made.aapply()


def test_a_pipeline_that_prefect_does_not_take_keeps_no_other_from_being_served(
    stack: RunningStack, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = Pipelines({name: stated(tmp_path, name) for name in ("untaken", "usable")})
    served: dict[str, Definition] = {}
    runner: Any = Registering()

    async def act(client: PrefectClient) -> None:
        for _ in range(2):
            await serve._take_over(runner, client, served, found)
        assert set(served) == {"usable"}
        assert (await client.read_deployment_by_name("deliver/usable")).name == "usable"
        await withdrawn(client, "usable")

    with caplog.at_level(logging.INFO, "rowrelay.serve"):
        with_prefect(stack, act)

    assert caplog.text.count("Pipeline untaken could not be taken over") == 1
    assert serve._behind(served, found)


def test_a_definition_that_prefect_does_not_take_keeps_no_other_from_workers(
    stack: RunningStack, tmp_path: Path
) -> None:
    """More schedules than fit into the variable in which Prefect remembers them."""
    stated(tmp_path, "crowded", *(f"{minute} {hour} * * *" for hour in range(24) for minute in range(0, 60, 7)))
    stated(tmp_path, "usable")  # which comes later
    command = [sys.executable, "-m", "deployments.commands", "register", "crowd"]
    environment = {**os.environ, **stack.environment, "ROWRELAY_PIPELINES": str(tmp_path)}

    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)

    async def act(client: PrefectClient) -> None:
        assert (await client.read_deployment_by_name("deliver/usable")).work_pool_name == "crowd"
        for name in ("crowded", "usable"):
            await withdrawn(client, name)

    assert ended.stderr.count("Left out, its deployments stay as they were: crowded: ") == 1, ended.stderr
    assert "inbox/usable" in ended.stdout
    assert ended.returncode == 1
    with_prefect(stack, act)
