"""Work that an API accepts and does later."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Job:
    """Rows that were accepted together. `report` is there as soon as they were worked on."""

    number: int
    emails: Sequence[str]
    began: float
    seconds: float
    report: list[dict[str, Any]] | None = None
    error: str = ""

    @property
    def state(self) -> str:
        """queued, running, done or failed, by the clock."""
        past = time.monotonic() - self.began
        if past < self.seconds:
            return "queued" if past < self.seconds / 2 else "running"
        return "failed" if self.error else "done"


class Jobs:
    """The jobs of an API, by their numbers."""

    def __init__(self) -> None:
        self.all: dict[int, Job] = {}
        self._open: list[tuple[float, int]] = []

    def add(self, emails: Sequence[str], seconds: float) -> Job:
        """Accept rows."""
        job = Job(len(self.all) + 1, emails, time.monotonic(), seconds)
        self.all[job.number] = job
        heapq.heappush(self._open, (job.began + seconds, job.number))
        return job

    def due(self) -> Iterator[Job]:
        """Those whose time is over, each once: whoever asks works on them."""
        while self._open and self._open[0][0] <= time.monotonic():
            yield self.all[heapq.heappop(self._open)[1]]
