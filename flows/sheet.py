"""Values as the cells of a CSV file that may be opened in a spreadsheet.

A text that a spreadsheet would take for a formula gets an apostrophe in front: one that begins with `=`, `+`, `-` or
`@` (full-width ones too, blanks before them or not), with a tab or a line break, and is no plain number (-5 stays -5).
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

import msgspec

from flows.values import as_text

UTF8 = "utf-8-sig"
REASON = "reason (rowrelay)"  # the first column of a file in which every cell is neutral: `is_neutral` knows it by that

_FORMULA = re.compile(r"'*(?:[\t\r\n]|\s*[=+\-@＝＋－＠])")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_JSON = msgspec.json.Encoder(decimal_format="number")


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
    return _JSON.encode(value).decode() if isinstance(value, (dict, list)) else as_text(value)


def neutral(text: str) -> str:
    """The text of a cell so that no spreadsheet takes it for a formula; `restored` is the way back."""
    return "'" + text if _risky(text) else text


def restored(cell: str) -> str:
    """The text that `neutral` was given."""
    return cell[1:] if cell.startswith("'") and _risky(cell) else cell


def is_neutral(first: str, wanted: Collection[str] = ()) -> bool:
    """Whether a file whose first column has this name is one of ours, so that its cells have to be restored."""
    return first.strip().rstrip("_") == REASON and first not in wanted


def _risky(text: str) -> bool:
    """A formula, or one that has apostrophes in front already: those get one more, so that none is ambiguous."""
    return bool(_FORMULA.match(text)) and not _NUMBER.fullmatch(text.lstrip("'"))
