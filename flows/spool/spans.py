"""Which stretches of the spool some of its rows are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def spans(ordinals: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Consecutive runs of ascending ordinals as [start, stop)."""
    if len(ordinals) == 0:
        return
    breaks = np.flatnonzero(np.diff(ordinals) != 1) + 1
    for part in np.split(ordinals, breaks):
        yield int(part[0]), int(part[-1]) + 1
