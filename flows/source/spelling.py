"""Typed values as text, spelled as their column's own rules read it: 0,1 where `decimal: ","` is stated.

So all that comes after a file is read knows text alone, and a rejected row that is given out as CSV reads back as it
was. Where the rules of a column cannot say a value, the text is one that they refuse: no value becomes another one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from flows.pipeline.column import KEEP, Column
from flows.pipeline.judge import NUMBERS
from flows.pipeline.nested import JSON_FORM
from flows.pipeline.reader import Form, form_of
from flows.source.table import NotSpelled, Padded, Spelling, Unreadable
from flows.values import as_text

_DATES = ("date", "datetime")
_MIDNIGHT = time()
_LARGE, _DIGITS = 10**40, 400  # no column of whole numbers reads more; longer numbers keep their exponent
_MOST_KEPT = 20_000  # spelled values of a column that are kept: dates, states and the like come again


def canonical(value: object) -> str:
    """A value without any rules: 0.1, 5, 2024-03-01, true; nothing for none; what is nested as JSON."""
    if isinstance(value, float):
        return str(value) if not math.isfinite(value) else _number(Decimal(repr(value)))
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, Unreadable):
        return value.text
    return _duration(value) if isinstance(value, timedelta) else as_text(value)


def shouted(value: object) -> str:
    """The same as spreadsheets show it: TRUE and FALSE."""
    return ("TRUE" if value else "FALSE") if isinstance(value, bool) else canonical(value)


def _number(value: Decimal) -> str:
    return f"{value:f}" if not value or abs(value.adjusted()) < _DIGITS else str(value)


def _duration(value: timedelta) -> str:
    seconds = round(abs(value).total_seconds())
    sign = "-" if value < timedelta() else ""
    return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


class AsDigits:
    """A spelling that leaves numbers in canonical spelling as they are."""

    def __init__(self, spell: Spelling) -> None:
        self._spell = spell

    def __call__(self, value: object) -> str:
        """The text of a value."""
        return self._spell(value)


def spellings(
    names: Sequence[str],
    positions: Mapping[str, int | None],
    columns: Mapping[str, Column],
    *,
    shown: Spelling = canonical,
    nested: bool = False,
) -> list[Spelling]:
    """One spelling for each column of a file. `positions`: where the wanted columns stand, `columns`: their rules.

    `shown`: values as the people of this kind of file see them. `nested`: a text in a json column is a JSON string,
    and no text that holds JSON.
    """
    made: list[Spelling] = [AsDigits(shown)] * len(names)
    for name, at in positions.items():
        if at is not None:
            made[at] = _of_column(columns[name], shown, nested=nested) if name in columns else AsDigits(_wanted(shown))
    return made


def _wanted(shown: Spelling) -> Spelling:
    """Of a column that has no rules here: a pandera model's, or one of a sample."""

    def spell(value: object) -> str:
        if isinstance(value, Unreadable):
            raise NotSpelled(value.check, value.text)
        return value if isinstance(value, str) else shown(value)

    return spell


def _of_column(column: Column, shown: Spelling, *, nested: bool) -> Spelling:
    kind, form = column.type, form_of(column)
    own = _by_form(form, kind) if form is not None and column.table is None else _our_way(kind, shown)
    if column.table is not None:
        own = _by_table(column, form, own, shown)
    quoted = nested and kind == "json" and column.table is None

    def spell(value: object) -> str:
        if isinstance(value, str):
            return JSON_FORM.write(value) if quoted else value
        if isinstance(value, Unreadable):
            raise NotSpelled(value.check, value.text)
        return "" if value is None else own(value)

    return AsDigits(spell) if column.table is None and form is None else spell


def _our_way(kind: str, shown: Spelling) -> Spelling:
    """Of a column that says nothing of how its cells are written: its rule reads no value as another one."""

    def spell(value: object) -> str:
        if value.__class__ is Decimal:  # the usual case, and so a quick one
            text = str(value)
            if "E" not in text and (kind != "int" or "." not in text):
                return text
        return canonical(_fitted(kind, value))

    return shown if kind in ("str", "phone") else _remembered(spell, date)


def _by_table(column: Column, form: Form | None, own: Spelling, shown: Spelling) -> Spelling:
    """A table has texts, and so what people see. What it does not have may be kept, and then is read by the type."""
    table = column.table or {}
    inner = _of_column(column.model_copy(update={"table": None}), shown, nested=False)

    def spell(value: object) -> str:
        seen = shown(value)
        if seen in table or column.other != KEEP:
            return seen
        text = inner(value)
        if text in table:
            raise NotSpelled(f"is {seen}, and as {text!r} the map of the column means something else", seen)
        return text

    return spell


def _remembered(spell: Spelling, *kinds: type) -> Spelling:
    """A spelling that keeps what comes again: the same days in many rows."""
    kept: dict[tuple[type, object], str] = {}

    def remember(value: object) -> str:
        if not isinstance(value, kinds):
            return spell(value)
        key = (value.__class__, value)
        if (text := kept.get(key)) is None:
            if len(kept) >= _MOST_KEPT:
                kept.clear()
            text = kept[key] = spell(value)
        return text

    return remember


def _by_form(form: Form, kind: str) -> Spelling:
    def spell(value: Any) -> str:
        if kind in NUMBERS and isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            number = _fitted(kind, value)
            if kind != "int" or isinstance(number, int):
                return form.write(number)  # digits and the decimal sign, which it always reads as that number
        return _sure(form, kind, value)

    return _remembered(spell, date, bool)


def _sure(form: Form, kind: str, value: Any) -> str:
    """A text that the form reads as this value, or does not read. Raises NotSpelled where there is none."""
    fitted = _fitted(kind, value)
    text = canonical(fitted)
    if _seen_as_text(kind, fitted):
        return text
    written = [form.write(fitted)] if _is_of(kind, fitted) else []
    for each in (*written, text, text.replace(".", ",")):
        try:
            found = form.read(each)
        except ValueError:
            if each not in written:
                return each
            continue
        if as_text(found) == as_text(fitted):
            return each
    raise NotSpelled(form.words, text)


def _seen_as_text(kind: str, value: Any) -> bool:
    """Whether a column takes a value for what people see of it: a number that is a telephone number, or a date."""
    if kind == "phone":
        return True
    scalar = isinstance(value, int | float | Decimal | date | time | timedelta)
    return scalar and (kind == "list" or (kind in _DATES and not isinstance(value, date)))


def _is_of(kind: str, value: Any) -> bool:
    if kind in _DATES:
        return isinstance(value, datetime) == (kind == "datetime") and isinstance(value, date)
    if kind == "list":
        return isinstance(value, list)
    return kind == "json" and not isinstance(value, date | time | timedelta)


def _fitted(kind: str, value: Any) -> Any:
    """A value as its column's type where that is the very same: 5.0 as 5, 007 as 7, a date as its midnight."""
    if isinstance(value, Padded) and (kind in NUMBERS or kind == "json"):
        return int(value)
    if kind == "int" and isinstance(value, float | Decimal) and _is_whole(value):
        return int(value)
    if kind == "date" and isinstance(value, datetime) and value.tzinfo is None and value.time() == _MIDNIGHT:
        return value.date()
    if kind == "datetime" and isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, _MIDNIGHT)
    return value


def _is_whole(value: float | Decimal) -> bool:
    return math.isfinite(value) and abs(Decimal(value)) <= _LARGE and value == int(value)
