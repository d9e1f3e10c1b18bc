"""What waits in a sender and how much of it may leave, by a clock that the tests move."""

from __future__ import annotations

import asyncio

from flows.delivery.breaker import Breaker
from flows.delivery.gate import CLAIMED_AT_ONCE, PROBING_TOLD_SECONDS, Gate
from flows.delivery.job import Job, Slice, Ticket
from flows.delivery.queue import Queue
from flows.records import Row
from tests.harness.clock import MovedClock


def ticket(row: int) -> Ticket:
    return Ticket(Row(row, row + 1, {}), Slice(1, asyncio.new_event_loop().create_future()))


def job(row: int) -> Job:
    return Job([ticket(row)])


def rows(jobs: list[Job]) -> list[int]:
    return [row for each in jobs for row in each.rows]


def test_what_backs_off_waits_its_time_and_then_goes_before_the_others() -> None:
    clock = MovedClock()
    queue = Queue(clock)
    queue.add([ticket(1), ticket(2)])
    queue.back_off(job(3), 5.0)
    queue.back_off(job(4), 2.0)

    assert (len(queue), queue.next_in) == (2, 2.0)
    clock.now += 1.5
    assert (len(queue), queue.next_in) == (2, 0.5)
    clock.now += 0.5
    assert (len(queue), queue.next_in) == (3, 3.0)
    assert rows(queue.take(2)) == [4, 1]
    clock.now += 60.0
    assert (len(queue), queue.next_in) == (2, None)
    assert rows(queue.take(9)) == [3, 2]
    assert queue.take(1) == []


def test_parcels_that_back_off_for_equally_long_need_no_order_of_their_own() -> None:
    clock = MovedClock()
    queue = Queue(clock)
    for row in range(1, 6):
        queue.back_off(job(row), 1.0)
    clock.now += 1.0

    assert len(queue) == 5
    assert sorted(rows(queue.take(5))) == [1, 2, 3, 4, 5]


def test_all_that_waits_is_given_back_at_once() -> None:
    queue = Queue(MovedClock())
    queue.add([ticket(1)])
    queue.back_off(job(2), 5.0)

    assert sorted(rows(queue.clear())) == [1, 2]
    assert (len(queue), queue.next_in) == (0, None)


def test_no_more_is_under_way_than_may_be_in_flight() -> None:
    gate = Gate(Breaker(stop_after=20, in_flight=5), in_flight=5, clock=MovedClock())

    assert gate.room == 5
    gate.leave(3)
    assert gate.room == 2
    gate.leave(2)
    assert (gate.room, gate.opens_in) == (0, None)
    gate.land(4)
    assert gate.room == 4
    wide = Gate(Breaker(stop_after=20, in_flight=10_000), in_flight=10_000, clock=MovedClock())
    assert wide.room == CLAIMED_AT_ONCE


def test_an_api_in_trouble_is_tried_with_one_request_at_a_time_which_is_told_once_a_minute() -> None:
    clock, told = MovedClock(), list[str]()
    breaker = Breaker(stop_after=20, in_flight=5)
    gate = Gate(breaker, in_flight=5, clock=clock, on_event=told.append)
    for _ in range(5):  # in waves that are seconds apart
        gate.leave(1)
        breaker.trouble("500", left=clock.now, seen=clock.now + 0.1)
        gate.land(1)
        clock.now += 5.0
    assert not told

    gate.leave(1)
    assert told == ["Nothing but trouble comes from the API; it is tried with one request at a time"]
    assert gate.room == 0
    breaker.trouble("500", left=clock.now, seen=clock.now + 0.1)
    gate.land(1)
    assert gate.opens_in is not None
    clock.now += gate.opens_in + 0.2
    assert gate.room == 1
    gate.leave(1)
    breaker.trouble("500", left=clock.now, seen=clock.now)
    gate.land(1)
    assert len(told) == 1
    clock.now += PROBING_TOLD_SECONDS + 1.0
    gate.leave(1)
    assert len(told) == 2
