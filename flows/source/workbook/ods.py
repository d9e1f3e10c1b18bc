"""OpenDocument sheets (.ods), read row by row from their XML."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from flows.origin import letters
from flows.pipeline.file_form import FileForm
from flows.source.body import Body
from flows.source.content import Noticed
from flows.source.encoding import Refuse
from flows.source.workbook.archive import Archive
from flows.source.workbook.grid import MOST_COLUMNS, Facts, Merge, Row
from flows.source.workbook.markup import Markup
from flows.source.workbook.sheet import Sheet
from flows.source.workbook.sheet_values import NOT_KEPT, error, moment, number
from flows.source.workbook.sheet_xml import MOST_ROWS

_CONTENT, _MANIFEST = "content.xml", "META-INF/manifest.xml"
_TIME = re.compile(r"(-?)P(?:([0-9]+)D)?T?(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+)(?:[.,]([0-9]+))?S)?")


class Ods(Sheet):
    """A sheet of an OpenDocument file as a flows.source.table.Table."""

    def __init__(self, body: Body, form: FileForm, wanted: Iterable[str], noticed: Noticed) -> None:
        super().__init__(OdsBook(body), form, wanted, noticed, body.refuse)


class OdsBook:
    """An OpenDocument file as a flows.source.workbook.grid.Workbook. Raises FileError for what is damaged."""

    kind = "ods"

    def __init__(self, body: Body) -> None:
        self._archive, self._refuse, self._most = Archive(body), body.refuse, body.max_bytes
        if _MANIFEST in self._archive.names and b"encryption-data" in self._archive.whole(_MANIFEST):
            raise body.refuse("is protected by a password", hint="Take the password away, and save it again.")

    def sheets(self) -> Sequence[tuple[str, bool]]:
        """The names of its sheets, and whether each is visible."""
        reader = _Reader(self._refuse, Facts(), -1, self._most)
        for _ in self._read(reader):
            pass
        return reader.sheets

    def grid(self, at: int) -> OdsGrid:
        """The sheet at a position from 0."""
        return OdsGrid(self._read, at, self._refuse, self._most)

    def close(self) -> None:
        """Let go of it."""
        self._archive.close()

    def _read(self, reader: _Reader) -> Iterator[Row]:
        for block in self._archive.blocks(_CONTENT):
            reader.markup.feed(block)
            yield from reader.taken()
            if reader.over:
                return
        reader.markup.feed(b"", last=True)


class OdsGrid:
    """One sheet of an OpenDocument file as a flows.source.workbook.grid.Grid."""

    def __init__(self, read: Callable[[_Reader], Iterator[Row]], at: int, refuse: Refuse, most: int) -> None:
        self.facts = Facts()
        self._read, self._at, self._refuse, self._most = read, at, refuse, most
        self._ended = False

    def pieces(self) -> Iterator[list[Row]]:
        """Its rows in their order."""
        yield from ([row] for row in self._read(_Reader(self._refuse, self.facts, self._at, self._most)))
        self._ended = True

    def merges(self) -> list[Merge]:
        """Its merged cells."""
        if self._ended:
            return self.facts.merges
        facts = Facts()
        for _ in self._read(_Reader(self._refuse, facts, self._at, self._most)):
            pass
        return facts.merges


class _Reader:
    """Takes the content from a parser of XML; the rows of the sheet at `wanted`. `over`: nothing more is to come."""

    def __init__(self, refuse: Refuse, facts: Facts, wanted: int, most: int) -> None:
        self.markup = Markup(refuse, self._start, self._end, self._text, whole_names=True)
        self.sheets: list[tuple[str, bool]] = []
        self.over = False
        self._refuse, self._facts, self._wanted, self._most = refuse, facts, wanted, most
        self._hidden: set[str] = set()  # styles of sheets
        self._style = ""
        self._rows: list[Row] = []
        self._last = self._column = self._made = 0
        self._row: Mapping[str, str] = {}
        self._cells: list[object] = []
        self._cell: Mapping[str, str] = {}
        self._lines: list[str] | None = None  # of the text of a cell
        self._within = self._beside = 0  # how many tables, and notes, the parser is within
        self._here = self._repeats = False  # within the sheet that is wanted alone; a cell of the row is repeated

    def taken(self) -> list[Row]:
        """The rows that ended since this was asked last."""
        rows, self._rows = self._rows, []
        return rows

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "style:style":
            self._style = attributes.get("style:name", "")
        elif name == "style:table-properties" and attributes.get("table:display") == "false":
            self._hidden.add(self._style)
        elif name == "table:table":
            self._within += 1
            if self._within == 1:
                style = attributes.get("table:style-name", "")
                self.sheets.append((attributes.get("table:name", ""), style not in self._hidden))
                self._last = self._column = 0
            self._here = self._within == 1 and len(self.sheets) - 1 == self._wanted
        elif self._here:
            self._inside(name, attributes)

    def _inside(self, name: str, attributes: Mapping[str, str]) -> None:
        if name in ("table:table-cell", "table:covered-table-cell"):
            self._cell, self._lines = attributes, []
        elif name == "table:table-row":
            self._row, self._cells, self._repeats = attributes, [], False
        elif name == "office:annotation":
            self._beside += 1
        elif name == "table:table-column":
            self._columns(attributes)
        elif self._lines is not None and not self._beside:
            if name == "text:p":
                self._lines.append("")
            elif self._lines and name in _SIGNS:
                self._lines[-1] += _SIGNS[name] * min(_count(attributes, "text:c"), 1000)

    def _text(self, text: str) -> None:
        if self._lines and not self._beside:
            self._lines[-1] += text

    def _end(self, name: str) -> None:
        if name == "table:table":
            self._within -= 1
            wanted = len(self.sheets) - 1 == self._wanted
            self.over, self._here = not self._within and wanted, self._within == 1 and wanted
        elif not self._here:
            return
        elif name in ("table:table-cell", "table:covered-table-cell"):
            self._put(covered=name == "table:covered-table-cell")
        elif name == "table:table-row":
            self._put_row()
        elif name == "office:annotation":
            self._beside -= 1

    def _columns(self, attributes: Mapping[str, str]) -> None:
        """Columns are said before the rows."""
        count = _count(attributes, "table:number-columns-repeated")
        if attributes.get("table:visibility") in ("collapse", "filter"):
            end = min(self._column + count, MOST_COLUMNS)
            self._facts.hidden_columns += [letters(at) for at in range(self._column, end)]
        self._column += count

    def _put(self, *, covered: bool) -> None:
        cell, at = self._cell, len(self._cells)
        value = None if covered else self._value(cell)
        count = _count(cell, "table:number-columns-repeated")
        wide, high = _count(cell, "table:number-columns-spanned"), _count(cell, "table:number-rows-spanned")
        self._repeats = self._repeats or count > 1
        if wide * high > 1 and not covered:
            merge = Merge(self._last, at, min(self._last + high, MOST_ROWS) - 1, min(at + wide, MOST_COLUMNS) - 1)
            self._facts.merges.append(merge)
        self._cells += [value] * min(count, max(0, MOST_COLUMNS - at))
        self._lines = None

    def _value(self, cell: Mapping[str, str]) -> object:
        text = "\n".join(self._lines or ())
        kind = cell.get("office:value-type", "")
        if cell.get("calcext:value-type") == "error":
            return error(text)
        if not kind:
            return NOT_KEPT if cell.get("table:formula") and not text else text or None
        value = cell.get(f"office:{_VALUES.get(kind, 'value')}", "")
        if kind == "string":
            return value or text or None
        if kind == "boolean":
            return value == "true"
        if kind == "date":
            return moment(value)
        if kind == "time":
            return _time(value)
        self._facts.percents = self._facts.percents or kind == "percentage"
        return number(value) if value else NOT_KEPT

    def _put_row(self) -> None:
        count = _count(self._row, "table:number-rows-repeated")
        cells = self._cells
        while cells and cells[-1] is None:
            cells.pop()
        if self._row.get("table:visibility") in ("collapse", "filter") and cells:
            self._facts.hidden_rows.at(self._last + 1, count=count)
        if self._last + count > MOST_ROWS:
            count = MOST_ROWS - self._last
        if cells:
            if count > 1 or self._repeats:  # the others are no more than what the file unpacks to
                self._made += count * sum(len(str(cell)) + 1 for cell in cells)
                if self._made > self._most:
                    raise self._refuse(f"holds more than the {self._most:,} bytes that are allowed, with repeated rows")
            self._rows += [(self._last + each, list(cells)) for each in range(1, count + 1)]
        self._last += count


_SIGNS = {"text:s": " ", "text:tab": "\t", "text:line-break": "\n"}
_VALUES = {"date": "date-value", "time": "time-value", "boolean": "boolean-value", "string": "string-value"}


def _count(attributes: Mapping[str, str], name: str) -> int:
    text = attributes.get(name)
    if text is None:
        return 1
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 9 else 1


def _time(text: str) -> object:
    """A time of day, or where it is a day or more, or less than nothing, a duration."""
    found = _TIME.fullmatch(text)
    if not found or len(text) > 60:
        return text or None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups()[1:5])
    try:
        made = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError:
        return text
    if found[1]:
        return -made
    return (datetime.min + made).time() if made < timedelta(days=1) else made
