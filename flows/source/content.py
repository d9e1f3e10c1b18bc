"""What a record says: whether anything is in it at all, and what spreadsheets and joined files leave in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from flows.origin import IN_LINES, Place
from flows.pipeline.file_form import option
from flows.records import Reason

MARK = "\ufeff"  # a byte order mark that is not the file's first character was left there when files were joined
BLANK = Reason("", "is a blank line", "")
EMPTY = Reason("", "has no content: every cell is empty", "")
BLANKS = Reason("", "has no content: nothing but blanks", "")
DASHES = Reason("", "has no content: a line of dashes", "")
AGAIN = Reason("", "is the header line again: were two files joined?", "")
GUARDED = "begins with an apostrophe: is it part of the text, or a guard against spreadsheets to be taken away?"

_TOTALS = frozenset(
    ("total", "totals", "grand total", "sum", "summe", "gesamt", "gesamtsumme", "zwischensumme", "endsumme", "saldo",
     "somme", "total général", "totale", "suma", "итого", "всего", "итог", "合計", "合计", "总计")
)  # fmt: skip

# White space but line feeds, control characters but NUL, and characters that leave a gap or nothing on the screen.
_UNSEEN = (
    r"\x01-\x09\x0b-\x20\x7f-\xa0\u00ad\u061c\u115f\u1160\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800"
    r"\u3000\u3164\ufeff\uffa0"
)
_DASH = r"=_+:|\-\u2013\u2014\u2500-\u257f"
_NOTHING = re.compile(rf"[{_UNSEEN}\n]*+")
_RULE = re.compile(rf"[{_DASH}{_UNSEEN}]*+")
_LONG = re.compile(r"[-=_\u2014\u2500-\u257f]{2}")


@dataclass(slots=True)
class Seen:
    """How often something was met, and where first: in which line, and in which column of the definition."""

    count: int = 0
    line: int = 0
    example: str = ""
    column: str = ""

    def at(self, line: int, example: str = "", *, column: str = "", count: int = 1) -> None:
        """Once more (or `count` times), from this line on."""
        if not self.count:
            self.line, self.example, self.column = line, example, column
        self.count += count


@dataclass(slots=True)
class Noticed:
    """What was met in a file as a whole, and read as it was meant. `place`: where its rows and cells stand."""

    marks: Seen = field(default_factory=Seen)
    formulas: Seen = field(default_factory=Seen)
    passed_over: Seen = field(default_factory=Seen)
    apostrophes: Seen = field(default_factory=Seen)
    said: list[str] = field(default_factory=list)  # by the reader of a kind of file, in its own words
    place: Place = IN_LINES

    def last(self, line: int, record: Sequence[str]) -> None:
        """Look at the file's last row, which may be a total: nobody could tell it from a row but by its first word."""
        first = next((cell for cell in record if cell.strip()), "")
        if first.strip(" :.").casefold() in _TOTALS:
            self.said.append(
                f"the last row ({self.place(line, '')}) begins with {first.strip()!r}: if it is a total and no row, "
                f"say {option('skip_footer', 1)}"
            )

    def words(self) -> tuple[str, ...]:
        """A sentence for each thing that was met."""
        counted = tuple(
            self._said(seen, one, many, more)
            for seen, one, many, more in (
                (
                    self.marks,
                    "1 line begins with a byte order mark",
                    "{:,} lines begin with a byte order mark",
                    ", which was taken off. Were files joined?",
                ),
                (
                    self.formulas,
                    "1 cell is a formula that keeps a text as it is",
                    "{:,} cells are formulas that keep a text as it is",
                    f"; the text was read: {self.formulas.example}",
                ),
                (
                    self.apostrophes,
                    "1 cell begins with an apostrophe that may only guard it against spreadsheets",
                    "{:,} cells begin with an apostrophe that may only guard them against spreadsheets",
                    f": {self.apostrophes.example}. Say what is meant: --apostrophes keep, or "
                    f"{option('apostrophes', 'remove')}",
                ),
                (
                    self.passed_over,
                    "1 row without content at the end of the file was passed over",
                    "{:,} rows without content at the end of the file were passed over",
                    "",
                ),
            )
            if seen.count
        )
        return (*self.said, *counted)

    def _said(self, seen: Seen, one: str, many: str, more: str) -> str:
        place = self.place(seen.line, seen.column)
        where = place if seen.count == 1 else f"the first in {place}"
        return f"{one if seen.count == 1 else many.format(seen.count)} ({where}){more}"


class Judge:
    """Says of records under a header which are no rows, though they have the right shape."""

    def __init__(self, names: Sequence[str]) -> None:
        self._width = len(names)
        self._names = [_loose(name) for name in names]
        self._sorted = sorted(self._names)
        heads = "|".join(re.escape(name.strip()) for name in list(names)[:100] if name.strip()) or r"(?!)"
        # One search over the first cells of a batch finds out whether any record needs a second look.
        self._odd = re.compile(
            rf"\n(?:[{_UNSEEN}]*+\n|[{_UNSEEN}]*+(?i:{heads})[{_UNSEEN}]*+\n|[{_DASH}][{_DASH}{_UNSEEN}]*+\n)"
        )

    def all_plain(self, first_cells: Sequence[str]) -> bool:
        """Whether these first cells alone show that their records have content and are no header."""
        return not self._odd.search("\n" + "\n".join(first_cells) + "\n")

    def without_content(self, record: list[str], *, first: bool) -> Reason | None:
        """What a record without content is called. `first`: it stands right below the header."""
        if not record:
            return BLANK
        if self._width == 1 and record == [""]:
            return None  # `""`: how an empty cell is written where there is but one column
        if not any(record):
            return EMPTY
        if _NOTHING.fullmatch(record[0]) and all(_NOTHING.fullmatch(cell) for cell in record[1:]):
            return BLANK if len(record) == 1 else BLANKS
        return DASHES if self._is_rule(record, first=first) else None

    def is_header(self, record: list[str]) -> bool:
        """Whether a record names the columns once more."""
        if self._width == 1:
            return len(record) == 1 and _loose(record[0]) == self._names[0]
        return len(record) == self._width and _loose(record[0]) in self._names and self._names_all(record)

    def is_reordered(self, record: list[str]) -> bool:
        """Whether a record that is a header has the columns in another order."""
        return [_loose(cell) for cell in record] != self._names

    def _names_all(self, record: list[str]) -> bool:
        return sorted(_loose(cell) for cell in record) == self._sorted

    def _is_rule(self, record: list[str], *, first: bool) -> bool:
        """A line that separates, as psql, MySQL, sqlcmd and Markdown draw it; each cell of one that has several."""
        if self._width == 1 and not first:
            return False
        return all(map(_RULE.fullmatch, record)) and any(map(_LONG.search, record))


def text_of_formula(cell: str) -> str | None:
    """The text in a cell such as `="00123"`, with which Excel is kept from taking it for a number."""
    if len(cell) < 3 or not (cell.startswith('="') and cell.endswith('"')):
        return None
    inner = cell[2:-1]
    return None if '"' in inner.replace('""', "") else inner.replace('""', '"')


def _loose(name: str) -> str:
    return name.strip().strip(MARK).casefold()
