"""A definition inferred from a sample of rows, as YAML with comments: where `rowrelay init` begins, to be edited.

What is written as a rule is what the sample leaves no doubt about (types, empty cells); what may be chance is written
as a comment. Pure; the text always loads.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import PurePath
from typing import Any

from flows.pipeline.document import plain_value
from flows.pipeline.fault import Fault, refusal
from flows.pipeline.file_form import bare_name
from flows.pipeline.guess import Ways, truths
from flows.pipeline.hint import Hints, without
from flows.pipeline.meant import NOTHING

MOST_ROWS = 10_000
_MOST_DISTINCT = 6
_MOST_ODD = 3  # cells that may keep a column from a type, for them to be named
_MOST_KEYS = 3
_LONGEST_KEY = 80  # longer texts are unique by chance

_INT = re.compile(r"-?(0|[1-9][0-9]{0,17})")  # a leading zero or a plus means text: a postcode, a telephone number
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,17})?\.[0-9]{1,18}")
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

_IN_WORDS = {
    "int": "whole numbers",
    "decimal": "decimal numbers",
    "float": "numbers",
    "bool": "true or false",
    "date": "dates",
    "datetime": "dates with a time",
}
_NAMES_A_KEY = re.compile(
    r"(^|[^a-z])(id|nr|no|num|number|key|code|sku|uuid|e-?mail)([^a-z]|$)|(nr|nummer|(?-i:Id|ID))$", re.IGNORECASE
)


@dataclass(slots=True)
class _Seen:
    """What the cells of one column had in common so far.

    `odd` has the cells, with their lines, that do not fit a type; a type that too many do not fit is taken out.
    """

    odd: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: {name: [] for name, _ in _FITS})
    filled: int = 0
    empty: int = 0
    longest: int = 0
    distinct: set[str] = field(default_factory=set)
    unique: bool = True
    ways: Ways = field(default_factory=Ways)
    hints: Hints = field(default_factory=Hints)
    nothing: set[str] = field(default_factory=set)

    def take(self, line: int, cell: str) -> None:
        if not cell.strip():
            self.empty += 1
            return
        self.filled += 1
        self.longest = max(self.longest, len(cell))
        if cell.strip().casefold() in NOTHING:
            self.nothing.add(cell)
        else:
            self._judge(line, cell)
        if self.unique or len(self.distinct) <= _MOST_DISTINCT:
            self.unique = self.unique and cell not in self.distinct
            self.distinct.add(cell)

    def _judge(self, line: int, cell: str) -> None:
        self.ways.take(cell)
        self.hints.take(cell)
        for name, fits in _FITS:
            if name in self.odd and not fits(cell):
                self.odd[name].append((line, cell))
                if len(self.odd[name]) > _MOST_ODD:
                    del self.odd[name]

    @property
    def type(self) -> str:
        return "str" if self.nothing else self._type

    @property
    def _type(self) -> str:
        if not self.filled or self.ways.doubt:
            return "str"
        plain = next((name for name, odd in self.odd.items() if not odd), "")
        if plain in ("", "bool") and len(self.distinct) == 2 and truths(self.distinct):
            return "bool" if self._is_plain_truth else "str"
        return plain or self._own.partition(",")[0].removeprefix("type: ") or "str"

    @property
    def _own(self) -> str:
        """The keys of a column whose cells are written in a way of their own, where that is sure."""
        return self.ways.sure if self.filled and not any(not odd for odd in self.odd.values()) else ""

    @property
    def _is_plain_truth(self) -> bool:
        return all(cell.casefold() in ("true", "false", "yes", "no", "t", "f") for cell in self.distinct)

    @property
    def key_rank(self) -> int | None:
        """How well it tells rows apart, the lower the better; None where it does not."""
        if not self.unique or self.empty or self.filled < 2 or self.longest > _LONGEST_KEY:
            return None
        return {"int": 0, "str": 1}.get(self.type)

    def rules(self) -> str:
        optional = ", optional: true" if self.empty and self.type != "str" else ""
        return f"{{{(not self.nothing and self._own) or f'type: {self.type}'}{optional}}}"

    def comment(self) -> str:
        if not self.filled:
            return "no value in the sample"
        parts = []
        if self.type == "str":
            parts += [f"may be {self.ways.doubt}"] if self.ways.doubt else self._odd_ones()
            if words := truths(self.distinct):
                parts.append(f"perhaps {{type: bool, map: {{{words}}}}}")
            elif self.nothing and self.nothing < self.distinct and self._type != "str":
                parts.append(without(self.nothing, self._own or f"type: {self._type}"))
            else:
                parts += self.hints.words("str") if self.nothing < self.distinct else []
            parts.append(f"at most {self.longest} characters")
            parts.append(f"{self.empty} blank" if self.empty else "never blank: add `blank: false` if it must not be")
        else:
            parts += self.hints.words(self.type)
            if self.empty:
                parts.append(f"{self.empty} empty, sent as null")
        if self.type == "str" and not truths(self.distinct) and len(self.distinct) <= _MOST_DISTINCT < self.filled:
            parts.append("perhaps one_of: [" + ", ".join(map(quoted, sorted(self.distinct))) + "]")
        return "; ".join(parts)

    def _odd_ones(self) -> list[str]:
        """What made a text of a column that is nearly of another type."""
        few = sorted((len(odd), at) for at, odd in enumerate(self.odd.values()) if 0 < len(odd) * 5 <= self.filled)
        if not few:
            return []
        name, odd = list(self.odd.items())[few[0][1]]
        named = (f"line {line}: {_shown(repr(cell if len(cell) < 30 else cell[:29] + '…'))}" for line, cell in odd)
        return [f"{self.filled - len(odd)} of {self.filled} are {_IN_WORDS[name]}", *named]


def infer(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    name: str = "my-pipeline",
    file: str = "",
    lines: Iterable[int] | None = None,
    source: Mapping[str, Any] | None = None,
) -> str:
    """The YAML text of a definition for a file with that header and such rows (at most 10,000 are looked at).

    `file` is the sample's name, for comments and messages, `lines` are those on which the rows begin, `source` is what
    was said of how it is to be read. A column without a name is left out. Raises DefinitionError on a header that no
    definition can name: twice the same, with braces.
    """
    columns = [column.strip() for column in columns]  # headers are matched without blanks around them
    if not any(columns):
        raise refusal([Fault((), "has no header, so there are no columns to describe", 1)], file=file)
    _check_header(columns, file)
    seen = [_Seen() for _ in columns]
    count = 0
    for line, row in zip(lines or itertools.count(2), rows, strict=False):
        if len(row) == len(seen):  # a ragged row says nothing about columns
            count += 1
            for column, cell in zip(seen, row, strict=True):
                column.take(line, cell)
        if count >= MOST_ROWS:
            break
    return _TEXT.format(
        sample=_shown(file or "a sample"),
        count=f"{count:,} row" + ("" if count == 1 else "s"),
        name=quoted(name_for(name)),
        source=f"\nsource: {json.dumps(source, ensure_ascii=False)}\n" if source else "",
        keys="".join(_keys(columns, seen)),
        columns="\n".join(_columns(columns, seen)),
        body="\n".join(f"    {quoted(column)}: {quoted('{' + column + '}')}" for column in columns if column),
    )


def name_for(text: str) -> str:
    """A pipeline's name made of a file's name: `Orders 2026.csv.gz` → `orders-2026`."""
    return re.sub(r"[^a-z0-9]+", "-", bare_name(PurePath(text).name).lower())[:60].strip("-") or "my-pipeline"


def _check_header(columns: Sequence[str], file: str) -> None:
    faults: list[Fault] = []
    folded: set[str] = set()
    for at, column in enumerate(columns, start=1):
        if not column.isprintable() or len(column) > 200 or set("{}") & set(column):
            faults.append(Fault((), f"the name of column {at} holds braces, a line break or other odd characters", 1))
        elif column and column.casefold() in folded:
            faults.append(Fault((), f"two columns are called {column!r} (case does not matter); rename one", 1))
        folded.add(column.casefold())
    if faults:
        raise refusal(faults, file=file)


def _columns(columns: Sequence[str], seen: Sequence[_Seen]) -> Iterator[str]:
    for at, (column, found) in enumerate(zip(columns, seen, strict=True), start=1):
        if not column:
            yield f"  # Column {at} has no name in the header, as an index has none; it is left out."
        else:
            comment = found.comment()
            yield f"  {quoted(column)}: {found.rules()}" + (f"  # {comment}" if comment else "")


def _keys(columns: Sequence[str], seen: Sequence[_Seen]) -> Iterator[str]:
    """Columns by which rows could be known again, best first: a sample cannot know, so as comments."""
    ranked = [
        (not _NAMES_A_KEY.search(column), found.key_rank, at)
        for at, (column, found) in enumerate(zip(columns, seen, strict=True))
        if column and found.key_rank is not None
    ]
    if ranked:
        yield "\n# What tells rows apart over all runs: `rowrelay send --skip-delivered` goes by it.\n"
    for _, _, at in sorted(ranked)[:_MOST_KEYS]:
        yield f"#key: [{quoted(columns[at])}]  # unique in the sample\n"


def quoted(text: str) -> str:
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

# Types: int, float, decimal, str, bool, date, datetime, phone, list, json.
# Checks: min, max, min_length, max_length, pattern, one_of, blank, optional, unique.
# How cells are written: decimal: ",", group: "." (12.345,50), format: DD.MM.YYYY (first_year: 1950 where years are YY),
# map: {{Ja: true, Nein: false}} (other: keep, reject or a value), split: ";" (list), region: DE (phone), trim: true,
# default: 0 (where a cell is empty), as_written: true (#N/A and 1.2E+11 are meant so). from: [Name]: other names.
# says: words for people in place of a pattern. example: a value for the template. as: text or unix, how it goes out.
columns:
{columns}
{source}{keys}
request:
  method: POST
  url: https://api.example.invalid/rows  # to be changed: the address of your API
  # headers: {{Authorization: "Bearer ${{secret:API_TOKEN}}"}}  # a secret from the environment; never stored or shown
  # A placeholder alone in its quotes keeps the column's type.
  json:
{body}
  # empty: omit  # what becomes of a field whose cell is empty: omit, null or text
  timeout_seconds: 10

# proxy: environment  # or http://HOST:PORT; if not given, requests go directly
# auth: {{bearer: "${{secret:API_TOKEN}}"}}  # or oauth2, basic, login, certificate, hmac: see docs/connect.md
#   hosts: [status.example.com]  # in auth, where requests go to several hosts: those that get it too; [] is none

response:
  keep: {{}}  # what to keep of the answer, e.g. {{newId: id}} (JMESPath)
  success: [200, 201, 202, 204]

# How fast your API may be asked; its documentation says it. This is slow on purpose.
limit: {{name: {name}, requests: 1, window_seconds: 1, in_flight: 1}}
# slow_by: standard  # slow down as the headers of its answers say; or {{remaining: NAME, reset: NAME}}
"""
