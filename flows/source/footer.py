"""The last rows of a file that are no rows: totals, signatures, the date of a report."""

from __future__ import annotations

from collections.abc import Iterator

from flows.source.quoting import Batch


def without_footer(batches: Iterator[Batch], count: int) -> Iterator[Batch]:
    """The records but for the last `count` with content; what is blank behind or between those goes with them."""
    held = Batch([], [])
    for batch in batches:
        offset = len(held.cells)
        held = Batch(
            held.lines + batch.lines,
            held.cells + batch.rows(),
            held.faults | {at + offset: fault for at, fault in batch.faults.items()},
            held.chars + batch.chars,
        )
        if (end := _end(held, count)) > 0:
            faults = {at: fault for at, fault in held.faults.items() if at < end}
            yield Batch(held.lines[:end], held.cells[:end], faults, held.chars)
            faults = {at - end: fault for at, fault in held.faults.items() if at >= end}
            held = Batch(held.lines[end:], held.cells[end:], faults)


def _end(batch: Batch, count: int) -> int:
    """How many records stand before the last `count` with content."""
    for at in range(len(batch.cells) - 1, -1, -1):
        if any(cell.strip() for cell in batch.cells[at]):
            count -= 1
            if count == 0:
                return at
    return 0
