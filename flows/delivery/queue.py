"""Parcels that are to be sent: first come, first served; those that back off come back when their time is over."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from itertools import count

from flows.delivery.job import Job
from flows.limit.clock import Clock


class Queue:
    """What waits in one sender. `clock` shows seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ready: deque[Job] = deque()
        self._backing_off: list[tuple[float, int, Job]] = []
        self._order = count()

    def __len__(self) -> int:
        """How many may be sent now."""
        now = self._clock()
        while self._backing_off and self._backing_off[0][0] <= now:
            self._ready.appendleft(heapq.heappop(self._backing_off)[2])  # its seconds are counted
        return len(self._ready)

    @property
    def next_in(self) -> float | None:
        """Seconds until the next one has backed off for long enough; None if none does."""
        return max(0.0, self._backing_off[0][0] - self._clock()) if self._backing_off else None

    def add(self, jobs: Iterable[Job]) -> None:
        """Let jobs wait behind those that do."""
        self._ready.extend(jobs)

    def back_off(self, job: Job, seconds: float) -> None:
        """Let a job wait so long, and then go before the others."""
        heapq.heappush(self._backing_off, (self._clock() + seconds, next(self._order), job))

    def take(self, most: int) -> list[Job]:
        """The next ones."""
        return [self._ready.popleft() for _ in range(min(most, len(self._ready)))]

    def clear(self) -> list[Job]:
        """All of them: none is to be sent any more."""
        jobs = [*self._ready, *(job for *_, job in self._backing_off)]
        self._ready.clear()
        self._backing_off.clear()
        return jobs
