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
    """Of one run, whose `rejected` rows, by their numbers in their order, never change once its check is over."""

    rejected: NDArray[np.int64]

    def read(self, spool: Spool, numbers: Sequence[int]) -> list[Row]:
        """The rows of these numbers, in this order."""
        rows = np.array(sorted(set(numbers)), dtype=np.int64)
        ordinals = rows - 1 - np.searchsorted(self.rejected, rows)
        found = {row.row: row for start, stop in spans(ordinals) for row in spool.read(start, stop)}
        return [found[number] for number in numbers]
