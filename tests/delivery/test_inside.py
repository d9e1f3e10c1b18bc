"""A mistake of our own while rows are on their way: each of them is in one known state all the same, and it is told."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from deployments.embedded.redis_server import RedisServer
from flows.delivery.journal import Journal
from flows.errors import Stopped
from flows.ledger.connection import connect
from flows.ledger.ledger import SERIALS, Ledger
from flows.ledger.view import View
from flows.limit.limiter import Limiter, Permit
from flows.records import Reply, Row, RowState
from tests.harness.faulty import TERMS, Faulty, sender_of
from tests.harness.rows import RUN, begin

ROWS = 10
FILE = [Row(number, number + 1, {"userId": number}) for number in range(1, ROWS + 1)]


class Torn(Ledger):
    """A ledger whose claims are taken by Redis, and fail then."""

    def claim(self, *args: Any, **kwargs: Any) -> tuple[str, list[list[int]]]:
        """As `Ledger.claim`."""
        super().claim(*args, **kwargs)
        raise KeyError("claimed")


class Refused(Ledger):
    """A ledger whose claims Redis refuses."""

    def __init__(self, client: redis.Redis, error: redis.ResponseError) -> None:
        super().__init__(client)
        self._error = error

    def claim(self, *args: Any, **kwargs: Any) -> tuple[str, list[list[int]]]:
        """As `Ledger.claim`."""
        raise self._error


class Held(Faulty):
    """In the place of the client: answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.let = asyncio.Event(), asyncio.Event()

    async def send(self, request: httpx.Request, permit: Permit) -> Reply:
        """As `Client.send`."""
        self.asked.set()
        await self.let.wait()
        return await super().send(request, permit)


async def deliver(
    ledger: Ledger, epoch: int, folder: Path, redis_url: str, client: Faulty
) -> tuple[Counter[str], Stopped | None]:
    """All rows, and why the sender stopped."""
    async with Limiter(redis_url) as limiter:
        sender = sender_of(ledger, epoch, folder, limiter, client)
        await sender.start()
        states = await sender.deliver(FILE)
        await sender.close()
    return states, sender.stopped


def rows_in(view: View, state: RowState) -> Sequence[int]:
    """Their numbers."""
    return view.select(RUN, [state], ROWS).tolist()  # type: ignore[no-any-return]


def test_a_row_that_fails_inside_is_unknown_and_the_others_go_on(tmp_path: Path, redis_url: str) -> None:
    ledger, view, epoch = begin(connect(redis_url), total=ROWS)

    states, stopped = asyncio.run(deliver(ledger, epoch, tmp_path, redis_url, Faulty(before=3, after=4)))

    assert stopped is None
    assert states == Counter(done=8, unknown=2)
    assert rows_in(view, RowState.UNKNOWN) == [3, 4]
    (record,) = view.records(RUN, [4], names=(), created=0)
    assert record.reason == "internal error: KeyError('after')"


@pytest.mark.parametrize(("client", "unused"), [(Faulty(without=3), 1), (Faulty(before=3), 1), (Faulty(), 0)])
def test_the_permit_of_a_row_for_which_no_request_is_made_is_handed_back(
    tmp_path: Path, redis_url: str, client: Faulty, unused: int
) -> None:
    ledger, _, epoch = begin(connect(redis_url), total=ROWS)

    async def run() -> tuple[Counter[str], int]:
        async with Limiter(redis_url) as limiter:
            sender = sender_of(ledger, epoch, tmp_path, limiter, client)
            await sender.start()
            states = await sender.deliver(FILE)
            await sender.close()
            counters = limiter.limit(TERMS).counters
            return states, counters.granted - counters.unused  # a busy machine lets some lapse and takes others

    states, used = asyncio.run(run())

    assert states.total() - states["done"] == unused
    assert used == ROWS - unused


def test_claims_that_fail_inside_are_taken_back_and_whoever_waits_is_let_go(tmp_path: Path, redis_url: str) -> None:
    ledger, view, epoch = begin(connect(redis_url), total=ROWS)

    states, stopped = asyncio.run(deliver(Torn(ledger.client), epoch, tmp_path, redis_url, Faulty()))

    assert states == Counter(left=ROWS)
    assert stopped is not None
    assert stopped.message == "Internal error: KeyError('claimed')"
    assert rows_in(view, RowState.WAITING) == list(range(1, ROWS + 1))
    assert view.run(RUN).counts[RowState.WAITING] == ROWS


@pytest.mark.parametrize(
    "error", [redis.ResponseError("NOPERM no permission to run 'evalsha'"), redis.exceptions.OutOfMemoryError("full")]
)
def test_claims_that_redis_refuses_stop_the_run_and_say_why(
    tmp_path: Path, redis_url: str, error: redis.ResponseError
) -> None:
    """At once, or where it may pass when it has lasted: not for ever, and not in silence."""
    _, view, epoch = begin(connect(redis_url), total=ROWS)
    ledger, events = Refused(connect(redis_url), error), []

    async def run() -> tuple[Counter[str], Stopped | None]:
        async with Limiter(redis_url) as limiter:
            sender = sender_of(ledger, epoch, tmp_path, limiter, Faulty(), give_up_seconds=0.5, on_event=events.append)
            await sender.start()
            states = await sender.deliver(FILE)
            await sender.close()
        return states, sender.stopped

    states, stopped = asyncio.run(run())

    assert states == Counter(left=ROWS)
    assert stopped is not None
    assert str(error) in stopped.message
    assert events[0] == f"Redis refuses claims, so nothing is sent: {error}"
    assert rows_in(view, RowState.WAITING) == list(range(1, ROWS + 1))


def test_a_sender_whose_claim_numbers_are_used_up_asks_for_others(tmp_path: Path, redis_url: str) -> None:
    ledger, view, epoch = begin(connect(redis_url), total=ROWS)
    first = ledger.serials(RUN)

    async def run() -> Counter[str]:
        async with Limiter(redis_url) as limiter:
            sender = sender_of(ledger, epoch, tmp_path, limiter, Faulty())
            sender._claiming.serials = iter(range(first, first + 4))
            await sender.start()
            states = await sender.deliver(FILE)
            await sender.close()
        return states

    assert asyncio.run(run()) == Counter({RowState.DONE: ROWS})
    assert rows_in(view, RowState.DONE) == list(range(1, ROWS + 1))
    assert ledger.serials(RUN) == first + 2 * SERIALS


def test_an_outcome_that_cannot_be_told_lets_go_whoever_waits_for_it(tmp_path: Path, redis_url: str) -> None:
    ledger, view, epoch = begin(connect(redis_url), total=ROWS)

    states, stopped = asyncio.run(deliver(ledger, epoch, tmp_path, redis_url, Faulty(strange=1)))

    assert stopped is not None
    assert stopped.message == "Internal error: KeyError('strange')"
    assert states["left"] >= 1
    assert states.total() == ROWS
    assert rows_in(view, RowState.SENDING) == [1]  # whoever takes the run up next makes it unknown, as after a death


def test_who_leaves_while_redis_is_away_is_not_held_back_by_rows_that_cannot_be_recorded(tmp_path: Path) -> None:
    async def leave() -> tuple[Counter[str], int]:
        server = RedisServer(tmp_path / "redis").start()
        try:
            ledger, _, epoch = begin(connect(server.url), total=ROWS)
            client = Held()
            async with Limiter(server.url) as limiter:
                sender = sender_of(ledger, epoch, tmp_path, limiter, client, give_up_seconds=3.0)
                await sender.start()
                waits = asyncio.create_task(sender.deliver(FILE))
                await asyncio.wait_for(client.asked.wait(), 20)
                server.kill()
                client.let.set()
                await asyncio.wait_for(sender.close(), 30)
                return await asyncio.wait_for(waits, 5), len(Journal(tmp_path / "journal", RUN).read())
        finally:
            server.stop()

    states, on_disk = asyncio.run(leave())

    assert states.total() == ROWS
    assert states["kept"] == on_disk >= 1
