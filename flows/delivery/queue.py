"""What is to be sent: first come, first served; what backs off comes back when its time is over."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import count, islice
from math import ceil

from flows.delivery.job import Job, Ticket
from flows.delivery.packing import OneByOne, Packing
from flows.limit.clock import Clock


class Queue:
    """What waits in one sender: rows that travel with whichever others, and parcels that go as they are.

    `clock` shows seconds.
    """

    def __init__(self, clock: Clock, packing: Packing | None = None) -> None:
        self._clock, self.packing = clock, packing or OneByOne()
        self._loose: deque[Ticket] = deque()
        self._whole: deque[Job] = deque()
        self._backing_off: list[tuple[float, int, Job]] = []
        self._order = count()
        self._offers = False  # what is offered has been packed, and what goes first has to stand before it
        self._rows = 0.0  # about so many rows a parcel where bytes or names bound it; 0: as many as may be

    def offer(self, most: int) -> Sequence[Job]:
        """The next ones, each as the parcel that it would be; they stay here until they are picked."""
        len(self)  # what has backed off for long enough is among them
        self._offers = True
        while len(self._whole) < most and self._loose:
            self._whole.append(self._pack())
        return list(islice(self._whole, most))

    def pick(self, jobs: Sequence[Job]) -> list[Job]:
        """Take these; those that are not here any more are left out."""
        here = [job for job in jobs if job in self._whole]
        for job in here:
            self._whole.remove(job)
        return here

    def __len__(self) -> int:
        """About how many parcels may be sent now."""
        now = self._clock()
        while self._backing_off and self._backing_off[0][0] <= now:
            self.first(heapq.heappop(self._backing_off)[2])  # its seconds are counted
        return len(self._whole) + ceil(len(self._loose) / (self._rows or self.packing.rows))

    @property
    def next_in(self) -> float | None:
        """Seconds until the next one has backed off for long enough; None if none does."""
        return max(0.0, self._backing_off[0][0] - self._clock()) if self._backing_off else None

    def add(self, tickets: Iterable[Ticket]) -> None:
        """Let rows wait behind those that do."""
        self._loose.extend(tickets)
        if not self._rows and self.packing.rows > 1 and self._loose:
            self._learn(self.packing.take(self._loose))

    def _learn(self, rows: int) -> None:
        """The next parcel has so many rows. The last one of all tells nothing."""
        if rows < len(self._loose):
            self._rows = (self._rows + rows) / 2 if self._rows else rows

    def first(self, job: Job) -> None:
        """Let a job go before the others; its rows with whichever others, unless it is to go whole."""
        if job.whole or job.resends or job.serial or (self._offers and self.packing.rows == 1):
            self._whole.appendleft(job)
        else:
            self._loose.extendleft(reversed(job.tickets))

    def add_whole(self, jobs: Iterable[Job]) -> None:
        """Let parcels that go as they are wait behind those that do."""
        self._whole.extend(jobs)

    def back_off(self, job: Job, seconds: float) -> None:
        """Let a job wait so long, and then go before the others."""
        heapq.heappush(self._backing_off, (self._clock() + seconds, next(self._order), job))

    def take(self, most: int) -> list[Job]:
        """The next ones."""
        jobs: list[Job] = []
        while len(jobs) < most and (self._whole or self._loose):
            if self._whole:
                jobs.append(self._whole.popleft())
            else:
                jobs.append(self._pack())
        return jobs

    def _pack(self) -> Job:
        if self.packing.rows == 1:
            return Job([self._loose.popleft()])
        rows = self.packing.take(self._loose)
        self._learn(rows)
        return Job([self._loose.popleft() for _ in range(rows)])

    def clear(self) -> list[Job]:
        """All of them: none is to be sent any more."""
        jobs = [*self._whole, *(Job([ticket]) for ticket in self._loose), *(job for *_, job in self._backing_off)]
        self._whole.clear()
        self._loose.clear()
        self._backing_off.clear()
        return jobs
