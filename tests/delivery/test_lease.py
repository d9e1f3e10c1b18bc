"""Who delivers a run, and until when. The waiting for a dead deliverer goes by a clock that the tests move."""

from __future__ import annotations

import threading

import pytest
import redis

from flows.delivery.lease import RENEW_SECONDS, Lease
from flows.errors import Interrupted, RunBusy, Superseded
from flows.ledger import keys
from flows.ledger.connection import connect
from flows.ledger.ledger import LEASE_SECONDS, Ledger
from tests.harness.clock import MovedClock
from tests.harness.rows import RUN, begin
from tests.harness.wait import wait_until


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return connect(redis_url)


def lease_until(client: redis.Redis) -> float:
    """When the lease ends, in milliseconds of Redis's clock."""
    return float(client.hget(keys.run_key(RUN), "lease") or 0)  # type: ignore[arg-type]


def leave(client: redis.Redis, seconds: float) -> None:
    """Let the lease last so much longer from now on."""
    now, micros = client.time()  # type: ignore[misc]
    until = now * 1000 + micros // 1000 + round(seconds * 1000)
    client.hset(keys.run_key(RUN), mapping={"lease": until, "leased": 60_000})


def keepers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "lease"}


def test_a_lease_is_renewed_until_it_is_released(client: redis.Redis) -> None:
    ledger, _, epoch = begin(client)
    lease, before = Lease(RUN, Ledger(client)), keepers()
    leave(client, 0)

    lease.take(ledger, resume=True)
    taken = lease_until(client)
    assert (lease.epoch, len(keepers() - before)) == (epoch + 1, 1)
    wait_until(lambda: lease_until(client) > taken, seconds=RENEW_SECONDS * 5, what="a renewal")
    lease.release()

    assert not keepers() - before


def test_whoever_holds_a_run_hears_that_it_was_taken_over_or_is_no_longer_wanted(client: redis.Redis) -> None:
    ledger, _, epoch = begin(client)
    lease, heard = Lease(RUN, Ledger(client)), list[tuple[bool, bool]]()
    lease.epoch = epoch
    lease.on_change = lambda: heard.append((lease.lost, lease.cancelled))
    lease.renew()
    lease.require()
    assert heard == []

    ledger.cancel(RUN, by="ops")
    lease.renew()
    lease.renew()
    assert heard == [(False, True)]
    with pytest.raises(Interrupted):
        lease.require()

    leave(client, 0)
    ledger.take(RUN, "heir", resume=False)
    lease.renew()
    assert heard == [(False, True), (True, True)]
    with pytest.raises(Superseded):
        lease.require()


def test_whoever_runs_the_process_may_wish_its_end_as_well(client: redis.Redis) -> None:
    lease = Lease(RUN, Ledger(client))
    lease.interrupt()

    with pytest.raises(Interrupted):
        lease.require()


def test_a_deliverer_that_shows_no_life_is_waited_for_as_long_as_its_lease_lasts(client: redis.Redis) -> None:
    ledger, _, _ = begin(client)
    clock = MovedClock()
    began = clock.now

    def sleep(seconds: float) -> None:
        clock.now += seconds  # the lease stands still meanwhile, as if it were renewed just so

    with pytest.raises(RunBusy, match="already being delivered by me"):
        ledger.take(RUN, "other", resume=False, clock=clock, sleep=sleep)
    assert LEASE_SECONDS + 1 <= clock.now - began < LEASE_SECONDS + 2


@pytest.mark.parametrize(("renewals", "alive"), [(2, True), (1, False)])
def test_a_deliverer_that_renews_its_lease_twice_is_alive_and_one_that_does_so_once_need_not_be(
    client: redis.Redis, renewals: int, alive: bool
) -> None:
    """The one may have been on its way when its machine was cut off."""
    ledger, _, epoch = begin(client)
    clock, times = MovedClock(), 0
    leave(client, 10)

    def sleep(seconds: float) -> None:
        nonlocal times
        clock.now += seconds
        times += 1
        leave(client, 10 + times if times <= renewals else 0)

    def take() -> int:
        return ledger.take(RUN, "other", resume=False, clock=clock, sleep=sleep)

    if alive:
        with pytest.raises(RunBusy):
            take()
    else:
        assert take() == epoch + 1
