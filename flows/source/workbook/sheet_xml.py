"""The rows of a worksheet's XML. Quickly where it is written as most programs write it, else by a parser of XML."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from flows.origin import letters
from flows.source.encoding import Refuse
from flows.source.workbook.grid import MOST_COLUMNS, Facts, Merge, Piece, Row
from flows.source.workbook.known_numbers import Readers
from flows.source.workbook.markup import Markup, Odd, Stretches, has_control, of_excel, unescaped
from flows.source.workbook.shared_strings import SharedStrings
from flows.source.workbook.sheet_template import Shape, Template, are_digits
from flows.source.workbook.sheet_values import NOT_KEPT, Read, error, moment

_SPACE = r'(?: xml:space="preserve")?'
_TOKEN = re.compile(
    r'<c r="([A-Z]{1,3})[0-9]{1,7}"(?: s="([0-9]{1,6})")?(?: t="([a-zA-Z]+)")?(?:/>|>(<f(?: [^<>]*)?>(?:[^<]*</f>)?)?'
    rf"(?:(<v)(?:/>|{_SPACE}>([^<]*)</v>)|<is><t{_SPACE}>([^<]*)</t></is>)?</c>)"
    r"|(</row>)|<row((?: [^<>]*)?)>|(\s+)|(.)",
    re.DOTALL,
)
_NUMBER = re.compile(r' r="([0-9]{1,7})"')
_REF = re.compile(r"\$?([A-Z]{1,3})\$?([0-9]{1,7})(?::\$?([A-Z]{1,3})\$?([0-9]{1,7}))?")
_HIDDEN = re.compile(r' hidden="(?:1|true)"')
MOST_ROWS, _MOST_MERGES = 1_048_576, 200_000
_LEARNT = 200  # rows by which the others are known
_TRUTHS: Mapping[str, object] = {"": None, "0": False, "1": True}


class Columns(dict[str, int]):
    """The index from 0 of a column by its letters."""

    def __missing__(self, name: str) -> int:
        at = 0
        for letter in name:
            at = at * 26 + ord(letter) - 64
        self[name] = at - 1
        return at - 1


class SheetXml:
    """A worksheet. `opened` begins to read it; `readers`: by cell style what its number is. Raises FileError.

    `uncounted`: the workbook asks to be calculated when it is opened. The programs that write such ones (XlsxWriter)
    keep 0 with each formula, which is no value then. Other values may be old, which `facts` tell.
    """

    def __init__(
        self,
        opened: Callable[[], Iterator[bytes]],
        strings: SharedStrings,
        readers: Sequence[Read],
        refuse: Refuse,
        facts: Facts,
        *,
        uncounted: bool = False,
    ) -> None:
        self._opened, self._strings, self._readers = opened, strings, Readers(readers, refuse)
        self.refuse, self.facts, self._uncounted = refuse, facts, uncounted
        self.columns = Columns()
        self.last = 0  # the number of the last row
        self._template: Template | None = None

    def pieces(self) -> Iterator[Piece]:
        """Its rows in their order; then `facts` have what else there is to know."""
        stretches = Stretches(self._opened(), "sheetData", "row", self.refuse)
        try:
            for text in stretches:
                if self._template is not None and (parts := self._alike(text)) is not None:
                    yield from parts
                else:
                    yield self._stretch(text)
        except Odd:
            yield from ([row] for row in self._slowly())
        else:
            self._around(stretches)

    def skip(self) -> None:
        """Learn the facts without the rows."""
        stretches = Stretches(self._opened(), "sheetData", "row", self.refuse)
        try:
            for _ in stretches:
                pass
        except Odd:
            for _ in self._slowly():
                pass
        else:
            self._around(stretches)

    def _around(self, stretches: Stretches) -> None:
        """What stands before and behind the rows."""
        handler = Handler(self)
        handler.markup.feed(stretches.head)
        for block in stretches.rest():
            handler.markup.feed(block)
        handler.markup.feed(b"", last=True)

    def _slowly(self) -> Iterator[Row]:
        handler = Handler(self)
        for block in self._opened():
            handler.markup.feed(block)
            yield from handler.taken()
        handler.markup.feed(b"", last=True)

    def _alike(self, text: str) -> list[Piece] | None:
        """A stretch of rows of which most look like those before it; None where they do not."""
        assert self._template is not None
        if has_control(text):
            return None
        last, seen = self.last, self.facts.hidden_rows
        before = (seen.count, seen.line)
        as_is = "&" not in text and "_x" not in text
        pieces: list[Piece] = []
        try:
            parts = self._template.read(text, lambda shape, texts: self._column(shape, texts, as_is=as_is), seen.at)
            for part in parts or ():
                if part.block is None:
                    pieces.append(self._quickly(part.text))
                elif part.block.numbers[0] <= self.last or part.block.numbers[-1] > MOST_ROWS:
                    raise Odd
                else:
                    pieces.append(part.block)
                    self.last = part.block.numbers[-1]
        except (Odd, KeyError, ValueError):
            parts = None
        if parts is None:
            self.last, (seen.count, seen.line) = last, before
            self._template = None
            return None
        return pieces

    def _column(self, shape: Shape, texts: Sequence[str], *, as_is: bool) -> tuple[str, Sequence[Any]]:
        """The values of a column of cells that are alike. Raises KeyError for what no such cell holds."""
        style, kind, formula = shape
        if formula and self._uncounted and any(text not in ("", "0") for text in texts):
            self.facts.stale_formulas = True
        if kind == "s":
            return "text", self._strings.many(texts)
        if kind in ("str", "inlineStr"):
            return "text", texts if as_is else [of_excel(unescaped(text)) for text in texts]
        if kind == "b":
            return "typed", list(map(_TRUTHS.__getitem__, texts))
        reader = self._readers[style]
        if formula and self._uncounted:
            return "typed", [NOT_KEPT if text == "0" else reader[text] if text else None for text in texts]
        if reader.reads_numbers and are_digits(texts):
            return "digits", texts
        return "typed", [reader[text] if text else None for text in texts]

    def _stretch(self, text: str) -> list[Row]:
        last, seen = self.last, self.facts.hidden_rows
        before = (seen.count, seen.line)
        try:
            return self._quickly(text)
        except Odd:
            self.last, (seen.count, seen.line) = last, before
            handler = Handler(self)
            handler.markup.feed(b"<sheetData>" + text.encode() + b"</sheetData>", last=True)
            return handler.taken()

    def _quickly(self, text: str) -> list[Row]:
        if has_control(text):
            raise Odd
        rows: list[Row] = []
        cells: list[object] = []
        learns = self._template is None
        looked: list[list[tuple[str, Shape]]] = [[]]
        columns, strings, readers, sure = self.columns, self._strings, self._readers, not self._uncounted
        as_is = "&" not in text and "_x" not in text
        for column, style, kind, formula, kept, value, inline, ended, row, gap, odd in _TOKEN.findall(text):
            if column:
                if learns and len(looked) <= _LEARNT and (value or inline):
                    looked[-1].append((column, (style, kind, bool(formula))))
                if kind == "s" and value:
                    cell: object = strings[int(value)]
                elif not kind and value and not (formula and (value == "0" or not sure)):
                    cell = readers[style][value]
                elif kind == "inlineStr" and as_is:
                    cell = inline or None
                else:
                    cell = self.cell(style, kind, value, inline, formula=bool(formula), kept=bool(kept), quick=True)
                if columns[column] == len(cells):
                    cells.append(cell)
                else:
                    put(cells, columns[column], cell)
            elif ended:
                rows.append((self.last, cells))
            elif odd:
                raise Odd
            elif not gap:
                cells = []
                looked.append([])
                found = _NUMBER.match(row) or _NUMBER.search(row)
                hidden = "hidden" in row and _HIDDEN.search(row) is not None
                self.number(int(found[1]) if found else self.last + 1, hidden=hidden)
                if row.endswith("/"):
                    rows.append((self.last, cells))
        if learns:
            self._template = Template.of(looked[:_LEARNT], columns)
        return rows

    def number(self, number: int, *, hidden: bool) -> None:
        """A row with this number begins."""
        if not self.last < number <= MOST_ROWS:
            raise self.refuse(f"is damaged: row {number} of a sheet follows row {self.last}", hint="Save it anew.")
        self.last = number
        if hidden:
            self.facts.hidden_rows.at(number)

    def cell(
        self, style: str, kind: str, value: str, inline: str, *, formula: bool, kept: bool, quick: bool = False
    ) -> object:
        """What stands in a cell. `kept`: there is a value, though it may be empty. `quick`: texts are escaped."""
        if formula and self._uncounted and value.strip() not in ("", "0"):
            self.facts.stale_formulas = True
        if kind in ("", "n"):
            if not value:
                return NOT_KEPT if formula else None
            if formula and self._uncounted and value.strip() == "0":
                return NOT_KEPT
            return self._readers[style][value.strip()]
        if kind == "s":
            if not (value.isascii() and value.strip().isdigit() and len(value) < 12):
                return None if not value else self._strings[-1]
            return self._strings[int(value)]
        if kind in ("str", "inlineStr", "d"):
            text = inline if kind == "inlineStr" else value
            if formula and not kept:
                return NOT_KEPT
            text = of_excel(unescaped(text) if quick else text)
            return moment(text) if kind == "d" else text or None
        if kind == "b":
            return value.strip() in ("1", "true") if value else NOT_KEPT if formula else None
        return error(unescaped(value) if quick else value)


class Handler:
    """Takes a worksheet, or a part of one, from a parser of XML."""

    def __init__(self, sheet: SheetXml) -> None:
        self.markup = Markup(sheet.refuse, self._start, self._end, self._text)
        self._sheet = sheet
        self._rows: list[Row] = []
        self._cells: list[object] = []
        self._cell: Mapping[str, str] = {}
        self._value, self._inline = list[str](), list[str]()
        self._into: list[str] | None = None
        self._kept = self._formula = self._phonetic = False

    def taken(self) -> list[Row]:
        """The rows that ended since this was asked last."""
        rows, self._rows = self._rows, []
        return rows

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "c":
            self._cell, self._value, self._inline = attributes, [], []
            self._kept = self._formula = False
        elif name == "v":
            self._into, self._kept = self._value, True
        elif name == "t" and not self._phonetic:
            self._into = self._inline
        elif name == "f":
            self._formula = True
        elif name == "rPh":
            self._phonetic = True
        elif name == "row":
            self._cells = []
            number = attributes.get("r", "")
            hidden = attributes.get("hidden", "") in ("1", "true")
            self._sheet.number(int(number) if _is_number(number) else self._sheet.last + 1, hidden=hidden)
        elif name == "mergeCell":
            self._merge(attributes.get("ref", ""))
        elif name == "col" and attributes.get("hidden", "") in ("1", "true"):
            self._hide(attributes.get("min", ""), attributes.get("max", ""))

    def _text(self, text: str) -> None:
        if self._into is not None:
            self._into.append(text)

    def _end(self, name: str) -> None:
        self._into = None
        if name == "c":
            self._put()
        elif name == "row":
            self._rows.append((self._sheet.last, self._cells))
        elif name == "rPh":
            self._phonetic = False

    def _put(self) -> None:
        place = _REF.fullmatch(self._cell.get("r", ""))
        at = self._sheet.columns[place[1]] if place else len(self._cells)
        style = self._cell.get("s", "")
        if style and not _is_number(style):
            raise self._sheet.refuse("is damaged: a cell has a style that is no number", hint="Save it anew.")
        put(
            self._cells,
            at,
            self._sheet.cell(
                style,
                self._cell.get("t", ""),
                "".join(self._value),
                "".join(self._inline),
                formula=self._formula,
                kept=self._kept,
            ),
        )

    def _merge(self, reference: str) -> None:
        found, merges = _REF.fullmatch(reference), self._sheet.facts.merges
        if not found or not found[3]:
            return
        if len(merges) >= _MOST_MERGES:
            raise self._sheet.refuse(f"has more than {_MOST_MERGES:,} merged cells", hint="Unmerge them.")
        left, top, right, bottom = found.groups()
        columns = self._sheet.columns
        merge = Merge(int(top) - 1, columns[left], int(bottom) - 1, min(columns[right], MOST_COLUMNS - 1))
        if merge not in merges[-1:]:
            merges.append(merge)

    def _hide(self, first: str, last: str) -> None:
        if _is_number(first) and _is_number(last):
            names = self._sheet.facts.hidden_columns
            names += [letters(at - 1) for at in range(max(1, int(first)), min(int(last), MOST_COLUMNS) + 1)]


def put(cells: list[object], at: int, cell: object) -> None:
    """A cell at its column; what is left out in between is empty."""
    if cell is None or at >= MOST_COLUMNS:
        return
    if at >= len(cells):
        cells += [None] * (at + 1 - len(cells))
    cells[at] = cell


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 8
