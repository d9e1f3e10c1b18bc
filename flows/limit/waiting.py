"""Who waits for permits in this process: first come, first served."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from flows.limit.permit import Permit
from flows.limit.places import Places
from flows.limit.script import Alike, Report

KINDS = 200  # of requests that are asked for at once, beside what is offered


class Offer(Protocol):
    """A request that may be sent: the places that it takes."""

    places: Places


class Waiter:
    """Somebody who wants up to `want` permits: for these places, or for any of what `offer` offers at the time."""

    __slots__ = ("future", "offer", "places", "want")

    def __init__(self, want: int, places: Places, offer: Callable[[], Sequence[Offer]] | None = None) -> None:
        self.want, self.places, self.offer = want, places, offer
        self.future: asyncio.Future[list[tuple[Permit, Offer | None]]] = asyncio.get_running_loop().create_future()


class Granted(NamedTuple):
    """A permit, and for whom it was asked: a waiter's offer, or whoever waits for such places."""

    permit: Permit
    waiter: Waiter | None = None
    offer: Offer | None = None


class Asked(NamedTuple):
    """What one visit asks for: so many of these demands, and of each request who offered it."""

    wanted: int
    demands: list[Alike]
    offered: list[tuple[Waiter | None, Offer | None]]

    @property
    def places(self) -> list[Places]:
        """The places of each request."""
        return [alike.places for alike in self.demands for _ in range(alike.times)]


class Waiting:
    """All who wait for the same limits."""

    def __init__(self) -> None:
        self._waiters: deque[Waiter] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiters)

    @property
    def wanted(self) -> int:
        """How many permits all of them want."""
        return sum(waiter.want for waiter in self._waiters)

    def asked(self, most: int) -> Asked:
        """What to ask for, if at most so many permits are to be had.

        Whoever waits for other places than those before is asked for as well: one limit that is full holds up nobody
        who does not need it.
        """
        demands: list[Alike] = []
        offered: list[tuple[Waiter | None, Offer | None]] = []
        total, times = 0, Counter[Places]()
        for waiter in self._waiters:
            if waiter.offer is None and len(demands) >= KINDS:
                continue
            if waiter.offer is not None:
                offers = waiter.offer()
                demands += [Alike(1, offer.places) for offer in offers]
                offered += [(waiter, offer) for offer in offers]
                total += min(waiter.want, len(offers))
            elif count := min(waiter.want, most - times[waiter.places]):
                times[waiter.places] += count
                demands.append(Alike(count, waiter.places))
                offered += [(None, None)] * count
                total += count
        return Asked(min(most, total), demands, offered)

    def add(self, waiter: Waiter) -> None:
        """Let somebody wait behind the others."""
        self._waiters.append(waiter)

    def remove(self, waiter: Waiter) -> None:
        """Let somebody wait no more."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    def share(self, granted: Sequence[Granted]) -> Iterator[Permit]:
        """Deal the permits out, and let go whoever gets some. Yields those that nobody wants."""
        left = list(granted)
        waiting: deque[Waiter] = deque()
        while self._waiters:
            waiter = self._waiters.popleft()
            if waiter.future.done():  # it was cancelled an instant ago, and can be given nothing
                continue
            taken = [each for each in left if _is_for(each, waiter)][: waiter.want]
            if taken:
                gone = {id(each) for each in taken}
                left = [each for each in left if id(each) not in gone]
                waiter.future.set_result([(each.permit, each.offer) for each in taken])
            else:
                waiting.append(waiter)
        self._waiters = waiting
        yield from (each.permit for each in left)

    def fail(self, make: Callable[[], BaseException]) -> None:
        """Let everybody go, each with an error of their own."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.future.done():
                waiter.future.set_exception(make())


def unpaused(granted: Sequence[Granted], untold: Iterable[Report]) -> list[Granted]:
    """Without those of a value that was paused while Redis was being asked, which are handed back.

    `untold`: the reports that it has not heard yet.
    """
    places = (place for report in untold if report.kind == "p" for place in report.places)
    paused = {(place.limit, place.value) for place in places if place.value}
    found = []
    for each in granted:
        if paused.isdisjoint((place.limit, place.value) for place in each.permit.places):
            found.append(each)
        else:
            each.permit.unused()
    return found


def _is_for(granted: Granted, waiter: Waiter) -> bool:
    if waiter.offer is not None:
        return granted.waiter is waiter
    return granted.offer is None and granted.permit.places == waiter.places
