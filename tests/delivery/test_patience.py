"""A Redis that is away is waited for at any moment of a run, for as long as `give_up_seconds`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from deployments.embedded.redis_server import RedisServer
from flows.credentials.tokens import PATIENCE_SECONDS, Tokens
from flows.credentials.vault import Vault
from flows.delivery.delivery import Delivery
from flows.delivery.journal import Journal
from flows.errors import StackError
from flows.intake.turn import turn
from flows.ledger import keys
from flows.ledger.connection import connect
from flows.ledger.ledger import Ledger
from flows.ledger.view import View
from flows.limit.clock import boot_time
from flows.limit.limiter import Limiter
from flows.pipeline.auth import OAuth2
from flows.pipeline.reading import load
from flows.records import RowState
from flows.settings import Settings
from tests.harness.faulty import Faulty, sender_of
from tests.harness.oauth import CLIENT, SECRET, OAuth
from tests.harness.rows import RUN, begin, claim, outcome
from tests.harness.wait import until, wait_until
from tests.harness.world import World, world

LIMIT = {"name": "api", "requests": 50, "window_seconds": 0.2}
AWAY_SECONDS = 1.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own, which it may kill."""
    made = RedisServer(tmp_path / "redis").start()
    yield made
    made.stop()


def away(server: RedisServer) -> threading.Timer:
    """Kill the server, and let it come back after a second."""
    server.kill()
    back = threading.Timer(AWAY_SECONDS, server.start)
    back.start()
    return back


def delivery_of(w: World, server: RedisServer, *, give_up_seconds: float = 60.0) -> Delivery:
    """A new run."""
    settings = Settings(data=w.folder / "data", give_up_seconds=give_up_seconds)
    definition = load(w.pipeline)
    delivery = Delivery("r1", definition, settings, server.url)
    delivery.ledger.create("r1", definition=definition.resolved(), by="test", pipeline="posts", file="rows.csv")
    return delivery


def test_a_check_goes_on_when_redis_is_back(tmp_path: Path, server: RedisServer) -> None:
    with world(tmp_path, server.url, limit=LIMIT) as w, ThreadPoolExecutor(1) as threads:
        delivery = delivery_of(w, server)
        delivery.take(resume=False)
        checking = threads.submit(delivery.spooling.check, w.file(30_000, bad=30_000))
        wait_until(lambda: w.run("r1").facts.checked_rows > 0, seconds=30, what="some rows")
        assert not checking.done()
        back = away(server)
        result = checking.result(timeout=60)
        back.join()

        assert (result.rows, result.rejected) == (60_000, 30_000)
        run = w.run("r1")
        assert (run.total, run.counts[RowState.REJECTED], run.counts[RowState.WAITING]) == (60_000, 30_000, 30_000)
        assert len({item.row for item in w.view.samples("r1")}) == len(w.view.samples("r1")) == 100
        delivery.release()


@pytest.mark.parametrize(
    "ask",
    [
        lambda delivery: delivery.take(resume=True),
        lambda delivery: delivery.take(resume=True, only_check=True),
        lambda delivery: delivery.trust(),
        lambda delivery: delivery.planned.plan("unfinished", epoch=delivery.lease.epoch),
        lambda delivery: delivery.planned.plan("failed", epoch=delivery.lease.epoch, request="once"),
        lambda delivery: delivery.put_down("checked"),
        lambda delivery: delivery.view.samples("r1"),
        lambda delivery: list(delivery.view.blocks("r1", 5, names=(), created=0.0)),
        lambda delivery: delivery.ledger.flow("r1", "flow-1"),
    ],
)
def test_whatever_is_asked_while_redis_is_away_is_asked_until_it_is_back(
    tmp_path: Path, server: RedisServer, ask: Callable[[Delivery], object]
) -> None:
    with world(tmp_path, server.url, limit=LIMIT) as w:
        delivery = delivery_of(w, server)
        delivery.take(resume=False)
        delivery.spooling.check(w.file(5))
        back = away(server)
        ask(delivery)
        back.join()

        run = w.run("r1")
        assert (run.total, run.counts[RowState.WAITING]) == (5, 5)
        delivery.release()


def test_who_waits_for_redis_gives_up_in_the_end(tmp_path: Path, server: RedisServer) -> None:
    with world(tmp_path, server.url, limit=LIMIT) as w:
        delivery = delivery_of(w, server, give_up_seconds=1.0)
        server.kill()
        with pytest.raises(StackError, match="Redis does not answer"):
            delivery.take(resume=False)
        delivery.release()


def test_a_password_that_is_wrong_is_not_waited_for(server: RedisServer) -> None:
    connect(server.url).config_set("requirepass", "right")
    wrong = connect(f"redis://:wrong@127.0.0.1:{server.port}/0", patience=lambda: 3600.0)
    with pytest.raises(redis.AuthenticationError):
        wrong.get("anything")


def test_outcomes_on_the_disk_wait_for_redis(tmp_path: Path, server: RedisServer) -> None:
    patient = connect(server.url, patience=lambda: 60.0)
    _, view, epoch = begin(patient)
    claim(Ledger(patient), epoch, (1, 1))
    Journal(tmp_path / "journal", RUN).append([outcome(1, epoch, 1, RowState.DONE)])

    async def start() -> None:
        async with Limiter(server.url) as limiter:
            sender = sender_of(Ledger(connect(server.url)), epoch, tmp_path, limiter, Faulty(), give_up_seconds=60.0)
            await sender.start()
            await sender.close()

    back = away(server)
    asyncio.run(start())
    back.join()

    assert View(patient).records(RUN, [1], names=(), created=0.0)[0].state is RowState.DONE
    assert view.run(RUN).counts[RowState.SENDING] == 0
    assert patient.exists(keys.run_key(RUN))


def test_how_rows_travel_together_is_asked_until_redis_is_back(tmp_path: Path, server: RedisServer) -> None:
    with world(tmp_path, server.url, limit=LIMIT, batch={"rows": 5}) as w, ThreadPoolExecutor(1) as threads:
        delivery = delivery_of(w, server)
        delivery.take(resume=False)
        delivery.connect()
        delivery.spooling.check(w.file(5))
        delivery.open()
        (chunk, *_) = delivery.planned.plan("unfinished", epoch=delivery.lease.epoch)
        back = away(server)
        sending = threads.submit(delivery.send, chunk)
        back.join()

        assert sending.result(timeout=60) == {"done": 5}
        delivery.close()
        delivery.release()


def test_a_token_is_looked_for_until_redis_is_back(tmp_path: Path, server: RedisServer) -> None:
    """Far longer than a token server is waited for."""
    said: list[str] = []
    looks, later = 0, 0.0

    def clock() -> float:
        nonlocal looks
        looks += 1
        return boot_time() + later

    async def main(oauth: OAuth) -> str:
        nonlocal later
        stated = {"grant": "client_credentials", "token_url": oauth.url + "/token", "client_id": CLIENT}
        tokens = Tokens(
            OAuth2.model_validate(stated | {"client_secret": "${secret:CS}"}),
            {"CS": SECRET},
            Vault(b"a key of thirty-two bytes, no less", tmp_path),
            server.url,
            connect(server.url),
            pipeline="p",
            event=said.append,
            give_up_seconds=10 * PATIENCE_SECONDS,
            clock=clock,
        )
        server.kill()
        waiting = asyncio.create_task(tokens.ready())
        await until(lambda: said, "the first look in vain", 20)
        later, before = 2 * PATIENCE_SECONDS, looks
        await until(lambda: waiting.done() or looks >= before + 2, "more of them", 20)
        await asyncio.to_thread(server.start)
        await waiting
        return tokens.access

    with OAuth() as oauth:
        assert asyncio.run(main(oauth))
        assert len(oauth.asked) == 1
    assert "Redis does not tell the token" in said[0]


def test_a_turn_at_a_folder_is_waited_for_and_a_lost_reply_loses_none(server: RedisServer) -> None:
    class Deaf(redis.Redis):
        """Does not hear what comes of the first setting."""

        heard = False

        def set(self, *args: Any, **kwargs: Any) -> Any:
            found = super().set(*args, **kwargs)
            if not self.heard:
                self.heard = True
                raise redis.ConnectionError("the line was cut")
            return found

    back = away(server)
    with turn(connect(server.url), "posts", "/in", patience_seconds=60.0) as ours:
        back.join()
        assert ours is not None
        deaf = Deaf.from_url(server.url)
        with turn(deaf, "posts", "/in", patience_seconds=60.0) as other:
            assert other is None
        deaf.heard = False
        with turn(deaf, "posts", "/other", patience_seconds=60.0) as own:
            assert own is not None
    assert not connect(server.url).keys("rowrelay:inbox:posts:turn:*"), "a turn was not given back"
