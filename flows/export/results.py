"""What became of each row, as plain values."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from flows.export.layout import CHANGED, Layout, layout_of, positions_of
from flows.export.pairs import pairs
from flows.ledger.keys import Record
from flows.ledger.parcels import Place, places
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.records import Rejection, Row, RowState
from flows.spool.spool import Spool


def results(
    view: View, spool: Spool, run: Run, *, states: Collection[RowState] | None = None
) -> Iterator[dict[str, Any]]:
    """Every row of a run, or those in `states`, in the file's order.

    Each is `row`, `line`, the columns (typed; text where the row was rejected), `result`, the kept fields, `reason`
    where there is one, and where it is not done the `status`. Of a row that was mended `changed` has what stood in the
    file, by column. With `batch` also the `parcel` that the row went in, if it went, and its `position` there, counted
    from 0.
    """
    if not run.total:
        return
    layout = layout_of(view, run)
    header = spool.manifest().header
    positions = [at for _, at in positions_of(layout, header, run)]
    for batch in pairs(view, spool, run, layout, states):
        where = places(view, run.id, [record for record, _ in batch]) if layout.parcel else {}
        for record, row in batch:
            if isinstance(row, Row):
                yield _result(record, row, layout, where.get(record.row))
            else:
                yield _rejected(row, layout, positions, len(header))


def _result(record: Record, row: Row, layout: Layout, place: Place | None) -> dict[str, Any]:
    item: dict[str, Any] = {"row": record.row, "line": row.line}
    item.update(zip(layout.shown, row.values.values(), strict=True))
    item["result"] = record.state
    if record.kept:
        item.update(zip(layout.shown_kept, (record.kept.get(name) for name in layout.kept), strict=True))
    if place is not None:
        item.update(zip(layout.parcel, place, strict=True))
    if row.changed:
        item[CHANGED] = row.changed
    if record.state is not RowState.DONE and record.status is not None:
        item["status"] = record.status
    if record.reason:  # of a done row: what its answer lacked
        item["reason"] = record.reason
    return item


def _rejected(row: Rejection, layout: Layout, positions: Sequence[int | None], width: int) -> dict[str, Any]:
    """Cells of a row that has too few or too many cannot be told apart, so they are left out."""
    item: dict[str, Any] = {"row": row.row, "line": row.line}
    whole = len(row.cells) == width
    item.update(
        (name, row.cells[at] if whole and at is not None else None)
        for name, at in zip(layout.shown, positions, strict=True)
    )
    item["result"] = "skipped" if row.skipped else RowState.REJECTED  # a good row that was delivered before
    if row.changed:
        item[CHANGED] = row.changed
    item["reason"] = row.why
    return item
