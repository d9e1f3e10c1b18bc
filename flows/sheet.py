"""Values as the cells of a CSV file that may be opened in a spreadsheet.

A text that a spreadsheet would take for a formula gets an apostrophe in front: one that begins with `=`, `+`, `-` or
`@` (full-width ones too, blanks before them or not), with a tab or a line break, and is no plain number (-5 stays -5).
In files that are given out to be corrected, so does a text that a spreadsheet would save as another one: numbers with
leading zeros, a plus, a fraction or more digits than it shows, dates, times, truth values.
A text that has apostrophes before such a beginning already gets one more, so that `restored` always gives back what
was there. Everything is written in UTF-8 with a byte order mark, without which Excel reads it as something else.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from flows.values import as_text

UTF8 = "utf-8-sig"
REASON = "reason (rowrelay)"  # a column of each file in which every cell is guarded: `is_ours` knows it by that

_FORMULA = re.compile(r"[\t\r\n]|\s*[=+\-@＝＋－＠]")
FIRST, LAST = ("row", "line"), ("status", "reason")  # columns of every file of results
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_KEPT = re.compile(r"-?(0|[1-9][0-9]{0,10})")  # Excel shows eleven digits and saves what it shows
_WRITTEN = re.compile(r"[\d\s.,:/'%()+\-\u2212$€£¥₽TZEtze]*+([APap]\.?[Mm]\.?)?")
_MONTHS = (
    "jan feb fev fév mar mär mrz apr avr abr may mai mag maj jun jui jul lug aug ago aoû sep set oct okt ott out "
    "nov dec dez déc dic янв фев мар апр май мая июн июл авг сен окт ноя дек"
)
_DATE = re.compile(rf"[\d\s.,/\-]*+({_MONTHS.replace(' ', '|')})[^\W\d_]*+[\d\s.,:/\-]*+", re.IGNORECASE)
_CODE = re.compile(r"\s*[TZEtze].*\d", re.DOTALL)  # Z-2: times end with such a letter, and nothing begins with it
_TRUTH = re.compile(r"\s*(true|false|wahr|falsch|vrai|faux|verdadero|verdadeiro|falso|vero|истина|ложь)\s*", re.I)
_DIGIT = re.compile(r"\d")


class Table:
    """CSV as bytes, batch by batch."""

    def __init__(self, delimiter: str = ",", encoding: str = UTF8) -> None:
        self._encoder = codecs.getincrementalencoder(encoding)(errors="replace")  # writes one byte order mark, not many
        self._buffer = io.StringIO()
        self._writer = csv.writer(self._buffer, delimiter=delimiter, lineterminator="\r\n")

    def lines(self, rows: Iterable[Sequence[Any]]) -> bytes:
        """These rows; a character that the encoding lacks becomes a question mark."""
        self._writer.writerows(rows)
        text = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return self._encoder.encode(text)


def for_spreadsheets(encoding: str | None) -> str:
    """The encoding to write in so that Excel reads it right: UTF-8 gets its mark, any other stays what it is."""
    return UTF8 if not encoding or codecs.lookup(encoding).name == "utf-8" else encoding


def cell(value: Any) -> str:
    """A value as a cell that a person may open in a spreadsheet: text is neutralised, numbers stay numbers."""
    return neutral(value) if type(value) is str else plain(value)


def plain(value: Any) -> str:
    """A value as a cell that would be read as the same value again; what an API answered, as JSON."""
    return as_text(value)


def neutral(text: str) -> str:
    """The text of a cell so that no spreadsheet takes it for a formula; `restored` is the way back."""
    bare = text.lstrip("'")
    return "'" + text if _risky(bare) or (bare != text and _changed(bare)) else text


def guarded(text: str) -> str:
    """The same, and so that a spreadsheet saves it as it was: nothing is taken for a number or a date."""
    bare = text.lstrip("'")
    # A code without an apostrophe stays itself. With one it gets another: `restored` takes one away.
    return "'" + text if _risky(bare) or (_changed(bare) and (bare != text or not _CODE.match(bare))) else text


def restored(cell: str) -> str:
    """The text that `neutral` or `guarded` was given."""
    return cell[1:] if cell.startswith("'") and guarded(cell) != cell else cell


def unguarded(cell: str) -> str:
    """A text without the apostrophe that another program may have put before a formula, any number or a date."""
    plain_number = cell.startswith("'") and _KEPT.fullmatch(cell, 1)
    return cell[1:] if plain_number else restored(cell)


def is_ours(names: Sequence[str], wanted: Collection[str] = ()) -> bool:
    """Whether a file with these columns is one of ours, so that its cells have to be restored.

    Wherever the column of reasons has been moved to; or one of results, whose columns are what and where they were.
    """
    if any(is_reason(name) and name not in wanted for name in names):
        return True
    return tuple(names[:2]) == FIRST and tuple(names[-2:]) == LAST and "result" in names[2:-2]


def is_reason(name: str) -> bool:
    """Whether this is what the column of reasons is called."""
    return name.strip().rstrip("_") == REASON


def _risky(bare: str) -> bool:
    """A formula."""
    return bool(_FORMULA.match(bare)) and not _NUMBER.fullmatch(bare)


def _changed(bare: str) -> bool:
    """What some spreadsheet takes for a number, a date or a truth value, and saves in its own way."""
    if _KEPT.fullmatch(bare):
        return False
    if _DIGIT.search(bare):
        return bool(_WRITTEN.fullmatch(bare) or _DATE.fullmatch(bare))
    return bool(_TRUTH.fullmatch(bare))
