"""Records gathered into frames of rows; what is no row becomes a rejection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import pandas as pd

from flows.records import Reason, Rejection
from flows.sheet import unguarded
from flows.source.content import AGAIN, GUARDED, Judge, Noticed
from flows.source.encoding import Refuse
from flows.source.gathered import Gathered, as_rows, beside, listed
from flows.source.header import Header
from flows.source.quoting import Batch

FRAME_ROWS = 20_000
FRAME_CHARS = 8 << 20  # rows of long texts come in smaller frames, so that memory stays flat
MOST_PENDING = 1000  # stretches of rows without content that may be the file's last; more are rejected


@dataclass(frozen=True, slots=True)
class Frame:
    """Rows of the right width as text, and those that are no rows.

    `text` holds the wanted columns in their order (index 0…n-1); `rows`, `lines` and `cells` (the whole record, in
    the file's order) go with it. `faults`: by position and wanted column why a cell cannot be read at all.
    `rejections` are the ragged, blank and broken records in between.
    """

    text: pd.DataFrame
    rows: npt.NDArray[np.int64]
    lines: npt.NDArray[np.int64]
    cells: Sequence[list[str]]
    rejections: list[Rejection]
    faults: Mapping[int, Mapping[str, str]] = field(default_factory=dict)

    def beside(self, rows: Sequence[int], columns: Sequence[int]) -> list[list[str]]:
        """Of some rows the cells in some columns of the file, both by position."""
        return beside(self.cells, rows, columns)


@dataclass(slots=True)
class _Stretch:
    """Rows without content, one a line, all of the same kind."""

    reason: Reason
    cells: list[str]
    line: int
    count: int = 1


class Assembly:
    """Gathers records into frames; numbers them; rejects those that are no rows.

    Records without content are held back until another one follows: at the end of the file they are passed over.
    Raises FileError where the header comes again with its columns in another order.
    """

    def __init__(self, header: Header, size: int, noticed: Noticed, refuse: Refuse, *, asks: bool = False) -> None:
        self.row = 0  # ordinal of the last record
        self._size, self._width = size, len(header.names)
        self._noticed, self._refuse, self._asks = noticed, refuse, asks
        self._judge = Judge(header.names)
        self._pending: list[_Stretch] = []
        self._rows: list[int] = []
        self._lines: list[int] = []
        self._cells = Gathered(header.positions, self._width)
        self._wanted = {header.names[at]: name for name, at in header.positions.items() if at is not None}
        self._faults: dict[int, dict[str, str]] = {}  # by row
        self._rejections: list[Rejection] = []
        self._chars = 0
        self._last: tuple[int, Sequence[str]] = (0, ())  # of the rows

    def add(self, batch: Batch) -> Iterator[Frame]:
        """Take the records of a batch; give the frames that are full."""
        yield from self._add(batch)
        self._chars += batch.chars
        if self._chars >= FRAME_CHARS:
            yield from self.rest()

    def _add(self, batch: Batch) -> Iterator[Frame]:
        lines, faults = batch.lines, batch.faults
        if self._all_fine(batch):
            self._add_fine(batch)
            yield from self._full()
            return
        for at, (line, record) in enumerate(zip(lines, batch.rows(), strict=True)):
            if without := self._judge.without_content(record, first=self.row == 0):
                yield from self._hold(without, line, record)
                continue
            yield from self._reject_held()
            wrong = faults.get(at, ())
            if any(not each.column for each in wrong):
                self._reject(wrong, line, record)
            elif reason := self._shape(record, line):
                self._reject((reason,), line, record)
            else:
                self._add_one(line, record, wrong)
            yield from self._full()

    def end(self) -> Iterator[Frame]:
        """What is gathered as a frame, if there is any; what is held back without content is passed over."""
        for held in self._pending:
            if held.cells:  # a blank line at the end of a file is not worth a word
                self._noticed.passed_over.at(held.line, count=held.count)
        self._pending = []
        self._noticed.last(*self._last)
        yield from self.rest()

    def rest(self) -> Iterator[Frame]:
        """What is gathered as a frame, if there is any."""
        if len(self._cells) or self._rejections:
            yield self._frame(len(self._cells))

    def _all_fine(self, batch: Batch) -> bool:
        """Whether no record of the batch needs a second look; the common case, judged without a Python loop."""
        if self._pending or batch.faults or not batch.lines:
            return False
        if batch.columns is not None:
            return len(batch.columns) == self._width and self._judge.all_plain(listed(batch.columns[0]))
        cells = batch.cells
        return set(map(len, cells)) == {self._width} and self._judge.all_plain(list(map(itemgetter(0), cells)))

    def _add_fine(self, batch: Batch) -> None:
        lines, columns = batch.lines, batch.columns
        if columns is None:
            self._cells.add(batch.cells)
            self._last = (lines[-1], batch.cells[-1])
        else:
            self._cells.add_columns(columns)
            self._last = (lines[-1], as_rows(texts[-1:] for texts in columns)[0])
        self._lines += lines
        self._rows += range(self.row + 1, self.row + 1 + len(lines))
        self.row += len(lines)

    def _add_one(self, line: int, record: list[str], faults: Sequence[Reason]) -> None:
        self._last = (line, record)
        self.row += 1
        if faults:
            self._faults[self.row] = {self._wanted[each.column]: each.check for each in faults}
        self._rows.append(self.row)
        self._lines.append(line)
        self._cells.add([record])

    def _shape(self, record: list[str], line: int) -> Reason | None:
        if self._judge.is_header(record):
            if self._judge.is_reordered(record):
                raise self._refuse(
                    "the header line comes again here, with its columns in another order",
                    line=line,
                    hint="Files were joined here. Send them one by one.",
                )
            return AGAIN
        if len(record) != self._width:
            return Reason("", f"has {_cells(len(record))}, the header has {self._width}", "")
        return None

    def _hold(self, reason: Reason, line: int, record: list[str]) -> Iterator[Frame]:
        last = self._pending[-1] if self._pending else None
        if last and last.reason is reason and last.cells == record and last.line + last.count == line:
            last.count += 1
            return
        if len(self._pending) == MOST_PENDING:
            yield from self._reject_held()
        self._pending.append(_Stretch(reason, record, line))

    def _reject_held(self) -> Iterator[Frame]:
        for held in self._pending:
            for line in range(held.line, held.line + held.count):
                self._reject((held.reason,), line, held.cells)
                yield from self._full()
        self._pending.clear()

    def _reject(self, reasons: tuple[Reason, ...], line: int, record: list[str]) -> None:
        self.row += 1
        self._rejections.append(Rejection(self.row, line, reasons, tuple(record)))

    def _full(self) -> Iterator[Frame]:
        while len(self._cells) + len(self._rejections) >= self._size:
            yield self._frame(self._size - len(self._rejections))

    def _frame(self, count: int) -> Frame:
        """The first `count` gathered rows and all rejections, which came before the next row, as a frame."""
        rows, lines = self._rows[:count], self._lines[:count]
        table, cells = self._cells.take(count)
        frame = Frame(
            text=table,
            rows=np.array(rows, dtype=np.int64),
            lines=np.array(lines, dtype=np.int64),
            cells=cells,
            rejections=self._rejections,
            faults=self._unreadable(rows, table, lines),
        )
        self._rejections, self._chars = [], 0
        self._rows, self._lines = self._rows[count:], self._lines[count:]
        return frame

    def _unreadable(self, rows: list[int], table: pd.DataFrame, lines: list[int]) -> dict[int, dict[str, str]]:
        """By position and column why a cell of these rows cannot be read."""
        found = {
            at: self._faults.pop(row) for at, row in enumerate(rows if self._faults else ()) if row in self._faults
        }
        for name in table.columns if self._asks else ():  # an apostrophe of which nobody has said what it means
            for at in np.flatnonzero(table[name].str.startswith("'").to_numpy()).tolist():
                cell = str(table[name].iat[at])
                if unguarded(cell) != cell:
                    found.setdefault(at, {})[str(name)] = GUARDED
                    self._noticed.apostrophes.at(lines[at], cell[:80], column=str(name))
        return found


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"
