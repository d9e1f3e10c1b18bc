"""Time as the limiter needs it: a clock that nobody can set, and a guard that notices when Redis's clock was set."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

Clock = Callable[[], float]

_ID = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_TOLERANCE = 0.002  # seconds; a step below this is lost in the noise
_DRIFT = 500e-6  # the fastest that an adjusted clock may run away from ours


def boot_time() -> float:
    """Seconds since the machine started, its sleep included: a permit that slept through a suspend has aged."""
    return time.clock_gettime(_ID)


async def sleep_until(moment: float, clock: Clock = boot_time) -> None:
    """Sleep until `clock` shows `moment`, never waking the caller early."""
    while (left := moment - clock()) > 0:  # noqa: ASYNC110 - a clock has no event to wait for
        await asyncio.sleep(left)


class ClockGuard:
    """Bounds on the difference between Redis's clock and ours; a reply that cannot lie within them tells of a step.

    A step smaller than the bounds are wide goes unnoticed: a few milliseconds where Redis answers quickly.
    """

    def __init__(self) -> None:
        self._low = self._high = 0.0
        self._at: float | None = None

    def jumped(self, theirs: float, sent: float, received: float) -> bool:
        """Whether a reply that says `theirs`, asked at `sent` and read at `received` by our clock, shows a step."""
        low, high = theirs - received, theirs - sent
        if self._at is None:
            self._low, self._high, self._at = low, high, received
            return False
        drift = (received - self._at) * _DRIFT
        self._low, self._high, self._at = self._low - drift, self._high + drift, received
        if low > self._high + _TOLERANCE or high < self._low - _TOLERANCE:
            self._low, self._high = low, high
            return True
        self._low, self._high = max(self._low, low), min(self._high, high)
        if self._low > self._high:
            self._low, self._high = low, high
        return False
