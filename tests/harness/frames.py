"""A frame of a file as it is before any column is checked: the rows that can be read, and why others cannot."""

from __future__ import annotations

from heapq import merge
from operator import attrgetter

from flows.records import Reason, Rejection
from flows.source.frame import Frame


def rejections(frame: Frame) -> list[Rejection]:
    """Of records that are no rows, and of rows with cells that cannot be read."""
    unreadable = [
        Rejection(
            int(frame.rows[at]),
            int(frame.lines[at]),
            tuple(Reason(column, check, str(frame.text[column].iat[at])) for column, check in faults.items()),
            tuple(frame.cells[at]),
        )
        for at, faults in sorted(frame.faults.items())
    ]
    return list(merge(frame.rejections, unreadable, key=attrgetter("row")))


def readable(frame: Frame) -> list[int]:
    """The positions of the other rows."""
    return [at for at in range(len(frame.text)) if at not in frame.faults]
