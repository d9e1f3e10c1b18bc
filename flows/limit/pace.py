"""How fast rows may go and how long that takes; how fast a process really sent, and the share of what could be had."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from flows.limit.script import hold_seconds
from flows.records import LimitTerms

VOUCHED_ABOVE_SECONDS = 60.0  # LONG of limiter.lua


def sending_seconds(rows: int, windows: Sequence[tuple[int, float]]) -> float:
    """The least time that so many requests take under windows of (requests, seconds)."""
    return max(((rows - 1) // requests * seconds for requests, seconds in windows if rows > 0), default=0.0)


def first_wait_seconds(terms: LimitTerms) -> float:
    """The least time that a limit that is new here waits, since nobody knows what was sent before.

    Windows above a minute may take longer, unless a person vouches for them (`rowrelay limits trust`).
    """
    short = (seconds for _, seconds in terms.windows if seconds <= VOUCHED_ABOVE_SECONDS)
    return terms.lapse_seconds + max(short, default=0.0)


def expected_seconds(rows: int, windows: Sequence[tuple[int, float]], rate: float | None = None) -> float | None:
    """How long so many rows will take at this rate, never less than the windows allow; None where there is neither.

    The rate of the last seconds says nothing about a window of a day that is about to be full.
    """
    if not rate and not windows:
        return None
    return max(rows / rate if rate else 0.0, sending_seconds(rows, windows))


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of one delivery; rates are requests a second, shares between 0 and 1 (None: no limit or too short)."""

    sent: int
    seconds: float
    peak: int
    rate: float
    round_trip_seconds: float
    guaranteed_rate: float | None
    used_of_limit: float | None
    used_of_guaranteed: float | None


def guaranteed_rate(terms: LimitTerms, round_trip_seconds: float) -> float | None:
    """The highest rate that is safe: a slot is held from a request's start until one window after its answer.

    With `late_seconds` it is freed one window after the latest arrival, if the answer takes longer than that.
    """
    held = min(round_trip_seconds, hold_seconds(terms))
    return min((requests / (width + held) for requests, width in terms.windows), default=None)


class Pace:
    """Counts the requests of one process. Times are seconds of one monotonic clock."""

    def __init__(self, terms: LimitTerms) -> None:
        self._terms, self._windows = terms, terms.windows
        self._width = min((seconds for _, seconds in terms.windows), default=1.0)
        self._late = terms.lapse_seconds
        self._fresh: list[float] = []  # sent times, not yet in order
        self._last: deque[float] = deque()  # the last window of those in order
        self.sent = 0
        self.peak = 0
        self.first: float | None = None
        self.latest = 0.0
        self._round_trips = 0.0
        self._answered = 0

    @property
    def round_trip_seconds(self) -> float:
        """The mean of those that were answered; 0 if none was."""
        return self._round_trips / self._answered if self._answered else 0.0

    def note(self, at: float, round_trip_seconds: float | None) -> None:
        """One request was sent at this time; its answer took this long, or never came (None)."""
        self.sent += 1
        self._fresh.append(at)
        self.first = at if self.first is None else min(self.first, at)
        self.latest = max(self.latest, at)
        if round_trip_seconds is not None:
            self._round_trips += round_trip_seconds
            self._answered += 1

    def settle(self, now: float) -> int:
        """Bring the worst window up to date with all that was sent long enough ago to be known; return it."""
        self._fresh.sort()
        split = bisect_left(self._fresh, now - self._late)
        for at in self._fresh[:split]:
            self._last.append(at)
            while self._last[0] <= at - self._width:
                self._last.popleft()
            self.peak = max(self.peak, len(self._last))
        del self._fresh[:split]
        return self.peak

    def summary(self) -> Summary:
        """The figures so far, everything sent included."""
        peak = self.settle(float("inf"))
        seconds = self.latest - self.first if self.first is not None else 0.0
        trip = self.round_trip_seconds
        # The first requests leave at once, so a rate counts intervals, not requests.
        rate = (self.sent - 1) / seconds if seconds > 0 else 0.0
        limit = min((requests / width for requests, width in self._windows), default=None)
        guaranteed = guaranteed_rate(self._terms, trip)
        enough = limit is not None and seconds >= 2 * self._width
        return Summary(
            sent=self.sent,
            seconds=seconds,
            peak=peak,
            rate=rate,
            round_trip_seconds=trip,
            guaranteed_rate=guaranteed,
            # The opening burst may make a short run faster than the long-run rate.
            used_of_limit=min(1.0, rate / limit) if enough and limit else None,
            used_of_guaranteed=min(1.0, rate / guaranteed) if enough and guaranteed else None,
        )
