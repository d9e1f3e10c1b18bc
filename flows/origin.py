"""Where a row of a file stands, as people of that kind of file call it: line 17, Sheet1!D17, [16].price. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

Place = Callable[[int, str], str]  # where a row stands, by its line, or its cell in a column of the definition
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


class Origin(Struct, frozen=True, omit_defaults=True):
    """What kind of file a run's rows are from, and where in it they stand.

    `sheet`: of a workbook; `first`: the index of the first of its columns. `path`: to the list in a JSON file.
    A row's `line` is the sheet's row, the line of a text file or of a file
    of JSON lines, and elsewhere the number of the record from 1.
    """

    kind: str = "csv"
    sheet: str = ""
    first: int = 0
    path: str = ""

    def place(self, line: int, column: str = "", columns: Sequence[str] = ()) -> str:
        """Where a row stands, or the cell of one of its columns. `columns`: those of the file, in its order."""
        if self.sheet:
            at = self.first + (columns.index(column) if column in columns else 0)
            return f"{_quoted(self.sheet)}!{letters(at)}{line}" if column in columns or not column else self.place(line)
        if self.kind in ("json", "parquet"):
            return f"{self.path}[{line - 1}]{_member(column)}"
        return f"line {line}"

    def placing(self, names: Mapping[str, str], columns: Sequence[str]) -> Place:
        """What says where a cell of a column of the definition stands; "" as column: where its row does.

        `names`: what the file calls those columns; `columns`: all that it has, in its order.
        """
        return lambda line, column: self.place(line, names.get(column, column), columns)

    def told(self, line: int) -> str:
        """Where a row stands, before its reasons in a file of text, whose own lines are others; "" of text files."""
        return "" if self.kind == "csv" else f"{self.place(line)}: "


PLAIN = Origin()
IN_LINES = PLAIN.placing({}, ())


def letters(at: int) -> str:
    """What a spreadsheet calls the column with this index from 0: A … Z, AA …"""
    name = ""
    at += 1
    while at:
        at, rest = divmod(at - 1, 26)
        name = chr(65 + rest) + name
    return name


def _quoted(sheet: str) -> str:
    """A sheet's name as formulas have it."""
    return sheet if sheet.isidentifier() else "'" + sheet.replace("'", "''") + "'"


def _member(column: str) -> str:
    if not column:
        return ""
    return f".{column}" if _PATH.fullmatch(column) else f"[{column!r}]"
