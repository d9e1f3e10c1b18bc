"""Flow runs that show no sign of life, on a real Prefect server and with a clock of our own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import SecretStr

from deployments.embedded.redis_server import free_port
from deployments.registry.heartbeat import SILENT_SECONDS, UNBEGUN_SECONDS
from deployments.runners.zombies import LOOK_SECONDS, Silence, log, look, watch
from flows.ledger.connection import connect
from flows.ledger.erase import erase
from flows.ledger.ledger import Ledger
from flows.ledger.view import View
from flows.records import RunState
from flows.settings import Settings
from tests.harness.stack import RunningStack


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_silence_is_counted_from_the_last_change() -> None:
    clock, run, other = Clock(), uuid4(), uuid4()
    silence = Silence(clock)
    assert silence.seconds({run: "a"}) == {run: 0}
    clock.now += LOOK_SECONDS
    assert silence.seconds({run: "a", other: "a"}) == {run: LOOK_SECONDS, other: 0}
    clock.now += LOOK_SECONDS
    assert silence.seconds({run: "b"}) == {run: 0}
    clock.now += LOOK_SECONDS
    assert silence.seconds({run: "b", other: "a"}) == {run: LOOK_SECONDS, other: 0}  # it was gone in between


def test_who_has_not_looked_for_a_while_counts_anew() -> None:
    clock, run = Clock(), uuid4()
    silence = Silence(clock)
    silence.seconds({run: "a"})
    clock.now += 1000
    assert silence.seconds({run: "a"}) == {run: 0}
    clock.now += LOOK_SECONDS
    assert silence.seconds({run: "a"}) == {run: LOOK_SECONDS}


class Watched:
    """Flow runs on the stack's Prefect, and looks at them in steps of a clock."""

    def __init__(self, client: PrefectClient, view: View) -> None:
        self.client, self.view = client, view
        self.clock = Clock()
        self.silence = Silence(self.clock)

    async def begin(self, flow: str, state: str) -> UUID:
        found = await self.client._client.post("/flows/", json={"name": flow})
        body = {"flow_id": found.json()["id"], "state": {"type": state}}
        made = await self.client._client.post("/flow_runs/", json=body)
        return UUID(made.json()["id"])

    async def written(self, *runs: UUID, event: str = "prefect.flow-run.") -> None:
        """Wait until the server has written down what it knows of these; it does so once a second."""
        for run in runs:
            wanted = EventFilter(
                event=EventNameFilter(prefix=[event]), resource=EventResourceFilter(id=[f"prefect.flow-run.{run}"])
            )
            deadline = time.monotonic() + 60
            while not (await self.client.read_events(wanted, limit=1)).events:
                assert time.monotonic() < deadline, f"{event} of {run} is not written down"
                await asyncio.sleep(0.1)

    async def state(self, run: UUID) -> str:
        return str((await self.client.read_flow_run(run)).state_name)

    async def look_for(self, seconds: float) -> None:
        for _ in range(int(seconds / LOOK_SECONDS) + 1):
            await look(self.client, self.view, self.silence)
            self.clock.now += LOOK_SECONDS


@asynccontextmanager
async def watched(stack: RunningStack) -> AsyncIterator[Watched]:
    with temporary_settings({PREFECT_API_URL: stack.addresses.prefect_api_url}):
        async with get_client() as client:
            yield Watched(client, View(connect(stack.addresses.redis_url)))


def test_runs_that_fall_silent_are_marked_and_those_nobody_began_scheduled_anew(stack: RunningStack) -> None:
    async def play() -> None:
        async with watched(stack) as here:
            silent, unbegun = await here.begin("deliver", "RUNNING"), await here.begin("inbox", "PENDING")
            stopping, foreign = await here.begin("deliver", "CANCELLING"), await here.begin("other", "RUNNING")
            await here.written(silent, stopping, foreign)
            try:
                await here.look_for(SILENT_SECONDS - 2 * LOOK_SECONDS)
                assert [await here.state(run) for run in (silent, stopping)] == ["Running", "Cancelling"]
                await here.look_for(2 * LOOK_SECONDS)
                assert [await here.state(run) for run in (silent, stopping)] == ["Crashed", "Cancelled"]
                assert await here.state(unbegun) == "Pending"
                await here.look_for(UNBEGUN_SECONDS - SILENT_SECONDS)
                assert await here.state(unbegun) == "Scheduled"
                assert await here.state(foreign) == "Running"
            finally:
                for run in (silent, unbegun, stopping, foreign):
                    await here.client.delete_flow_run(run)

    asyncio.run(play())


@pytest.mark.parametrize("sign", ["heartbeat", "ledger"])
def test_a_run_that_gives_a_sign_of_life_is_left_alone(stack: RunningStack, sign: str) -> None:
    async def play() -> None:
        async with watched(stack) as here:
            run = await here.begin("deliver", "RUNNING")

            async def heartbeat() -> None:
                event = {
                    "occurred": datetime.now(UTC).isoformat(),
                    "event": "prefect.flow-run.heartbeat",
                    "resource": {"prefect.resource.id": f"prefect.flow-run.{run}"},
                    "id": str(uuid4()),
                }
                answer = await here.client._client.post("/events", json=[event])
                assert answer.status_code == 204, answer.text
                await here.written(run, event="prefect.flow-run.heartbeat")

            ledger = Ledger(here.view.client)
            if sign == "ledger":
                ledger.create(str(run), definition={}, by="command line", pipeline="posts", file="posts.csv")
                epoch = ledger.take(str(run), "deaths", resume=False, lease_seconds=600)
            try:
                await here.look_for(SILENT_SECONDS - 2 * LOOK_SECONDS)
                if sign == "heartbeat":
                    await heartbeat()
                await here.look_for(SILENT_SECONDS - 2 * LOOK_SECONDS)
                assert await here.state(run) == "Running"
            finally:
                if sign == "ledger":
                    ledger.end(str(run), epoch, RunState.CANCELLED)
                    erase(ledger.client, str(run))
                await here.client.delete_flow_run(run)

    asyncio.run(play())


def test_it_goes_on_looking_while_prefect_is_away_and_says_so_once(
    stack: RunningStack, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(redis_url=SecretStr(stack.addresses.redis_url))

    async def play() -> None:
        with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}):
            watching = asyncio.create_task(watch(settings))
            await asyncio.sleep(1)
            log.addHandler(caplog.handler)
            await asyncio.sleep(3 * LOOK_SECONDS)
            assert not watching.done()
            watching.cancel()

    try:
        asyncio.run(play())
    finally:
        log.removeHandler(caplog.handler)
    assert [record.levelname for record in caplog.records if record.name == log.name] == ["WARNING"]
