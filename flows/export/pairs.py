"""The ledger's record of each row with the row itself, in the file's order, some thousands at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from flows.errors import FileError
from flows.export.layout import Layout
from flows.ledger.keys import Record
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.records import Rejection, Row, RowState
from flows.spool.ordinals import Ordinals
from flows.spool.spans import spans
from flows.spool.spool import Spool

BATCH = 5000

Pair = tuple[Record, Row | Rejection]


def pairs(
    view: View, spool: Spool, run: Run, layout: Layout, states: Collection[RowState] | None
) -> Iterator[list[Pair]]:
    """Records with their rows, a few thousand at a time."""
    ordinals = Ordinals(view.rejected(run.id))
    rejections = _Rejections(spool)
    for records in _records(view, run, layout, states):
        sent = [record.row for record in records if record.state is not RowState.REJECTED]
        accepted = _accepted(spool, ordinals.of(sent))
        batch: list[Pair] = [
            (record, rejections.of(record.row) if record.state is RowState.REJECTED else next(accepted))
            for record in records
        ]
        if any(record.row != row.row for record, row in batch):
            raise FileError("its rows were mended while they were read", file=spool.folder, hint="Try again.")
        yield batch


def _records(view: View, run: Run, layout: Layout, states: Collection[RowState] | None) -> Iterator[list[Record]]:
    """The ledger's side. Few of many rows are asked for one by one, many are read by the block."""
    names, created = layout.kept, run.created
    if states is None:
        yield from view.blocks(run.id, run.total, names=names, created=created)
        return
    chosen = view.select(run.id, states, run.total)
    if len(chosen) > run.total // 8:
        blocks: Iterable[list[Record]] = view.blocks(run.id, run.total, names=names, created=created)
    else:
        blocks = (
            view.records(run.id, chosen[first : first + BATCH].tolist(), names=names, created=created)
            for first in range(0, len(chosen), BATCH)
        )
    for records in blocks:
        yield [record for record in records if record.state in states]  # a live run moves on while we read


def _accepted(spool: Spool, ordinals: NDArray[np.int64]) -> Iterator[Row]:
    """The spool's side of accepted rows, by their ascending places in it."""
    if len(ordinals) and ordinals[-1] - ordinals[0] < 2 * len(ordinals):
        first = int(ordinals[0])
        slab = spool.read(first, int(ordinals[-1]) + 1)
        yield from (slab[at - first] for at in ordinals.tolist())
        return
    for start, stop in spans(ordinals):
        yield from spool.read(start, stop)


class _Rejections:
    """Finds rejected rows in ascending order, in one pass through the spool's list."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._left: Iterator[Rejection] | None = None

    def of(self, row: int) -> Rejection:
        if self._left is None:
            self._left = self._spool.rejections()
        for item in self._left:
            if item.row == row:
                return item
        raise FileError(
            f"the list of rejected rows of this run lacks row {row}",
            file=self._spool.folder,
            hint="Send the original file as a new run to see what is wrong with its rows.",
        )
