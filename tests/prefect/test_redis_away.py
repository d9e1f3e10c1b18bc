"""Flows that are under way when Redis goes away for some seconds go on when it is back."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments.embedded.redis_server import RedisServer
from flows.ledger.connection import connect
from flows.ledger.ledger import Ledger
from flows.pipeline.reading import load
from tests.harness.flow_runs import LIMIT, QUICK, begun, ended
from tests.harness.forked import Forked
from tests.harness.stack import RunningStack
from tests.harness.wait import wait_until
from tests.harness.world import World, world

NAME = "awayflow"
SETTLE_SECONDS, AWAY_SECONDS = 3.0, 6.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    made = RedisServer(tmp_path / "redis").start()
    yield made
    made.stop()


@pytest.fixture
def away(tmp_path: Path, server: RedisServer) -> Iterator[World]:
    with world(tmp_path, server.url, limit=LIMIT | {"name": NAME}, knobs=QUICK, name=NAME) as w:
        yield w


def start(w: World, stack: RunningStack, **given: Any) -> Forked:
    """A flow that has this test's Redis."""
    environment = {
        **os.environ,
        **stack.environment,
        "ROWRELAY_REDIS_URL": w.redis_url,
        "ROWRELAY_PIPELINES": str(w.pipeline),
        "ROWRELAY_DATA": str(w.folder / "data"),
        "ROWRELAY_SETTLE_SECONDS": str(SETTLE_SECONDS),
        "ROWRELAY_AUTO_RESUME": "0",
    }
    return begun(w, "look_flow_process", environment, **given)


def kill(server: RedisServer) -> threading.Timer:
    """Kill the server, and let it come back."""
    server.kill()
    back = threading.Timer(AWAY_SECONDS, server.start)
    back.start()
    return back


def test_a_look_through_an_inbox_goes_on(away: World, stack: RunningStack, server: RedisServer) -> None:
    inbox = away.folder / "data" / "inbox" / NAME
    inbox.mkdir(parents=True)
    young = away.file(3)  # so young that the look waits for it, and asks nothing of Redis meanwhile
    os.utime(young, (time.time() + 3600, time.time() + 3600))
    young.rename(inbox / "young.csv")
    looking = start(away, stack, pipeline=NAME)
    client = connect(server.url)
    wait_until(lambda: client.keys(f"rowrelay:inbox:{NAME}:turn:*"), seconds=60, what="the look")

    back = kill(server)
    found = ended(looking)
    back.join()

    assert (found["type"], found["message"]) == ("COMPLETED", "1 delivered")
    assert (inbox / "done" / "young.csv").exists()


def test_the_recovery_of_a_run_goes_on(away: World, stack: RunningStack, server: RedisServer) -> None:
    client = connect(server.url)
    ledger = Ledger(client)
    ledger.create("r1", definition=load(away.pipeline).resolved(), by="test", pipeline=NAME, file="rows.csv")
    epoch = ledger.take("r1", "who is about to die", resume=False)
    before = len(client.client_list())
    recovering = start(away, stack, flow="flows.recover:recover", crashed="r1")

    def begins() -> bool:
        ledger.renew("r1", epoch)  # until the recovery is there, and waits for the lease to lapse
        return len(client.client_list()) > before

    wait_until(begins, seconds=90, what="the recovery")

    back = kill(server)
    found = ended(recovering)
    back.join()

    assert (found["type"], found["message"]) == (
        "FAILED",
        "r1 died and is not resumed by itself, as ROWRELAY_AUTO_RESUME is 0. Resume it yourself.",
    )
