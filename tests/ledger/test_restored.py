"""A ledger that was put back from a backup does not know what was sent since: nothing of it is sent again unasked."""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis

from deployments.embedded.redis_server import RedisServer
from flows.errors import RunBusy
from flows.ledger.backup_guard import BackupGuard, turn
from flows.ledger.connection import connect
from flows.ledger.ledger import Ledger
from flows.ledger.view import View
from flows.limit.limiter import Limiter
from flows.records import LimitTerms, RowState, RunState
from flows.restored import doubt, doubtful
from tests.harness.wait import until
from tests.harness.world import World, world

LIMIT = {"name": "restored", "requests": 50, "window_seconds": 1}


def test_waiting_rows_of_a_restored_ledger_are_sent_only_when_somebody_says_so(tmp_path: Path, redis_url: str) -> None:
    with world(tmp_path, redis_url, limit=LIMIT) as scene:
        run, over = str(uuid4()), str(uuid4())
        assert scene.deliver(over, file=scene.file(5, name="over.csv", first=1001))["state"] == RunState.FINISHED
        file = scene.file(200)
        left = interrupted(scene, run, file)
        sent = scene.report()["arrivals"]

        for _ in range(2):
            doubt(connect(redis_url), doubtful(scene.view), by="me")

        counts = scene.run(run).counts
        assert (counts[RowState.WAITING], counts[RowState.UNKNOWN]) == (0, left)
        assert scene.run(over).counts[RowState.DONE] == 5
        resumed = scene.deliver(run, file=file)
        assert resumed["counts"]["unknown"] == left
        assert scene.report()["arrivals"] == sent

        asked = scene.deliver(run, file=file, rows="unknown", request="a person")
        assert asked["counts"]["done"] == 200


def test_a_machine_that_has_seen_more_than_the_ledger_knows_asks_before_anything_is_sent(
    tmp_path: Path, redis_url: str, memory: Path
) -> None:
    client = connect(redis_url)
    with world(tmp_path, redis_url, limit=LIMIT) as scene:
        run, file = str(uuid4()), scene.file(150)
        left = interrupted(scene, run, file)
        backup = dumped(client)
        shutil.copytree(scene.folder / "data", scene.folder / "copy")  # as people do it, by hand
        assert scene.deliver(run, file=file)["counts"]["done"] == 150
        for _ in range(20):  # the machine has seen far more than what comes now will count
            BackupGuard(client, memory).rise()
        sent = scene.report()["arrivals"]
        assert sent == 150

        restore(client, backup)
        shutil.rmtree(scene.folder / "data")
        (scene.folder / "copy").rename(scene.folder / "data")
        for _ in range(2):  # asking is no answer
            asked = scene.deliver(run, file=file)
            assert asked["state"] == RunState.STOPPED
            assert "`rowrelay restored`" in asked["reason"]
            assert f"`rowrelay send --resume {run} --ledger-is-current`" in asked["reason"]
            assert asked["counts"]["waiting"] == left
        assert scene.report()["arrivals"] == sent

        doubt(client, doubtful(scene.view), by="me")
        doubted = scene.deliver(run, file=file)
        assert doubted["counts"] == {"done": 150 - left, "unknown": left} | NONE
        assert doubted["state"] == RunState.FINISHED  # it is not asked again
        assert scene.report()["arrivals"] == sent

        restore(client, backup)
        turn(client)  # what --ledger-is-current does
        assert scene.deliver(run, file=file)["counts"]["done"] == 150
        assert scene.report()["arrivals"] == sent + left


NONE = {"waiting": 0, "sending": 0, "accepted": 0, "failed": 0, "rejected": 0}


def interrupted(scene: World, run: str, file: Path) -> int:
    """Begin a run and cancel it midway. Returns how many of its rows wait."""
    engine = scene.start(run, file=file)
    scene.wait_for_rows(run, 20)
    engine.send_signal(signal.SIGTERM)
    return int(scene.ended(engine)["counts"]["waiting"])


def dumped(client: redis.Redis) -> dict[bytes, bytes]:
    return {key: value for key in client.scan_iter() if (value := client.dump(key))}


def restore(client: redis.Redis, backup: dict[bytes, bytes]) -> None:
    client.flushall()
    for key, value in backup.items():
        client.restore(key, 0, value)


def test_the_limits_of_a_restored_ledger_wait_as_after_a_restart(redis_server: RedisServer, redis_url: str) -> None:
    async def held_by(limiter: Limiter) -> str:
        limit = limiter.limit(LimitTerms("doubted", ((50, 1.0),), 5, 0.2, 0.2))
        asking = asyncio.create_task(limit.acquire())
        await until(lambda: limit.waiting_for or asking.done(), "it is told what holds it")
        why = limit.waiting_for
        for permit in await asking:
            permit.unused()
        return why

    async def story() -> None:
        async with Limiter(redis_server.url) as limiter:
            assert await held_by(limiter) == "quarantine"  # it is new here
            assert await held_by(limiter) != "quarantine"
            doubt(connect(redis_url), [], by="me")
            assert await held_by(limiter) == "quarantine"

    asyncio.run(story())


def test_only_what_this_machine_remembers_of_this_ledger_counts(tmp_path: Path, redis_url: str) -> None:
    client = connect(redis_url)
    here, elsewhere = BackupGuard(client, tmp_path / "here"), BackupGuard(client, tmp_path / "elsewhere")
    assert not here.has_fallen()
    here.rise()
    backup = dumped(client)
    here.rise()
    elsewhere.rise()
    assert not here.has_fallen()
    assert not elsewhere.has_fallen()

    restore(client, backup)
    assert here.has_fallen()
    assert elsewhere.has_fallen()
    assert not BackupGuard(client, tmp_path / "new").has_fallen()

    turn(client)  # what `doubt` does
    assert not here.has_fallen()
    assert not elsewhere.has_fallen()
    here.rise()

    client.flushall()  # another, empty ledger
    assert not here.has_fallen()
    restore(client, backup)  # and the old one again: it is still remembered
    assert here.has_fallen()


def test_a_memory_that_cannot_be_read_or_written_is_said_and_stops_nobody(
    tmp_path: Path, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "tide.json").write_text("{")
    guard = BackupGuard(connect(redis_url), tmp_path)
    guard.rise()
    assert "cannot be read" in caplog.text
    assert not guard.has_fallen()

    (tmp_path / "file").write_text("")
    BackupGuard(connect(redis_url), tmp_path / "file" / "folder").rise()
    assert "this machine will not notice" in caplog.text


def test_a_ledger_that_another_process_raises_meanwhile_is_no_backup(tmp_path: Path, redis_url: str) -> None:
    other = BackupGuard(connect(redis_url), tmp_path)
    other.rise()

    class Slow(redis.Redis):
        def hmget(self, *args: Any, **kwargs: Any) -> Any:
            answer = super().hmget(*args, **kwargs)
            other.rise()
            return answer

    with Slow.from_url(redis_url) as client:
        assert not BackupGuard(client, tmp_path).has_fallen()


def test_the_number_is_raised_once_a_minute_at_most_while_a_run_goes_on(tmp_path: Path, redis_url: str) -> None:
    client = connect(redis_url)
    guard = BackupGuard(client, tmp_path)
    guard.rise()
    for _ in range(3):
        guard.rise_by_and_by()
    assert client.hget("rowrelay:tide", "count") == b"1"


def test_a_ledger_is_not_doubted_while_one_of_its_runs_is_delivered(redis_url: str) -> None:
    ledger = Ledger(connect(redis_url))
    ledger.create("r", definition={}, by="test")
    ledger.take("r", "somebody", resume=False)

    with pytest.raises(RunBusy, match="Run r is being delivered"):
        doubtful(View(ledger.client))


def test_a_run_that_was_not_checked_when_the_backup_was_made_is_not_gone_on_with(redis_url: str) -> None:
    ledger, view = Ledger(connect(redis_url)), View(connect(redis_url))
    ledger.create("r", definition={}, by="test")

    doubt(ledger.client, doubtful(view), by="me")

    run = view.run("r")
    assert (run.state, run.cancelling) == (RunState.CANCELLED, True)
    assert "send its file as a new run" in run.reason
