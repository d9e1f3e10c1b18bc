"""A refused parcel is halved until the row at fault stands alone, in few requests, and no other row is lost."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Collection
from math import ceil, log2
from typing import Any, cast

import pytest

from flows.delivery.job import Job, Slice, Ticket
from flows.delivery.packing import Packing
from flows.delivery.queue import Queue
from flows.delivery.splitting import decided, refused
from flows.records import Row
from tests.harness.clock import MovedClock

SLICE = Slice(0, cast("asyncio.Future[Any]", None))


class Several:
    """So many rows a parcel."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def take(self, waiting: Any) -> int:
        return min(len(waiting), self.rows)


def tickets(count: int) -> list[Ticket]:
    return [Ticket(Row(row, row + 1, {}), SLICE) for row in range(1, count + 1)]


def driven(count: int, bad: Collection[int], *, rows: int = 0) -> tuple[list[list[int]], list[int], list[int]]:
    """(the parcels that were sent, the rows that were taken, those that were refused for their own sake).

    The API refuses a parcel as a whole where one of its rows is bad. What follows is what Bookkeeping makes of it.
    """
    packing: Packing = Several(rows or count)
    queue = Queue(MovedClock(), packing)
    queue.add(tickets(count))
    sent, taken, failed = [], [], []
    while jobs := queue.take(1):
        (job,) = jobs
        sent.append(job.rows)
        is_bad = not set(bad).isdisjoint(job.rows)
        if is_bad and len(job.rows) > 1:
            following = refused(job)
        else:
            (failed if is_bad else taken).extend(job.rows)
            following = decided(job, taken=not is_bad)
        for each in reversed(following.whole):
            queue.first(each)
        if following.loose:
            queue.first(Job(following.loose))
    return sent, taken, failed


@pytest.mark.parametrize("first", range(2, 1001, 111))
def test_one_bad_row_is_found_in_few_requests_wherever_it_is(first: int) -> None:
    for count in range(first, min(first + 111, 1001)):
        some = range(1, count + 1) if count < 130 else {1, 2, count // 2, count // 2 + 1, count - 1, count}
        assert max(_requests(count, bad) for bad in some) <= ceil(log2(count)) + 2


@pytest.mark.parametrize("count", [131, 256, 257, 512, 513, 1000])
def test_each_place_of_the_bad_row_in_long_parcels(count: int) -> None:
    assert max(_requests(count, bad) for bad in range(1, count + 1)) <= ceil(log2(count)) + 2


@pytest.mark.parametrize("count", [2, 3, 7, 8, 9, 100])
def test_the_others_are_taken_and_it_alone_is_refused(count: int) -> None:
    for bad in range(1, count + 1):
        sent, taken, failed = driven(count, {bad})

        assert (failed, sorted(taken)) == ([bad], [row for row in range(1, count + 1) if row != bad])
        assert len(sent) - 1 <= ceil(log2(count)) + 2, "with the one request that takes all that were held"


ALL = tickets(1000)


def _requests(count: int, bad: int) -> int:
    """The requests after the first until nothing is known to hold a bad row any more; the queue is left out."""
    job, more = Job(ALL[:count]), 0
    following = refused(job)
    while following.whole:
        (job,) = following.whole
        more += 1
        is_bad = bad in job.rows
        following = refused(job) if is_bad and len(job.rows) > 1 else decided(job, taken=not is_bad)
    assert job.rows == [bad]
    return more


def test_the_last_row_goes_alone_for_its_own_reason() -> None:
    for bad in range(1, 9):
        sent, _, _ = driven(8, {bad})

        assert sent.count([bad]) == 1


def test_a_half_that_surely_had_no_effect_joins_a_later_parcel() -> None:
    sent, taken, failed = driven(12, {1}, rows=8)

    assert sent == [[1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4], [1, 2], [1], [2, 3, 4, 5, 6, 7, 8, 9], [10, 11, 12]]
    assert (failed, len(taken)) == ([1], 11)


@pytest.mark.parametrize("seed", range(200))
def test_several_bad_rows_are_all_found_and_no_good_one_with_them(seed: int) -> None:
    rng = random.Random(seed)
    count, rows = rng.randint(1, 300), rng.randint(1, 64)
    bad = set(rng.sample(range(1, count + 1), rng.randint(0, min(count, rng.choice((3, 20, 300))))))

    sent, taken, failed = driven(count, bad, rows=rows)

    assert (sorted(failed), sorted(taken)) == (sorted(bad), sorted(set(range(1, count + 1)) - bad))
    assert all(len(parcel) <= rows for parcel in sent)
    assert max(Counter(row for row in failed).values(), default=1) == 1
    assert len(sent) <= ceil(count / rows) + len(bad) * (ceil(log2(rows)) + 3)


def test_every_row_may_be_bad() -> None:
    sent, taken, failed = driven(100, range(1, 101))

    assert (taken, sorted(failed)) == ([], list(range(1, 101)))
    assert len(sent) <= 100 * (ceil(log2(100)) + 2)
