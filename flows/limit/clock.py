"""Time as the limiter needs it: a clock that nobody can set, and a guard that notices when Redis's clock was set."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

Clock = Callable[[], float]

_ID = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_TOLERANCE = 0.002  # seconds; a step below this is lost in the noise
_DRIFT = 500e-6  # the fastest that an adjusted clock may run away from ours
_CLOSE = 0.015  # seconds both ways; a Redis that answers within that is close by, and nothing has to be done about it
_FARTHEST = 0.4  # what limiter.lua allows for
_WORN = 0.005  # when so much of what is known of Redis's clock has been lost to drift, it is begun anew


def boot_time() -> float:
    """Seconds since the machine started, its sleep included: a permit that slept through a suspend has aged."""
    return time.clock_gettime(_ID)


async def sleep_until(moment: float, clock: Clock = boot_time) -> None:
    """Sleep until `clock` shows `moment`, never waking the caller early."""
    while (left := moment - clock()) > 0:  # noqa: ASYNC110 - a clock has no event to wait for
        await asyncio.sleep(left)


class Distance(NamedTuple):
    """How far away Redis is, as a visit is told; seconds.

    Redis's clock is ahead of ours by at least `low`. The latest moment that it can have entered for something of ours
    is `own_earlier` too late, if starts are read as `Redis's time - low`. Then of two of our own requests the distance
    cancels out: the one entered at E began, or was answered, at E - own_earlier - low by our clock at the latest, and
    the other starts at S - low, so that S - (E - own_earlier) lies between them, exactly.
    """

    away: float = 0.0  # a round trip, most of the time; 0: close by
    low: float = 0.0
    own_earlier: float = 0.0  # 0: starts are read as "so long after the reply came", which is never early either


class ClockGuard:
    """Bounds on the difference between Redis's clock and ours; a reply that cannot lie within them tells of a step.

    A step smaller than the bounds are wide goes unnoticed: a few milliseconds where Redis answers quickly.
    """

    def __init__(self) -> None:
        self._low = self._high = 0.0
        self._at: float | None = None
        self._least = float("inf")  # the least that `high` ever was, drift or not: no report came here more quickly
        self._trip: float | None = None
        self._swing = 0.0
        self._unset: float | None = None  # by how much it was ahead of ours, at least, before it was set

    def distance(self, now: float) -> Distance:
        """How far away Redis is, for a visit that begins at `now`."""
        if self._at is None or self._trip is None or (away := self._trip + 2 * self._swing) < _CLOSE:
            return Distance()
        away, low = min(_FARTHEST, away), self._low - (now - self._at) * _DRIFT
        own_earlier = min(_FARTHEST, self._least - low) if self._least < float("inf") else 0.0
        return Distance(away, low, own_earlier) if own_earlier > _TOLERANCE else Distance(away)

    @property
    def worn(self) -> bool:
        """Whether drift has used up much of what is known, so that `begin_anew` would help."""
        return self._high - self._least > _WORN

    def unset(self, now: float) -> float:
        """What Redis's clock would show at `now` by ours, at least, had it not been set since `told`."""
        assert self._unset is not None
        assert self._at is not None
        return now + self._unset - (now - self._at) * _DRIFT

    def told(self) -> None:
        """Redis knows of the steps so far."""
        self._unset = None

    def begin_anew(self) -> None:
        """Forget how quickly reports came. What was reported before may not be called our own any more."""
        self._least = float("inf")

    def jumped(self, theirs: float, sent: float, received: float) -> bool:
        """Whether a reply that says `theirs`, asked at `sent` and read at `received` by our clock, shows a step."""
        low, high = theirs - received, theirs - sent
        self._least = min(self._least, high)
        self._measure(min(_FARTHEST, received - sent))
        if self._at is None:
            self._low, self._high, self._at = low, high, received
            return False
        drift = (received - self._at) * _DRIFT
        self._low, self._high, self._at = self._low - drift, self._high + drift, received
        if low > self._high + _TOLERANCE or high < self._low - _TOLERANCE:
            self._unset = self._low if self._unset is None else self._unset - drift
            self._low, self._high = low, high
            return True
        self._low, self._high = max(self._low, low), min(self._high, high)
        if self._low > self._high:
            self._low, self._high = low, high
        return False

    def _measure(self, trip: float) -> None:
        if self._trip is None:
            self._trip = trip
        self._swing += (abs(trip - self._trip) - self._swing) / 8
        self._trip += (trip - self._trip) / 8
