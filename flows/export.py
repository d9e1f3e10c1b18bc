"""What became of a run's rows, streamed: as JSON, JSON lines or CSV, and the troubled rows ready to be corrected.

Everything here walks through ledger and spool side by side and keeps a few thousand rows in memory, whatever the
size of the run.

In every CSV formulas are neutralised (flows.sheet). `troubled_csv` gives back the file's own rows, guarded against what
spreadsheets do to numbers and dates; the name of its first column tells the source that its cells have to be restored,
so a corrected file can be uploaded as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from flows.errors import FileError
from flows.ledger.keys import Record
from flows.ledger.parcels import Place, places
from flows.ledger.reasons import reason_of
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.pipeline.definition import Definition
from flows.pipeline.reader import form_of, writer
from flows.pipeline.reading import from_resolved
from flows.records import Rejection, Row, RowState
from flows.sheet import FIRST, LAST, REASON, Table, cell, for_spreadsheets, guarded, neutral
from flows.source.header import Called, match, named_delimiter
from flows.spool.spans import spans
from flows.spool.spool import Spool

BATCH = 5000
OWN = ("row", "line", "result", "status", "reason")  # a column of the same name gets an underscore behind it
CHANGED = "changed"  # the same, of a run in which rows were mended
OF_A_PARCEL = ("parcel", "position")  # the same, where rows travel together
_AS_THEY_STOOD = ("rejected", "skipped")  # results of rows that have the cells of the file
TROUBLED = (RowState.REJECTED, RowState.FAILED)

_JSON = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a result: the file's by their name there and here, and the fields kept of the answers."""

    columns: tuple[str, ...]
    kept: tuple[str, ...]
    shown: tuple[str, ...]  # `columns`, under names that collide with nothing
    shown_kept: tuple[str, ...]
    other_names: Mapping[str, Sequence[str]] = field(default_factory=dict)  # of `columns`, in a file
    delimiter: str = ","  # of the CSV form: that of the file, so that it opens as columns where the file did
    parcel: tuple[str, ...] = ()  # OF_A_PARCEL, where rows travel together
    changed: tuple[str, ...] = ()  # CHANGED, where rows were mended
    writers: Mapping[str, Callable[[Any], str]] = field(default_factory=dict)  # by shown name, of what is written so

    @classmethod
    def of(cls, definition: Definition, delimiter: str | None = None, *, mended: bool = False) -> Layout:
        """The layout of the results of a file with this delimiter."""
        columns, kept = definition.column_names, definition.kept
        parcel = OF_A_PARCEL if definition.batch is not None else ()
        changed = (CHANGED,) if mended else ()
        taken = {*OWN, *parcel, *changed}
        shown = [_free(name, taken) for name in (*columns, *kept)]
        delimiter = named_delimiter(delimiter or definition.source.delimiter or ",", FileError)
        own = {
            there: writer(definition.columns[name])
            for name, there in zip(columns, shown, strict=False)
            if name in definition.columns and form_of(definition.columns[name]) is not None
        }
        return cls(
            columns,
            kept,
            tuple(shown[: len(columns)]),
            tuple(shown[len(columns) :]),
            definition.other_names,
            delimiter,
            parcel,
            changed,
            own,
        )

    @property
    def header(self) -> tuple[str, ...]:
        """The columns of the CSV form."""
        return (*FIRST, *self.shown, "result", *self.shown_kept, *self.parcel, *self.changed, *LAST)


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def results(
    view: View, spool: Spool, run: Run, *, states: Collection[RowState] | None = None
) -> Iterator[dict[str, Any]]:
    """Every row of a run, or those in `states`, in the file's order.

    Each is `row`, `line`, the columns (typed; text where the row was rejected), `result`, the kept fields, `reason`
    where there is one, and where it is not done the `status`. Of a row that was mended `changed` has what stood in the
    file, by column. With `batch` also the `parcel` that the row went in, if
    it went, and its `position` there, counted from 0.
    """
    if not run.total:
        return
    layout = layout_of(view, run)
    header = spool.manifest().header
    positions = [at for _, at in _positions(layout, header, run)]
    for batch in _batches(view, spool, run, layout, states):
        where = places(view, run.id, [record for record, _ in batch]) if layout.parcel else {}
        for record, row in batch:
            if isinstance(row, Row):
                yield _result(record, row, layout, where.get(record.row))
            else:
                yield _rejected(row, layout, positions, len(header))


def layout_of(view: View, run: Run) -> Layout:
    """The columns of a run's results."""
    definition = from_resolved(view.definition(run.id))
    return Layout.of(definition, run.facts.delimiter, mended=bool(run.facts.mends))


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
    item["reason"] = _reasons(row)
    return item


def _positions(layout: Layout, header: Sequence[str], run: Run) -> list[tuple[str, int | None]]:
    """Where each column of the definition stands in the file."""
    called = Called(layout.other_names, {column: name for name, column in run.facts.asked_map.items()})
    found = match(list(header), dict.fromkeys(layout.columns, True), ",", FileError, called).positions
    return [(name, found[name]) for name in layout.columns]


def _reasons(rejection: Rejection) -> str:
    return "; ".join(map(str, rejection.reasons))


Pair = tuple[Record, Row | Rejection]


def _batches(
    view: View, spool: Spool, run: Run, layout: Layout, states: Collection[RowState] | None
) -> Iterator[list[Pair]]:
    """Records with their rows, a few thousand at a time."""
    rejected = _rejected_rows(view, run)
    rejections = _Rejections(spool)
    for records in _records(view, run, layout, states):
        accepted = _accepted(
            spool, [record.row for record in records if record.state is not RowState.REJECTED], rejected
        )
        pairs: list[Pair] = [
            (record, rejections.of(record.row) if record.state is RowState.REJECTED else next(accepted))
            for record in records
        ]
        if any(record.row != row.row for record, row in pairs):
            raise FileError("its rows were mended while they were read", file=spool.folder, hint="Try again.")
        yield pairs


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


def _rejected_rows(view: View, run: Run) -> NDArray[np.int64]:
    return np.flatnonzero(view.bitmap(run.id, RowState.REJECTED, run.total)) + 1


def _ordinals(rows: Sequence[int], rejected: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places of accepted rows among the accepted ones, counted from 0."""
    numbers = np.array(rows, dtype=np.int64)
    return numbers - 1 - np.searchsorted(rejected, numbers)


def _accepted(spool: Spool, rows: list[int], rejected: NDArray[np.int64]) -> Iterator[Row]:
    """The spool's side of ascending accepted rows; `rejected` are the row numbers that the spool leaves out."""
    ordinals = _ordinals(rows, rejected)
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


def troubled_csv(
    view: View, spool: Spool, run: Run, *, states: Collection[RowState] = TROUBLED, reason: str = ""
) -> Iterator[bytes]:
    """The rows in `states` as a file of their own: the reason, then the original columns, in the definition's encoding.

    With a `reason` only those that have it.
    Good rows that were left out, since they were delivered before, are not among them: there is nothing to mend.
    Rejected rows are as they stood in the file, ragged ones too. Of the others the columns of the definition are
    there, as their values are written, and those that the pipeline has no use for as they stood. The reason comes
    first, where it is seen and where a ragged row cannot push it aside; when the file is uploaded again it is passed
    over, and what was neutralised here is restored.
    """
    if not run.total:
        return
    definition = from_resolved(view.definition(run.id))
    layout, header = Layout.of(definition, run.facts.delimiter), spool.manifest().header
    form = Correctable.of(header, layout.columns)
    table = Table(layout.delimiter, for_spreadsheets(definition.source.encoding))
    writers = {name: writer(definition.columns.get(name)) for name in layout.columns}
    used = {at: (name, writers[name]) for name, at in _positions(layout, header, run) if at is not None}
    rejected, places = _rejected_rows(view, run), run.facts.places
    yield table.lines([form.header])
    for some in _batches(view, spool, run, layout, states):
        batch = [pair for pair in some if not reason or _has(reason, *pair)]
        accepted = [record.row for record, row in batch if isinstance(row, Row)]
        unused = spool.unused(_ordinals(accepted, rejected).tolist())
        yield table.lines(
            form.line(*_original(record, row, used, len(header), next(unused)))
            if isinstance(row, Row)
            else form.line(places.told(row.line) + _reasons(row), row.cells)
            for record, row in batch
            if isinstance(row, Row) or not row.skipped
        )


def _has(reason: str, record: Record, row: Row | Rejection) -> bool:
    return reason_of(record) == reason if isinstance(row, Row) else any(str(why) == reason for why in row.reasons)


def _original(
    record: Record, row: Row, used: Mapping[int, tuple[str, Callable[[Any], str]]], width: int, unused: Iterable[str]
) -> tuple[str, Sequence[str]]:
    """(reason, cells in the file's order). `used`: by place in the file a column of the definition, and its writer."""
    left = iter(unused)
    cells = [own[1](row.values[own[0]]) if (own := used.get(at)) is not None else next(left, "") for at in range(width)]
    status = f"HTTP {record.status}" if record.status is not None else ""
    return record.reason or status or record.state, cells


@dataclass(frozen=True, slots=True)
class Correctable:
    """A file of rows to be corrected: a reason in front of the columns of the file that they came from."""

    header: tuple[str, ...]
    _old: frozenset[int]  # where a file that came from here has its reasons

    @classmethod
    def of(cls, header: Sequence[str], columns: Sequence[str]) -> Correctable:
        """For rows of a file with this header, of a pipeline with these columns."""
        own = _free(REASON, set(columns))
        old = frozenset(at for at, name in enumerate(header) if name == own)
        return cls((own, *(neutral(name) for at, name in enumerate(header) if at not in old)), old)

    def line(self, reason: str, cells: Sequence[str]) -> list[str]:
        """One row of it."""
        return [neutral(reason), *(guarded(cell) for at, cell in enumerate(cells) if at not in self._old)]


def as_json(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """One object, `{"result": [...]}`, a row a line."""
    start = b'{"result": [\n'
    for batch in _batched(rows):
        yield start + b",\n".join(map(_JSON.encode, batch))
        start = b",\n"
    yield b"\n]}\n" if start == b",\n" else b'{"result": []}\n'


def as_jsonl(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """An object a line."""
    for batch in _batched(rows):
        yield b"\n".join(map(_JSON.encode, batch)) + b"\n"


def as_csv(rows: Iterable[dict[str, Any]], layout: Layout) -> Iterator[bytes]:
    """CSV in UTF-8 (with its mark) with a header; formulas neutralised, nested values as JSON.

    Values are written as their columns read them, so that a file of results can be read by its own pipeline.
    """
    table = Table(layout.delimiter)
    header = layout.header
    yield table.lines([[neutral(name) for name in header]])
    for batch in _batched(rows):
        yield table.lines([[_cell(row, name, layout.writers) for name in header] for row in batch])


def _cell(row: dict[str, Any], name: str, writers: Mapping[str, Callable[[Any], str]]) -> str:
    value = row.get(name)
    if name not in writers or row["result"] in _AS_THEY_STOOD:
        return cell(value)
    made = writers[name](value)
    return neutral(made) if isinstance(value, str | bool) else made  # a number or a date is no formula


FORMS: dict[str, Callable[[Iterable[dict[str, Any]], Layout], Iterator[bytes]]] = {
    "json": lambda rows, layout: as_json(rows),
    "jsonl": lambda rows, layout: as_jsonl(rows),
    "csv": as_csv,
}


def _batched(rows: Iterable[dict[str, Any]], size: int = 1000) -> Iterator[list[dict[str, Any]]]:
    left = iter(rows)
    while batch := list(islice(left, size)):
        yield batch
