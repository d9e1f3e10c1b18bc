"""Work that an API accepts and does later."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
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
    asked: list[float] = field(default_factory=list)
    """When it was asked about"""

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

    def add(self, emails: Sequence[str], seconds: float) -> Job:
        """Accept rows."""
        job = Job(len(self.all) + 1, emails, time.monotonic(), seconds)
        self.all[job.number] = job
        return job

    def due(self) -> Iterator[Job]:
        """Those whose time is over and that nobody has worked on yet."""
        for job in self.all.values():
            if job.report is None and job.state in ("done", "failed"):
                yield job
