"""Accepted rows by the job that they are in, in little memory: there may be millions, each in a job of its own."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence

import httpx
import msgspec
import numpy as np
from numpy.typing import NDArray

from flows.client.compiled import Compiled
from flows.ledger.keys import Record
from flows.pipeline.course import Poll
from flows.pipeline.template import Unsendable

READ_AT_ONCE = 5000  # records


class Accepted:
    """Rows of a run, sorted once. `read` returns the records of those of some rows that are accepted.

    `nameless` are rows whose job the answer did not name, `overdue` those that have been accepted for too long.
    """

    def __init__(self, poll: Poll, compiled: Compiled, *, read: Callable[[Sequence[int]], list[Record]]) -> None:
        self.nameless: list[int] = []
        self.overdue: list[int] = []
        self._until, self._compiled, self._read = poll.until.hours * 3600.0, compiled, read
        text = poll.request.model_dump_json()
        self._names = [name for name in compiled.definition.kept if name in text]  # no other tells jobs apart
        self._jobs: list[NDArray[np.int64]] = []

    def __len__(self) -> int:
        """How many jobs there are."""
        return len(self._jobs)

    def sort(self, rows: Sequence[int]) -> None:
        """Find the jobs of these rows."""
        jobs: dict[bytes, int] = {}  # by the request that asks about it
        known: dict[bytes, int] = {}  # by what was kept: a request is made once for equal values
        numbers = np.full(len(rows), -1, dtype=np.int64)
        for first in range(0, len(rows), READ_AT_ONCE):
            for at, record in self._block(rows, first):
                if record.at is not None and time.time() - record.at > self._until:
                    self.overdue.append(record.row)
                name = _digest([record.kept.get(name) for name in self._names])
                if (job := known.get(name)) is None:
                    if request := self._request(record):
                        asks = _digest([str(request.url), request.content])
                        job = jobs.setdefault(asks, len(jobs))
                    known[name] = job = -1 if job is None else job
                numbers[at] = job
                if job < 0:
                    self.nameless.append(record.row)
        order = np.argsort(numbers, kind="stable")
        order = order[np.searchsorted(numbers[order], 0) :]
        starts = np.searchsorted(numbers[order], np.arange(1, len(jobs)))
        self._jobs = np.split(np.asarray(rows, dtype=np.int64)[order], starts) if jobs else []

    def _block(self, rows: Sequence[int], first: int) -> Iterator[tuple[int, Record]]:
        """(place of the row, its record)."""
        some = rows[first : first + READ_AT_ONCE]
        places = {row: first + at for at, row in enumerate(some)}
        return ((places[record.row], record) for record in self._read(some))

    def questions(self, most: int) -> Iterator[list[tuple[list[int], httpx.Request]]]:
        """(rows of a job, the question about it), at most so many at a time."""
        for first in range(0, len(self._jobs), most):
            some = {int(rows[0]): rows for rows in self._jobs[first : first + most]}
            asked = [(some[head.row], self._request(head)) for head in self._read(list(some))]
            yield [(rows.tolist(), request) for rows, request in asked if request is not None]

    def _request(self, record: Record) -> httpx.Request | None:
        """The question about the job of a row; None where the job has no name."""
        try:
            return self._compiled.poll(record.kept)
        except (Unsendable, KeyError):
            return None


def _digest(values: Sequence[object]) -> bytes:
    return hashlib.blake2b(msgspec.msgpack.encode(values, enc_hook=str), digest_size=16).digest()
