"""A ban that Redis could not be told of outlives the process that saw it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from deployments.embedded.redis_server import RedisServer
from flows.errors import LimitLatched
from flows.limit.clock import boot_time
from flows.limit.limiter import Limiter, open_limit, status
from flows.limit.script import Report
from flows.limit.stops import Stops
from flows.records import LimitTerms
from tests.harness.wait import wait_until
from tests.harness.world import ROOT

TERMS = LimitTerms("banned", ((7, 0.2),), 7, 0.2, 0.1)

SAW_A_BAN = """
import asyncio, sys
from pathlib import Path
from flows.limit.limiter import Limiter
from tests.limit.test_stops import TERMS

async def main():
    async with Limiter(sys.argv[1], stops_folder=Path(sys.argv[2])) as limiter:
        limit = limiter.limit(TERMS)
        (permit,) = await limit.acquire()
        print("sent", flush=True)
        sys.stdin.readline()
        latching = asyncio.create_task(limit.latch("403 with an HTML page", "run 1"))
        await asyncio.sleep(0)
        await asyncio.sleep(600)

asyncio.run(main())
"""


def files(folder: Path) -> list[Path]:
    return list(folder.glob("*.stop"))


def test_a_ban_outlives_a_process_killed_while_redis_was_away(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis").start()
    stops = tmp_path / "journal"
    process = subprocess.Popen(
        [sys.executable, "-c", SAW_A_BAN, server.url, str(stops)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "sent\n"
        server.kill()
        process.stdin.write("403\n")
        process.stdin.flush()
        wait_until(lambda: files(stops), what="the ban on disk")
        process.kill()
        process.wait()

        async def next_process() -> None:
            async with Limiter(server.url, stops_folder=stops) as limiter:
                limit = limiter.limit(TERMS)
                with pytest.raises(LimitLatched, match="403 with an HTML page"):
                    await limit.acquire()  # Redis is still away
                server.start()
                with redis.Redis.from_url(server.url) as client:
                    await asyncio.to_thread(
                        wait_until, lambda: status(client, "banned").latched, what="Redis to have been told"
                    )
                with pytest.raises(LimitLatched):
                    await limit.acquire()

        asyncio.run(asyncio.wait_for(next_process(), 30))
        assert files(stops) == []

        with redis.Redis.from_url(server.url) as client:
            assert status(client, "banned").latch_run == "run 1"
            assert open_limit(client, "banned", by="a person")

        async def later() -> None:
            async with Limiter(server.url, stops_folder=stops) as limiter:
                (permit,) = await limiter.limit(TERMS).acquire()
                permit.unused()

        asyncio.run(asyncio.wait_for(later(), 30))
    finally:
        process.kill()
        server.kill()


def test_the_first_process_after_a_ban_tells_redis_even_if_it_only_comes_and_goes(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis").start()
    Stops(tmp_path, "banned").keep(Report("l", '{"reason": "403", "run": "r", "at": 1}'))

    async def story() -> None:
        async with Limiter(server.url, stops_folder=tmp_path) as limiter:
            with pytest.raises(LimitLatched):
                await limiter.limit(TERMS).acquire()

    try:
        asyncio.run(asyncio.wait_for(story(), 30))
        with redis.Redis.from_url(server.url) as client:
            assert status(client, "banned").latched
        assert files(tmp_path) == []
    finally:
        server.kill()


def test_a_pause_is_kept_too_and_forgotten_when_it_is_over(tmp_path: Path) -> None:
    Stops(tmp_path, "x").keep(Report("p", "429", boot_time() + 100))
    Stops(tmp_path, "x").keep(Report("p", "429 before", boot_time() - 1))
    Stops(tmp_path, "another").keep(Report("p", "429", boot_time() + 100))

    (stop,) = Stops(tmp_path, "x").read()

    assert (stop.kind, stop.id) == ("p", "429")
    assert stop.moment - boot_time() == pytest.approx(100, abs=1)
    assert len(files(tmp_path)) == 2


def test_a_stop_that_another_process_told_is_not_told_again(tmp_path: Path) -> None:
    """A person may have opened the limit in between."""
    first = Stops(tmp_path, "x")
    ban = Report("l", "{}", time.time())
    first.keep(ban)
    second = Stops(tmp_path, "x")
    (same,) = second.read()
    assert first.stands(ban)
    assert second.stands(same)

    second.forget(same)

    assert not first.stands(ban)
