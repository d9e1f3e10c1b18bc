"""Whoever leaves at once, however often that is asked for: nobody waits for ever, and what was not written waits."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from deployments.embedded.redis_server import RedisServer
from flows.delivery.delivery import Delivery
from flows.ledger.connection import connect
from flows.ledger.ledger import Ledger
from flows.pipeline.reading import load
from flows.records import RowState, RunState
from flows.settings import Settings
from tests.harness.wait import PATIENCE, wait_until
from tests.harness.world import World, world

LIMIT: dict[str, Any] = {"name": "leaving", "in_flight": 10, "grace_seconds": 0.1}
RUN = "r1"


@contextmanager
def delivering(w: World, rows: int) -> Iterator[tuple[Delivery, list[Future[dict[str, int]]]]]:
    """A delivery that is sending, and its chunks."""
    definition, file = load(w.pipeline), w.file(rows)
    Ledger(connect(w.redis_url)).create(
        RUN, definition=definition.resolved(), by="test", pipeline=definition.name, file=str(file)
    )
    delivery = Delivery(RUN, definition, Settings(data=w.folder / "data"), w.redis_url)
    delivery.take(resume=False)
    try:
        delivery.connect()
        delivery.spooling.check(file)
        delivery.open()
        pool = ThreadPoolExecutor(16)
        yield (
            delivery,
            [
                pool.submit(delivery.send, chunk)
                for chunk in delivery.planned.plan("unfinished", epoch=delivery.lease.epoch)
            ],
        )
        pool.shutdown()
    finally:
        delivery.close()


def counts(w: World) -> dict[RowState, int]:
    return w.run(RUN).counts


def all_end(chunks: list[Future[dict[str, int]]]) -> None:
    assert not wait_for(chunks, timeout=15 * PATIENCE).not_done, "a chunk waits for rows of which nobody will hear"


def test_leaving_again_and_again_while_redis_is_frozen_ends_and_everything_adds_up(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis").start()
    try:
        limit = {**LIMIT, "in_flight": 300}  # so that a claim is always under way
        with world(tmp_path, server.url, limit=limit, knobs={"requests": None}) as w:
            with delivering(w, 20_000) as (delivery, chunks):
                w.wait_for_rows(RUN, 100)
                server.kill(signal.SIGSTOP)
                time.sleep(0.3)  # whatever is to be claimed next is under way by now
                delivery.drain()
                for _ in range(6):
                    delivery.interrupt()
                    time.sleep(0.1)
                server.kill(signal.SIGCONT)
                all_end(chunks)
            ended = delivery.end()

            assert ended.state is RunState.CANCELLED
            assert sum(ended.counts.values()) == 20_000
            assert ended.counts[RowState.SENDING] == 0
            assert ended.counts[RowState.WAITING] > 0
            assert ended.counts[RowState.DONE] + ended.counts[RowState.UNKNOWN] >= w.report()["arrivals"]
    finally:
        server.stop()


def test_rows_whose_connection_was_not_there_yet_wait_and_were_not_sent(tmp_path: Path, redis_url: str) -> None:
    with ExitStack() as stack, socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # the system takes no more: whoever connects now waits
            other = stack.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(full.getsockname())
        request = {"url": f"http://127.0.0.1:{full.getsockname()[1]}/posts", "timeout_seconds": 3.0}
        with world(tmp_path, redis_url, limit=LIMIT, request=request, stop_after=10**6) as w:
            with delivering(w, 50) as (delivery, chunks):
                wait_until(
                    lambda: any("has not taken the connection yet" in text for _, text in w.view.events(delivery.run)),
                    seconds=20,
                    what="rows that wait for a connection",
                )
                delivery.drain()
                delivery.interrupt()
                all_end(chunks)
            ended = delivery.end()

            assert (ended.counts[RowState.WAITING], ended.counts[RowState.UNKNOWN]) == (50, 0)
            assert ended.facts.sent == 0
