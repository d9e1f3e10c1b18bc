"""What all kinds of workbook have in common: which sheet, which row is the header, and the records below it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain, islice, zip_longest
from typing import Any

from flows.origin import Origin, letters
from flows.pipeline.file_form import FileForm, option
from flows.records import Reason
from flows.sheet import is_ours
from flows.source.content import Noticed, Seen
from flows.source.encoding import Refuse
from flows.source.quoting import Batch
from flows.source.spelling import AsDigits, shouted
from flows.source.table import SAMPLES, Named, NotSpelled, Spelling
from flows.source.workbook.grid import Block, Merge, Piece, Row, Walk, Workbook
from flows.source.workbook.sheet_choice import LOOKED_AT, chosen, few, filled_cells, loose

BATCH_ROWS = 2000
BATCH_CHARS = 1 << 20
Faults = tuple[Reason, ...]
_FULL = 0.6  # of the fullest row's cells, for a row to be a header


class Sheet(Named):
    """One sheet of a workbook as a flows.source.table.Table. `wanted`: the names that its header may hold."""

    encoding = delimiter = ""

    def __init__(self, book: Workbook, form: FileForm, wanted: Iterable[str], noticed: Noticed, refuse: Refuse) -> None:
        self.kind = book.kind
        self._book, self._form, self._noticed, self._refuse = book, form, noticed, refuse
        asked = {loose(each) for each in wanted}
        at, name = chosen(book, form.sheet, asked, noticed, refuse)
        self._grid = book.grid(at)
        pieces = self._grid.pieces()
        if form.merged == "fill":
            pieces = _filled(Walk(pieces), sorted(self._grid.merges(), key=_order))
        walk = Walk(pieces)
        first = next(walk, (1, []))
        rows = chain([first], walk)
        if is_ours([cell for cell in first[1] if isinstance(cell, str)]):  # saved by a spreadsheet meanwhile
            form = form.of_ours
        self.form = self._form = form
        skipped = form.header_row - 1 if form.header_row else form.skip_rows or 0
        above = _until(rows, skipped)
        head = list(islice(above.rest, 1 if form.header_row else LOOKED_AT))
        if not any(filled_cells(cells) for _, cells in head) or (form.header_row and head[0][0] != form.header_row):
            where = f"row {form.header_row}" if form.header_row else "its rows"
            raise refuse(f"has nothing in {where} of sheet {name!r} that could name the columns", hint=_ADVICE)
        found = 0 if form.header_row else _header(head, asked)
        self.header_row, cells = head[found]
        filled = [index for index, cell in enumerate(cells) if cell not in (None, "")]
        self._first, self._last = filled[0], filled[-1]
        self.names = [shouted(cell) for cell in cells[self._first : self._last + 1]]
        self.origin = Origin(self.kind, name, self._first)
        self._pieces: Iterator[Piece] = chain([head[found + 1 :]], walk.left())
        self.samples = [self._sample(cells) for _, cells in head[found + 1 :] if filled_cells(cells)][:SAMPLES]
        over = sum(bool(filled_cells(cells)) for _, cells in head[:found])
        if over and not form.header_row:
            self._say(f"the header is row {self.header_row}; what stands above it was passed over")

    def batches(self, spellings: Sequence[Spelling]) -> Iterator[Batch]:
        """The records below the header. Raises FileError for merged cells that are not to be filled."""
        batch, number = Batch([], []), self.header_row
        for piece in self._pieces:
            if isinstance(piece, Block):
                if (made := self._batch(piece, number, spellings)) is not None:
                    yield batch
                    yield made
                    batch, number = Batch([], []), made.lines[-1]
                    continue
                piece = piece.rows()
            for row, cells in piece:
                while number + 1 < row:  # rows that the file leaves out are blank
                    number += 1
                    _add(batch, number, [], ())
                number = row
                record, faults = self._record(row, cells, spellings)
                _add(batch, row, record, faults)
                if len(batch.cells) >= BATCH_ROWS or batch.chars >= BATCH_CHARS:
                    yield batch
                    batch = Batch([], [])
        yield batch
        self._end(number)

    def _batch(self, block: Block, last: int, spellings: Sequence[Spelling]) -> Batch | None:
        """The records of a block, column by column; None where a row of it needs a look of its own."""
        numbers, count = block.numbers, len(block.numbers)
        if numbers[0] != last + 1 or numbers[-1] != last + count:
            return None
        outside = (*block.columns[: self._first], *block.columns[self._last + 1 :])
        if any(column is not None and any(column[1]) for column in outside):
            return None
        own = block.columns[self._first : self._last + 1]
        try:
            columns = [_spelled(column, spell, count) for column, spell in zip_longest(own, spellings)]
        except NotSpelled:
            return None
        chars = sum(sum(map(len, column)) for column in columns)
        if "" not in columns[0]:
            return Batch(numbers, [], chars=chars, columns=columns)
        records = list(map(list, zip(*columns, strict=True)))
        return Batch(numbers, [record if record[0] or any(record) else [] for record in records], chars=chars)

    def close(self) -> None:
        """Let go of the workbook."""
        self._book.close()

    def _record(self, row: int, cells: list[object], spellings: Sequence[Spelling]) -> tuple[list[str], Faults]:
        first, width, faults = self._first, len(self.names), Faults()
        own = cells if not first and len(cells) <= width else cells[first : first + width]
        if len(own) < len(cells) and (beyond := self._beyond(cells)) is not None:
            faults = (Reason("", f"has a value in {letters(beyond)}{row}, where the header names no column", ""),)
        try:
            record = [
                cell if cell.__class__ is str else "" if cell is None else spell(cell)
                for cell, spell in zip(own, spellings, strict=False)
            ]
        except NotSpelled:
            record, wrong = self._judged(own, spellings)
            faults += wrong
        if not any(record) and not faults:
            return [], faults
        if len(record) < width:
            record += [""] * (width - len(record))
        return record, faults

    def _judged(self, own: list[object], spellings: Sequence[Spelling]) -> tuple[list[str], Faults]:
        """A record of which cells cannot be spelled, and why."""
        record, faults = list[str](), Faults()
        for at, cell in enumerate(own):
            try:
                record.append("" if cell is None else spellings[at](cell))
            except NotSpelled as exc:
                record.append(exc.text)
                faults += (Reason(self.names[at], exc.check, exc.text[:80]),)
        return record, faults

    def _beyond(self, cells: list[object]) -> int | None:
        """Where a value stands on either side of the header's columns."""
        outside = chain(range(self._first), range(self._last + 1, len(cells)))
        return next((at for at in outside if cells[at] not in (None, "")), None)

    def _sample(self, cells: list[object]) -> list[str]:
        own = [shouted(cell) for cell in cells[self._first : self._last + 1]]
        return own + [""] * (len(self.names) - len(own))

    def _end(self, last: int) -> None:
        """Say what was seen of the sheet, and refuse merged cells."""
        facts = self._grid.facts
        if hidden := facts.hidden_rows.count:
            are = "row of the sheet is hidden" if hidden == 1 else "rows of the sheet are hidden"
            self._say(f"{hidden:,} {are} ({_first(facts.hidden_rows)}), and read like the others")
        if own := [name for name in facts.hidden_columns if self._first <= _index(name) <= self._last]:
            are = "column is hidden" if len(own) == 1 else "columns are hidden"
            self._say(f"{len(own)} {are} ({few(own)}), and read like the others")
        if facts.stale_formulas:
            self._say(
                "the values of formulas may be old: the workbook asks to be calculated when it is opened. "
                "To be sure, open it in a spreadsheet, save it, and send that"
            )
        if empty := facts.empty_formulas.count:
            are = "1 formula shows nothing" if empty == 1 else f"{empty:,} formulas show nothing"
            self._say(f"{are} (the first is {facts.empty_formulas.example}), which is read as an empty cell")
        if facts.percents:
            self._say("some numbers are shown as percent: 25% is read as 0.25")
        if self._form.merged != "fill" and (found := [each for each in self._grid.merges() if self._is_of(each, last)]):
            raise self._refuse(
                f"has merged cells in sheet {self.origin.sheet!r}: {few(list(map(str, sorted(found, key=_order))))}",
                hint=f"Unmerge them, or say {option('merged', 'fill')}: each of them gets the value that they show.",
            )

    def _is_of(self, merge: Merge, last: int) -> bool:
        """Whether merged cells belong to the table; not what is above its header, beside it or in its footer."""
        end = last - (self._form.skip_footer or 0)
        inside = merge.right >= self._first and merge.left <= self._last
        return inside and merge.bottom + 1 >= self.header_row and merge.top + 1 <= end

    def _say(self, text: str) -> None:
        self._noticed.said.append(text)


_ADVICE = f"Say which row holds the column names, such as {option('header_row', 3)}."


def _spelled(column: tuple[str, Sequence[Any]] | None, spell: Spelling, count: int) -> Sequence[str]:
    """The text of a column. Its values are of one type but for texts, so that those that are equal are alike."""
    if column is None:
        return [""] * count
    kind, values = column
    if kind == "text" or (kind == "digits" and isinstance(spell, AsDigits)):
        return values
    if kind == "digits":
        return [spell(Decimal(value)) if value else "" for value in values]
    texts = {value: value if value.__class__ is str else "" if value is None else spell(value) for value in set(values)}
    return list(map(texts.__getitem__, values))


@dataclass(slots=True)
class _Above:
    rest: Iterator[Row]


def _until(rows: Iterator[Row], skipped: int) -> _Above:
    """The rows but for the first ones, by their numbers."""
    for row in rows:
        if row[0] > skipped:
            return _Above(chain([row], rows))
    return _Above(iter(()))


def _header(head: Sequence[Row], wanted: Set[str]) -> int:
    """Which of the first rows names the most wanted columns; where none does, the first one that is full of texts."""
    merits = [len(wanted & {loose(cell) for cell in cells if isinstance(cell, str)}) for _, cells in head]
    if max(merits):
        return merits.index(max(merits))
    counts = [filled_cells(cells) for _, cells in head]
    full = [at for at, count in enumerate(counts) if count and count >= _FULL * max(counts)]
    texts = [at for at in full if all(isinstance(cell, str) for cell in head[at][1] if cell is not None)]
    return (texts or full)[0]


def _filled(rows: Iterator[Row], merges: Sequence[Merge]) -> Iterator[Piece]:
    """The rows, with the value of merged cells in each of them."""
    left, active = list(reversed(merges)), list[tuple[Merge, object]]()
    for number, cells in rows:
        active = [(merge, value) for merge, value in active if merge.bottom + 1 >= number]
        while left and left[-1].top + 1 <= number:
            merge = left.pop()
            value = cells[merge.left] if merge.top + 1 == number and merge.left < len(cells) else None
            active.append((merge, value))
        for merge, value in active:
            if value is not None:
                cells += [None] * (merge.right + 1 - len(cells))
                cells[merge.left : merge.right + 1] = [value] * (merge.right + 1 - merge.left)
        yield [(number, cells)]


def _order(merge: Merge) -> tuple[int, int]:
    return merge.top, merge.left


def _add(batch: Batch, line: int, record: list[str], faults: Faults) -> None:
    if faults:
        batch.faults[len(batch.cells)] = faults
    batch.lines.append(line)
    batch.cells.append(record)
    batch.chars += sum(map(len, record))


def _first(seen: Seen) -> str:
    return f"row {seen.line}" if seen.count == 1 else f"the first is row {seen.line}"


def _index(name: str) -> int:
    at = 0
    for letter in name:
        at = at * 26 + ord(letter) - 64
    return at - 1
