"""Which rows one task run delivers. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from flows.records import LimitTerms

MOST_CHUNKS = 1000  # a task run costs 5.6 ms and 42 KB in the flow's process; a thousand of them 4.4 s
CHUNK_SECONDS = 1.0
_UNLIMITED_ROWS = 2000  # about a second's work of one process where only `in_flight` bounds the pace


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive accepted rows: `[start, stop)` of the plan's rows, and a name with the file's row numbers."""

    name: str
    start: int
    stop: int


def chunk_size(rows: int, terms: LimitTerms) -> int:
    """Rows a chunk: about a second's worth at the permitted rate, at least 1, at most 1,000 chunks a run."""
    rate = min((requests / seconds for requests, seconds in terms.windows), default=_UNLIMITED_ROWS)
    return max(1, round(rate * CHUNK_SECONDS), ceil(rows / MOST_CHUNKS))


def chunks(rows: NDArray[np.int64], size: int) -> Iterator[Chunk]:
    """Slices of `rows` (row numbers, ascending), each named after its first and last row."""
    for start in range(0, len(rows), size):
        stop = min(start + size, len(rows))
        first, last = int(rows[start]), int(rows[stop - 1])
        yield Chunk(f"row {first}" if first == last else f"rows {first}-{last}", start, stop)


def spans(ordinals: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Consecutive runs of ascending ordinals as [start, stop)."""
    if len(ordinals) == 0:
        return
    breaks = np.flatnonzero(np.diff(ordinals) != 1) + 1
    for part in np.split(ordinals, breaks):
        yield int(part[0]), int(part[-1]) + 1
