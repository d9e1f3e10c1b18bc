"""JSON objects to records under the file's columns; what is no record, or is not certain, becomes a rejection.

The common case goes through C alone: many objects are decoded at once, and each column is spelled at once. Numbers
keep their digits: whole ones are Python's, others decimal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from decimal import Decimal
from operator import itemgetter, methodcaller
from typing import Any

import msgspec
import numpy as np

from flows.origin import IN_LINES
from flows.pipeline.nested import JSON_FORM
from flows.records import Reason
from flows.source.content import Noticed
from flows.source.encoding import Refuse
from flows.source.gathered import Texts, as_rows
from flows.source.quoting import MAX_CELL, NUL, Batch
from flows.source.spelled_columns import Columns, Faults
from flows.source.spelling import canonical
from flows.source.table import SAMPLES, Spelling

FIRST = 1000  # records whose names are the columns
MOST_NAMES = 10_000
NO_OBJECT = Reason("", "is no object of names and values", "")
LONG = Reason("", f"is longer than {MAX_CELL:,} characters", "")

Record = dict[str, Any]
Raw = tuple[int, str]  # where a record stands, and its JSON
_COLON, _QUOTE, _BLANK = b':" '
_decoder = msgspec.json.Decoder(float_hook=Decimal)


def decode(text: str | bytes) -> Any:
    """What the JSON says. Raises ValueError where it is none, or holds what it may not hold."""
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, RecursionError, ArithmeticError) as exc:
        raise ValueError(str(exc)) from exc


def decode_lines(data: bytes) -> list[Any]:
    """What each line says. Raises ValueError where one of them says nothing."""
    try:
        return _decoder.decode_lines(data)
    except (msgspec.MsgspecError, RecursionError, ArithmeticError) as exc:
        raise ValueError(str(exc)) from exc


class Records:
    """The columns of a file of JSON objects, found in its first records, and what becomes of all of them.

    `wanted`: names that are looked for; one with points in it may be a path into nested objects. `unmet`: the columns
    that are expected, and that no record has had yet.
    """

    def __init__(self, first: Iterable[Raw], wanted: Iterable[str], noticed: Noticed, refuse: Refuse) -> None:
        found = [record for _, raw in first if isinstance(record := _judged(raw), dict)]
        if not found:
            raise refuse("has no record that can be read", hint='Each must be an object, such as {"id": 1}.')
        self._wanted, self._noticed, self._refuse = {_loose(name) for name in wanted}, noticed, refuse
        keys: Record = {}
        for record in found:
            keys |= dict.fromkeys(record)
        paths = [name for name in dict.fromkeys(wanted) if name not in keys and any(_at_path(name, found))]
        self.names = [*keys, *paths]
        if len(self.names) > MOST_NAMES:
            raise refuse(f"has more than {MOST_NAMES:,} columns", hint="Are the records the values of one object?")
        self.samples = [[canonical(_value(record, name)) for name in self.names] for record in found[:SAMPLES]]
        self._keys, self._known, self._late = tuple(keys), set(keys), dict[str, int]()
        self.unmet: set[str] = set()

    def expect(self, names: Iterable[str]) -> None:
        """Columns that none of the first records has, and that may come later."""
        self.unmet.update(names)
        self.names += names

    def ready(self, spellings: Sequence[Spelling]) -> None:
        """From now on records are wanted as text."""
        self._columns = Columns(self.names, spellings)
        self._known |= set(self.names)
        self._all = itemgetter(*self._keys)
        self._getters = [_getter(name, self._keys) for name in self.names]

    def batch(
        self, data: bytes, decoded: list[Any] | None, lines: Sequence[int], raws: Callable[[], Iterable[Raw]]
    ) -> Batch:
        """The records of some JSON. `decoded`: what it says, if it was decoded; `raws`: its records one by one."""
        if decoded is not None and len(decoded) == len(lines) and _are_plain(decoded, data):
            columns, faults = self._texts(decoded, lines)
            batch = Batch(list(lines), [], faults, columns=columns)
        else:
            batch = self._carefully(list(raws()))
        batch.chars = len(data)
        if b"\\u0000" in data:
            for at, cells in enumerate(batch.rows()):
                if any("\0" in cell for cell in cells):
                    batch.faults[at] = (NUL, *batch.faults.get(at, ()))
        return batch

    def end(self) -> None:
        """All records have come: say what was not looked for in them."""
        if self._late:
            names = ", ".join(name[:80] for name in list(self._late)[:10]) + (", …" if len(self._late) > 10 else "")
            many = "1 field" if len(self._late) == 1 else f"{len(self._late):,} fields"
            first = next(iter(self._late.values()))
            self._noticed.said.append(
                f"none of the first {FIRST:,} records has {many} that a later one has ({names}; the first in "
                f"{self._noticed.place(first, '')}); what stands there was passed over"
            )

    def _carefully(self, raws: list[Raw]) -> Batch:
        """Each record by itself."""
        judged = [_judged(raw) for _, raw in raws]
        records = {at: each for at, each in enumerate(judged) if isinstance(each, dict)}
        good = list(records)
        columns, faults = self._texts(list(records.values()), [raws[at][0] for at in good])
        batch = Batch([line for line, _ in raws], [[raw] for _, raw in raws])
        for at, row in zip(good, as_rows(columns) if good else (), strict=True):
            batch.cells[at] = row
        batch.faults = {good[at]: fault for at, fault in faults.items()}
        batch.faults |= {at: (each,) for at, each in enumerate(judged) if isinstance(each, Reason)}
        return batch

    def _texts(self, records: list[Record], lines: Sequence[int]) -> tuple[list[Texts], Faults]:
        if not records:
            return [], {}
        if set(map(len, records)) == {len(self._keys)} and len(self._keys) > 1:
            with suppress(KeyError):  # the common case: all have these names and no others
                columns = zip(*map(self._all, records), strict=True)
                others = (list(map(get, records)) for get in self._getters[len(self._keys) :])
                return self._columns.texts([*columns, *others])
        if late := set().union(*records) - self._known:
            self._say_late(late, records, lines)
        values = [list(map(get, records)) for get in self._getters]
        if self.unmet:
            met = (name for name, column in zip(self.names, values, strict=True) if column.count(None) < len(column))
            self.unmet.difference_update(met)
        return self._columns.texts(values)

    def _say_late(self, late: set[str], records: list[Record], lines: Sequence[int]) -> None:
        for name in sorted(late - self._late.keys()):
            at = next(at for at, record in enumerate(records) if name in record)
            if _loose(name) in self._wanted:
                line, place = lines[at], self._noticed.place(lines[at], "")
                said = f"{name[:80]!r} comes here for the first time, and the first {FIRST:,} records are without it"
                in_line = place == IN_LINES(line, "")
                raise self._refuse(
                    said if in_line else f"{place}: {said}",
                    line=line if in_line else None,
                    hint="Put it into the first record as well, with null if it has no value.",
                )
            if len(self._late) < MOST_NAMES:
                self._late[name] = lines[at]


def _judged(raw: str) -> Record | Reason:
    """The record, or why it is none."""
    if len(raw) > MAX_CELL:
        return LONG
    try:
        record = decode(raw)
        if _are_plain([record], raw.encode()):
            return dict(record)
        record = JSON_FORM.read(raw)
    except ValueError as exc:
        return _why(raw, str(exc))
    return record if isinstance(record, dict) else NO_OBJECT


def _are_plain(records: list[Any], data: bytes) -> bool:
    """Whether all are objects, and no name stands twice in one: as many names as colons that may be behind names."""
    if set(map(type, records)) != {dict}:
        return False
    chars = np.frombuffer(data, np.uint8)
    before = chars[np.flatnonzero(chars == _COLON) - 1]
    colons = int(np.count_nonzero((before == _QUOTE) | (before <= _BLANK)))
    if colons == sum(map(len, records)):
        return True
    return b"\\u0022" not in data and colons == msgspec.json.encode(records).count(b'":')


def _why(raw: str, said: str) -> Reason:
    try:
        JSON_FORM.read(raw)
    except ValueError as exc:
        said = str(exc)
    return Reason("", said, raw[:80])


def _getter(name: str, keys: Sequence[str]) -> Callable[[Record], Any]:
    if name in keys or "." not in name:
        return methodcaller("get", name)
    return lambda record: _value(record, name)


def _value(record: Record, name: str) -> Any:
    """The value of a column: of that name, or at that path."""
    if name in record:
        return record[name]
    head, point, rest = name.partition(".")
    while point:
        if isinstance(inner := record.get(head), dict) and (found := _value(inner, rest)) is not None:
            return found
        more, point, rest = rest.partition(".")
        head = f"{head}.{more}"
    return None


def _at_path(name: str, records: list[Record]) -> Iterator[bool]:
    return ("." in name and _value(record, name) is not None for record in records)


def _loose(name: str) -> str:
    return name.strip().casefold()
