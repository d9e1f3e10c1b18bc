"""A definition inferred from a sample of rows, as YAML with comments: where `rowrelay init` begins, to be edited.

What is written as a rule is what the sample leaves no doubt about (types, empty cells); what may be chance is written
as a comment. Pure; the text always loads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import PurePath

from flows.pipeline.document import plain_value
from flows.pipeline.fault import Fault, refusal

MOST_ROWS = 10_000
_MOST_DISTINCT = 6

_INT = re.compile(r"-?(0|[1-9][0-9]{0,17})")  # a leading zero or a plus means text: a postcode, a telephone number
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,18}")
_FLOAT = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[-+]\d{2}(:?\d{2})?)?")


def _date(text: str) -> bool:
    return bool(re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII)) and _parses(date.fromisoformat, text)


def _datetime(text: str) -> bool:
    return bool(_TIME.fullmatch(text)) and text.isascii() and _parses(datetime.fromisoformat, text)


def _parses(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


# Narrowest first; a column has the first type that all its cells fit.
_FITS: tuple[tuple[str, Callable[[str], object]], ...] = (
    ("int", _INT.fullmatch),
    ("decimal", lambda text: _INT.fullmatch(text) or _DECIMAL.fullmatch(text)),
    ("float", _FLOAT.fullmatch),
    ("bool", lambda text: text in ("true", "false", "True", "False", "TRUE", "FALSE")),
    ("date", _date),
    ("datetime", _datetime),
)


@dataclass(slots=True)
class _Seen:
    """What the cells of one column had in common so far. `types` is narrowed cell by cell."""

    types: list[str] = field(default_factory=lambda: [name for name, _ in _FITS])
    filled: int = 0
    empty: int = 0
    longest: int = 0
    distinct: set[str] = field(default_factory=set)

    def take(self, cell: str) -> None:
        if not cell.strip():
            self.empty += 1
            return
        self.filled += 1
        self.longest = max(self.longest, len(cell))
        self.types = [name for name, fits in _FITS if name in self.types and fits(cell)]
        if len(self.distinct) <= _MOST_DISTINCT:
            self.distinct.add(cell)

    @property
    def type(self) -> str:
        return self.types[0] if self.types and self.filled else "str"

    def rules(self) -> str:
        optional = ", optional: true" if self.empty and self.type != "str" else ""
        return f"{{type: {self.type}{optional}}}"

    def comment(self) -> str:
        if not self.filled:
            return "no value in the sample"
        parts = []
        if self.type == "str":
            parts.append(f"at most {self.longest} characters")
            parts.append(f"{self.empty} blank" if self.empty else "never blank: add `blank: false` if it must not be")
        elif self.empty:
            parts.append(f"{self.empty} empty, sent as null")
        if self.type == "str" and len(self.distinct) <= _MOST_DISTINCT < self.filled:
            parts.append("perhaps one_of: [" + ", ".join(map(_quoted, sorted(self.distinct))) + "]")
        return "; ".join(parts)


def infer(columns: Sequence[str], rows: Iterable[Sequence[str]], *, name: str = "my-pipeline", file: str = "") -> str:
    """The YAML text of a definition for a file with that header and such rows (at most 10,000 are looked at).

    `file` is the sample's name, for comments and messages. Raises DefinitionError on a header that no definition
    can name: blank, twice the same, with braces.
    """
    columns = [column.strip() for column in columns]  # headers are matched without blanks around them
    _check_header(columns, file)
    seen = [_Seen() for _ in columns]
    count = 0
    for row in rows:
        if len(row) == len(seen):  # a ragged row says nothing about columns
            count += 1
            for column, cell in zip(seen, row, strict=True):
                column.take(cell)
        if count >= MOST_ROWS:
            break
    return _TEXT.format(
        sample=_shown(file or "a sample"),
        count=f"{count:,} row" + ("" if count == 1 else "s"),
        name=_quoted(name_for(name)),
        columns="\n".join(_lines(column, found) for column, found in zip(columns, seen, strict=True)),
        body="\n".join(f"    {_quoted(column)}: {_quoted('{' + column + '}')}" for column in columns),
    )


def name_for(text: str) -> str:
    """A pipeline's name made of a file's name: `Orders 2026.csv.gz` → `orders-2026`."""
    stem = PurePath(text).name
    for suffix in (".gz", ".csv", ".tsv", ".txt"):
        stem = stem[: -len(suffix)] if stem.lower().endswith(suffix) else stem
    return re.sub(r"[^a-z0-9]+", "-", stem.lower())[:60].strip("-") or "my-pipeline"


def _check_header(columns: Sequence[str], file: str) -> None:
    faults: list[Fault] = [] if columns else [Fault((), "has no header, so there are no columns to describe", 1)]
    folded: set[str] = set()
    for at, column in enumerate(columns, start=1):
        if not column:
            faults.append(Fault((), f"column {at} has no name in the header; give it one", 1))
        elif not column.isprintable() or len(column) > 200 or set("{}") & set(column):
            faults.append(Fault((), f"the name of column {at} holds braces, a line break or other odd characters", 1))
        elif column.casefold() in folded:
            faults.append(Fault((), f"two columns are called {column!r} (case does not matter); rename one", 1))
        folded.add(column.casefold())
    if faults:
        raise refusal(faults, file=file)


def _lines(column: str, found: _Seen) -> str:
    comment = found.comment()
    return f"  {_quoted(column)}: {found.rules()}" + (f"  # {comment}" if comment else "")


def _quoted(text: str) -> str:
    """Text as a YAML scalar: bare where that is safe, otherwise in double quotes."""
    bare = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", text, re.ASCII) and isinstance(plain_value(text), str)
    if bare and text.lower() not in ("yes", "no", "on", "off", "y", "n"):  # truth values to older YAML tools
        return text
    return json.dumps(_shown(text), ensure_ascii=False)


def _shown(text: str) -> str:
    """Text that can stand in YAML and in a comment: what cannot be seen is shown as a question mark."""
    return "".join(character if character.isprintable() else "?" for character in text)


_TEXT = """\
# Inferred from {sample} ({count}). Read it through before you send: a sample cannot know the rules.
# `rowrelay check FILE` shows what would be sent, without sending it; `rowrelay schema` prints a schema for editors.

name: {name}

# Types: int, float, decimal, str, bool, date, datetime.
# Checks: min, max, min_length, max_length, pattern, one_of, blank, optional, unique.
columns:
{columns}

request:
  method: POST
  url: https://api.example.invalid/rows  # to be changed: the address of your API
  # headers: {{Authorization: "Bearer ${{secret:API_TOKEN}}"}}  # a secret from the environment; never stored or shown
  # A placeholder alone in its quotes keeps the column's type.
  json:
{body}
  timeout_seconds: 10

response:
  keep: {{}}  # what to keep of the answer, e.g. {{newId: id}} (JMESPath)
  success: [200, 201, 202, 204]

# How fast your API may be asked; its documentation says it. This is slow on purpose.
limit: {{name: {name}, requests: 1, window_seconds: 1, in_flight: 1}}
"""
