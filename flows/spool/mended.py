"""The rows of a run that a person has mended: a second list of accepted rows, laid over the one that the check wrote.

What the check wrote never changes. Each mending writes a manifest of its own, named after its digest; which of them
counts is a fact in the ledger, so a mending is there as a whole or not at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flows.spool.stored import joined, numbers

PART_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Overlay:
    """Where mended rows stand among all accepted ones. `rows`: their ordinals in the file, ascending.

    `before`: of each, how many rows come before it that the check accepted.
    """

    rows: npt.NDArray[np.int64]
    before: npt.NDArray[np.int64]

    @classmethod
    def of(cls, rows: npt.NDArray[np.int64], rejected: npt.NDArray[np.int64]) -> Overlay:
        """`rejected`: ascending, all rows that the check refused, mended or not."""
        rows = np.sort(rows)
        return cls(rows, rows - 1 - np.searchsorted(rejected, rows))

    @classmethod
    def read(cls, data: bytes) -> Overlay:
        """From `data`."""
        rows, before = np.frombuffer(data, dtype="<i8").reshape(2, -1).astype(np.int64)
        return cls(rows, before)

    @property
    def data(self) -> bytes:
        """As it is kept in a file."""
        return np.stack([self.rows, self.before]).astype("<i8").tobytes()

    def __len__(self) -> int:
        return len(self.rows)

    def split(self, start: int, stop: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Of the accepted rows `[start, stop)`: which of those that the check accepted, and which mended ones."""
        ordinals = self.before + np.arange(len(self.before))
        first, last = np.searchsorted(ordinals, [start, stop]).tolist()
        return (start - first, stop - last), (first, last)


NO_OVERLAY = Overlay(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))


def name_of(digest: str) -> str:
    """What the manifest of a mending is called."""
    return f"mended-{digest[:16]}.json"


def digest_of(data: bytes) -> str:
    """SHA-256 (hex)."""
    return hashlib.sha256(data).hexdigest()


def merged(first: Iterable[pa.Table], second: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Two streams of tables as one, in the order of the rows. In each of them the rows ascend."""
    left, right = iter(first), iter(second)
    one, other = next(left, None), next(right, None)
    while one is not None and other is not None:
        last = min(numbers(one)[-1], numbers(other)[-1])
        cuts = [int(np.searchsorted(numbers(table), last, side="right")) for table in (one, other)]
        yield joined([table.slice(0, cut) for table, cut in zip((one, other), cuts, strict=True) if cut])
        one, other = one.slice(cuts[0]), other.slice(cuts[1])
        one = one if one.num_rows else next(left, None)
        other = other if other.num_rows else next(right, None)
    for rest, more in ((one, left), (other, right)):
        if rest is not None:
            yield rest
            yield from more


def in_parts(tables: Iterable[pa.Table], size: int = PART_ROWS) -> Iterator[pa.Table]:
    """A stream of tables, cut anew into tables of `size` rows."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        if sum(each.num_rows for each in held) >= size:
            whole = joined(held)
            while whole.num_rows >= size:
                yield whole.slice(0, size)
                whole = whole.slice(size)
            held = [whole] if whole.num_rows else []
    if held:
        yield joined(held)
