"""Failed and unknown rows by what was said of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from flows.ledger.keys import Record
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.records import RowState

_BATCH = 5_000
Rows = NDArray[np.int64]


def reason_of(record: Record) -> str:
    """Why a row is not done, in the words by which such rows are grouped."""
    return record.reason or (f"HTTP {record.status}" if record.status is not None else "no reason was given")


def records_of(view: View, run: Run, state: RowState, most: int | None = None) -> Iterator[list[Record]]:
    """The rows of a run in a state, at most so many of them, some thousand at a time. Raises StackError."""
    numbers = view.select(run.id, [state], run.total)[:most]
    for first in range(0, len(numbers), _BATCH):
        some = numbers[first : first + _BATCH].tolist()
        yield view.records(run.id, some, names=(), created=run.created)


def with_reason(view: View, run: Run, states: Collection[RowState], reason: str, most: int | None = None) -> Rows:
    """The numbers of a run's rows in these states with this reason, ascending. Raises StackError."""
    found = [
        record.row
        for state in states
        for some in records_of(view, run, state, most)
        for record in some
        if reason_of(record) == reason
    ]
    return np.sort(np.array(found, dtype=np.int64))


def any_with_reason(view: View, run: Run, state: RowState, reason: str) -> bool:
    """Whether a row of a run in a state has this reason. Raises StackError."""
    return any(reason_of(record) == reason for some in records_of(view, run, state) for record in some)
