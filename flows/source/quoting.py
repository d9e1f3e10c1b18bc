"""Text to records: cells, the line where each record begins, and what is wrong with it.

`csv.reader` splits the cells; what it would take in silence is judged here. It accepts a quote inside an unquoted
cell (`x "a,b"` becomes two cells: a shifted row), and after an unclosed quote it would swallow the rows that follow.
The rule: a record whose end is certain is rejected alone, one whose end is not certain ends the reading.

Two things are read as they are meant, and noticed: a byte order mark at the beginning of a record is none of its first
cell, and `="00123"`, written so that Excel keeps the zeros, is the text 00123.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from flows.errors import FileError
from flows.records import Reason
from flows.source.content import MARK, Noticed, text_of_formula
from flows.source.encoding import Refuse
from flows.source.gathered import Texts, as_rows

MAX_CELL = 1 << 20  # characters of one cell: an unclosed quote is noticed after so many
MAX_LINE = 16 << 20  # characters of one line or record
MAX_CELLS = 100_000  # of one record: a line of nothing but commas would otherwise take 60 times its size in memory

STRAY = Reason("", "a quote stands where none may be: quote the whole cell and double the quotes in it", "")
NUL = Reason("", "holds a NUL character", "")
LONE_FEED = Reason("", "holds a line feed outside quotes, and the rows end in carriage returns", "")
LONE_RETURN = Reason("", "holds a carriage return outside quotes", "")
LONG_CELL = Reason("", f"has a cell of more than {MAX_CELL:,} characters", "")


@dataclass(slots=True)
class Batch:
    """Consecutive records: where each begins, its cells, the faults by index, and the characters of all.

    A fault without a column makes its record no row; one with a column of the file is of that cell alone.
    Some kinds of file have `columns` in place of `cells`: the same, column by column.
    """

    lines: list[int]
    cells: list[list[str]]
    faults: dict[int, tuple[Reason, ...]] = field(default_factory=dict)
    chars: int = 0
    columns: list[Texts] | None = None

    def rows(self) -> list[list[str]]:
        """The cells of each record."""
        return self.cells if self.columns is None else as_rows(self.columns)


def records(lines: Iterable[str], delimiter: str) -> Any:
    """A strict `csv.reader` over lines that keep their ends."""
    csv.field_size_limit(MAX_CELL)  # a setting of the whole process; nothing else in it reads CSV
    return csv.reader(iter(lines), delimiter=delimiter, strict=True)


class Splitter:
    """Splits text into records. Lines are counted by line feeds, or by carriage returns if the file has only those."""

    def __init__(self, delimiter: str, newline: str, refuse: Refuse, noticed: Noticed | None = None) -> None:
        self._delimiter, self._newline, self._refuse = delimiter, newline, refuse
        self._noticed = noticed or Noticed()
        sep = re.escape(delimiter)
        quoted, plain = '"(?:[^"]++|"")*+"', rf'[^"{sep}\r\n]*+'
        any_cell = f"(?:={quoted}|{quoted}|{plain})"
        self._well = re.compile(rf"(?:{quoted}|{plain})(?:{sep}(?:{quoted}|{plain}))*+\r*\n?")
        self._well_but_formulas = re.compile(rf"{any_cell}(?:{sep}{any_cell})*+\r*\n?")
        self._each_cell = re.compile(rf"(?P<start>\A|{sep})(?:=(?P<formula>{quoted})|{quoted}|{plain})")
        self._prefix = re.compile(rf"(?:(?:{quoted}|{plain}){sep})*+")
        self._open_cell = re.compile(r'"(?:[^"]++|"")*+')
        self._padded_quote = re.compile(rf'(?:^|{sep})[ \t]+"')

    def batches(self, blocks: Iterator[str], line: int) -> Iterator[Batch]:
        """The records of the text whose first line is number `line`.

        Raises FileError for an unclosed quote, for a misplaced quote that leaves the record's end uncertain, and
        for a line or record of more than 16 Mi characters or 100,000 cells.
        """
        tail = ""
        for block in blocks:
            end = block.rfind(self._newline) + 1
            if not end:
                tail = self._bounded(tail + block, line)
                continue
            text, rest = tail + block[:end], block[end:]
            batch, used = self._split(text, line, final=False)
            batch.chars = used
            yield batch
            line += text.count(self._newline, 0, used)
            tail = self._bounded(text[used:] + rest, line)
        if tail:
            yield self._split(tail, line, final=True)[0]

    def _bounded(self, tail: str, line: int) -> str:
        if len(tail) <= MAX_LINE:
            return tail
        raise self._refuse(
            f"a record here is longer than {MAX_LINE:,} characters", line=line, hint="Is this a CSV file?"
        )

    def _split(self, text: str, line: int, *, final: bool) -> tuple[Batch, int]:
        """(records, characters used); fewer than all where the last record goes on in the next block."""
        if '"' not in text and "\0" not in text and MARK not in text and self._newline == "\n":
            try:
                cells = list(records(io.StringIO(text, newline="\n"), self._delimiter))
                self._refuse_wide(cells, line)
                return Batch(list(range(line, line + len(cells))), cells), len(text)
            except csv.Error:  # a lone carriage return or an endless cell: find out which record
                pass
        return self._split_carefully(text, line, final=final)

    def _split_carefully(self, text: str, line: int, *, final: bool) -> tuple[Batch, int]:
        lines = self._lines(text)
        begin = 0

        def without_marks() -> Iterator[str]:
            for at, each in enumerate(lines):
                yield self._begun(each) if at == begin else each

        reader = records(without_marks(), self._delimiter)
        batch, used = Batch([], []), 0
        while (begin := reader.line_num) < len(lines):
            failed, cells = False, []
            try:
                cells = next(reader)
            except csv.Error:
                failed = True
            self._refuse_wide([cells], line + begin)
            count = reader.line_num - begin
            whole = lines[begin] if count == 1 else "".join(lines[begin : begin + count])
            raw = self._begun(whole)
            if failed and self._is_open(raw) and begin + count == len(lines) and not final and len(raw) <= MAX_CELL:
                return batch, used
            used += len(whole)
            if whole.startswith(MARK):
                self._noticed.marks.at(line + begin)
            if '="' in raw and self._delimiter != "=":
                raw, cells, failed = self._without_formulas(raw, cells, line + begin, failed=failed)
            if fault := self._fault(raw, line + begin, count, failed):
                batch.faults[len(batch.cells)] = (fault,)
                cells = cells if fault is NUL else [raw.rstrip("\r\n")]
            batch.lines.append(line + begin)
            batch.cells.append(cells)
        return batch, used

    def _begun(self, text: str) -> str:
        """A record's first line without what does not belong to it: marks, and the rest of a line end."""
        return text.lstrip(MARK if self._newline == "\n" else MARK + "\n")

    def _without_formulas(self, raw: str, cells: list[str], line: int, *, failed: bool) -> tuple[str, list[str], bool]:
        """A record with each `="text"` as the text: bare, which is no good CSV, or quoted like any other cell."""
        if not self._well.fullmatch(raw) and self._well_but_formulas.fullmatch(raw):
            try:
                mended = self._each_cell.sub(lambda found: self._bare(found, line), raw)
                raw, cells, failed = mended, next(records(io.StringIO(mended, newline=""), self._delimiter)), False
            except csv.Error:  # an endless cell
                return raw, cells, True
        for at, cell in enumerate(cells):
            if (text := text_of_formula(cell)) is not None:
                self._noticed.formulas.at(line, cell[:80])
                cells[at] = text
        return raw, cells, failed

    def _bare(self, found: re.Match[str], line: int) -> str:
        if found["formula"] is None:
            return found[0]
        self._noticed.formulas.at(line, f"={found['formula'][:80]}")
        return found["start"] + found["formula"]

    def _refuse_wide(self, cells: list[list[str]], line: int) -> None:
        if max(map(len, cells), default=0) <= MAX_CELLS:
            return
        at = next(at for at, record in enumerate(cells) if len(record) > MAX_CELLS)
        raise self._refuse(
            f"a record here has more than {MAX_CELLS:,} cells", line=line + at, hint="Is this a CSV file?"
        )

    def _lines(self, text: str) -> list[str]:
        if self._newline == "\n":
            return list(io.StringIO(text, newline="\n"))
        return re.findall(r"[^\r]*\r|[^\r]+\Z", text)

    def _fault(self, raw: str, line: int, count: int, failed: bool) -> Reason | None:
        if failed:
            return self._why_failed(raw, line, count)
        if '"' in raw and not self._well.fullmatch(raw):
            if count > 1 or (raw.count('"') % 2 and self._padded_quote.search(raw)):
                raise self._uncertain(raw, line)
            return STRAY
        return NUL if "\0" in raw else None

    def _why_failed(self, raw: str, line: int, count: int) -> Reason:
        if self._is_open(raw):
            raise self._unclosed(raw, line)
        if count > 1 or raw.count('"') % 2:
            raise self._uncertain(raw, line)
        if '"' not in raw and self._ends_within(raw):
            return LONE_RETURN if self._newline == "\n" else LONE_FEED
        return LONG_CELL if '"' not in raw or self._well.fullmatch(raw) else STRAY

    def _ends_within(self, raw: str) -> bool:
        return ("\r" if self._newline == "\n" else "\n") in raw.rstrip("\r\n")

    def _is_open(self, raw: str) -> bool:
        """Whether the record's last cell has an opening quote and no closing one."""
        prefix = self._prefix.match(raw)
        return bool(self._open_cell.fullmatch(raw, prefix.end() if prefix else 0))

    def _line_of_fault(self, raw: str, line: int) -> int:
        prefix = self._prefix.match(raw)
        return line + raw.count(self._newline, 0, prefix.end() if prefix else 0)

    def _unclosed(self, raw: str, line: int) -> FileError:
        where = self._line_of_fault(raw, line)
        what = "the end of the file" if len(raw) <= MAX_CELL else f"{MAX_CELL:,} characters on"
        return self._refuse(
            f"a quote opens a cell here and is not closed by {what}",
            line=where,
            hint="Close it, or double it if it is part of the text.",
        )

    def _uncertain(self, raw: str, line: int) -> FileError:
        return self._refuse(
            "a quote stands where none may be, so that it is not certain where this record ends",
            line=self._line_of_fault(raw, line),
            hint="Quote the whole cell and double the quotes in it.",
        )
