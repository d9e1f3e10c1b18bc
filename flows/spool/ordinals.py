"""Where rows lie in the spool, by their numbers: it holds the accepted ones alone, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flows.records import Row
from flows.spool.spans import spans
from flows.spool.spool import Spool


@dataclass(frozen=True, slots=True)
class Ordinals:
    """Of one run, and its `rejected` rows, by their numbers in their order: only a mending changes them."""

    rejected: NDArray[np.int64]

    def of(self, numbers: Sequence[int]) -> NDArray[np.int64]:
        """The places of these rows among the accepted ones, counted from 0."""
        rows = np.array(numbers, dtype=np.int64)
        return rows - 1 - np.searchsorted(self.rejected, rows)

    def read(self, spool: Spool, numbers: Sequence[int]) -> list[Row]:
        """The rows of these numbers, in this order."""
        ordinals = self.of(sorted(set(numbers)))
        found = {row.row: row for start, stop in spans(ordinals) for row in spool.read(start, stop)}
        return [found[number] for number in numbers]
