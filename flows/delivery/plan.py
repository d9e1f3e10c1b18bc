"""Which rows are to be sent, and which of them one task run delivers. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from flows.records import LimitTerms
from flows.spool.spans import spans

MOST_CHUNKS = 1000  # a task run costs 5.6 ms and 42 KB in the flow's process; a thousand of them 4.4 s
CHUNK_SECONDS = 1.0
_SEGMENT = 1 << 16  # rows looked at at once, a multiple of 8: as numbers they take 5 MB
SLICE = 250  # rows of a chunk in memory at once, of which many are under way; more for a larger `in_flight`
_MOST_IN_MEMORY = 5000  # rows of a slice, where they travel many in a request
_UNLIMITED_ROWS = 2000  # about a second's work of one process where only `in_flight` bounds the pace


@dataclass(frozen=True, slots=True)
class Chunk:
    """So many of the plan's rows, from the row `first` to the row `last`.

    `ordinal` is how many accepted rows the file has before `first`: where its rows begin in the spool.
    """

    name: str
    first: int
    last: int
    count: int
    ordinal: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be sent of a run of `total` rows: a bit a row (numpy.packbits), so that a million cost 250 kB.

    `wanted` are the rows to be sent, `accepted` those that the spool holds; the wanted are among them.
    """

    wanted: NDArray[np.uint8]
    accepted: NDArray[np.uint8]
    total: int

    def __len__(self) -> int:
        return int(np.bitwise_count(self.wanted).sum())

    def chunks(self, size: int, *, segment: int = _SEGMENT) -> Iterator[Chunk]:
        """Consecutive wanted rows, `size` at a time."""
        before, left = 0, np.zeros(0, dtype=np.int64)
        ordinals = np.zeros(0, dtype=np.int64)
        for start in range(0, self.total, segment):
            wanted, accepted = self._segment(start, start + segment)
            ordinal = before + np.cumsum(accepted) - accepted
            rows = np.flatnonzero(wanted)
            left, ordinals = np.append(left, rows + start + 1), np.append(ordinals, ordinal[rows])
            before += int(accepted.sum())
            whole = len(left) if start + segment >= self.total else len(left) // size * size
            for at in range(0, whole, size):
                yield _chunk(left[at : min(at + size, whole)], int(ordinals[at]))
            left, ordinals = left[whole:], ordinals[whole:]

    def spans(self, chunk: Chunk, size: int, *, segment: int = _SEGMENT) -> Iterator[tuple[int, int]]:
        """Where a chunk's rows lie in the spool, as `[start, stop)` of at most `size` rows.

        Few rows may lie far apart: two failed ones of ten million are one chunk.
        """
        before = chunk.ordinal
        for at in range(chunk.first - 1, chunk.last, segment):
            wanted, accepted = self._segment(at, min(at + segment, chunk.last))
            ordinals = (before + np.cumsum(accepted) - accepted)[np.flatnonzero(wanted)]
            before += int(accepted.sum())
            for first, end in spans(ordinals):
                for start in range(first, end, size):
                    yield start, min(start + size, end)

    def _segment(self, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Wanted and accepted rows `[start, stop)`, counted from 0, as zeros and ones."""
        stop = min(stop, self.total)
        skip = start % 8
        wanted, accepted = (
            np.unpackbits(bits[start // 8 : (stop + 7) // 8], count=stop - start + skip)[skip:].astype(np.int64)
            for bits in (self.wanted, self.accepted)
        )
        return wanted, accepted


@dataclass(frozen=True, slots=True)
class Portion:
    """A chunk as another process can send it: the rows `[start, stop)` of the spool in each of its spans."""

    name: str
    spans: tuple[tuple[int, int], ...]
    resends: bool

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return sum(stop - start for start, stop in self.spans)


def _chunk(rows: NDArray[np.int64], ordinal: int) -> Chunk:
    first, last = int(rows[0]), int(rows[-1])
    name = f"row {first}" if first == last else f"rows {first}-{last}"
    return Chunk(name, first, last, len(rows), ordinal)


def chunk_size(rows: int, terms: LimitTerms, *, per_request: int = 1) -> int:
    """Rows a chunk: about a second's worth at the permitted rate, whole requests, at most 1,000 chunks a run."""
    rate = min((requests / seconds for requests, seconds in terms.windows), default=None)
    a_second = _UNLIMITED_ROWS if rate is None else max(1, round(rate * CHUNK_SECONDS)) * per_request
    return _whole(max(a_second, ceil(rows / MOST_CHUNKS)), per_request)


def slice_size(terms: LimitTerms, *, per_request: int = 1) -> int:
    """Rows of a chunk that are in memory at once: whole requests."""
    return _whole(min(max(SLICE, terms.in_flight // 4) * per_request, max(_MOST_IN_MEMORY, SLICE)), per_request)


def _whole(rows: int, per_request: int) -> int:
    return max(1, ceil(rows / per_request)) * per_request
