"""What is wrong with what a column says of how its cells are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flows.pipeline.column import KEEP, REJECT, Column, is_of, not_of
from flows.pipeline.date_form import DateForm, FormatError
from flows.pipeline.example import refused
from flows.pipeline.fault import Fault, Place, brief
from flows.pipeline.number_form import DECIMAL_SIGNS, GROUP_SIGNS
from flows.pipeline.phone import regions

_FOR: Mapping[str, tuple[str, ...]] = {
    "decimal": ("float", "decimal"),
    "group": ("int", "float", "decimal"),
    "format": ("date", "datetime"),
    "first_year": ("date", "datetime"),
    "split": ("list",),
    "region": ("phone",),
    "as_written": ("str",),
}
_OF_TEXT = ("decimal", "group", "format", "split")  # what `map` leaves nothing to


def writing_faults(place: Place, column: Column) -> Iterator[Fault]:
    """What contradicts itself, or can never be."""
    misplaced = [key for key, kinds in _FOR.items() if getattr(column, key) and column.type not in kinds]
    for key in misplaced:
        yield Fault((*place, key), f"is for {' and '.join(_FOR[key])}, not for {column.type}")
    if not misplaced:
        yield from _numbers(place, column)
        yield from _dates(place, column)
    if column.split == "":
        yield Fault((*place, "split"), 'is empty; say what stands between the entries, e.g. split: ";"')
    if column.region is not None and column.type == "phone" and column.region not in (known := regions()):
        yield Fault((*place, "region"), f"{brief(column.region)} is no country; {_country(column.region, known)}")
    yield from _table(place, column)
    yield from _default(place, column)


def _numbers(place: Place, column: Column) -> Iterator[Fault]:
    if column.decimal is not None and column.decimal not in DECIMAL_SIGNS:
        yield Fault((*place, "decimal"), f'must be "." or "," (found {brief(column.decimal)})')
    if column.group is not None and column.group not in GROUP_SIGNS:
        what = 'must be one of "." "," "\'" "_" and " ", which also takes no-break spaces'
        yield Fault((*place, "group"), f"{what} (found {brief(column.group)})")
    elif column.group is not None and column.type != "int" and column.group == (column.decimal or "."):
        other = "," if column.group == "." else "."
        said = "" if column.decimal else ", which is a point where `decimal` is not stated"
        yield Fault((*place, "group"), f'is the decimal sign as well{said}; write decimal: "{other}"')


def _dates(place: Place, column: Column) -> Iterator[Fault]:
    if column.format is None:
        if column.first_year is not None:
            yield Fault((*place, "first_year"), "is for a `format` with YY")
        return
    if column.first_year is not None and not 1 <= column.first_year <= 9900:
        yield Fault((*place, "first_year"), f"must be a year from 1 to 9900 (found {column.first_year})")
        return
    try:
        DateForm.of(column.type, column.format, column.first_year)
    except FormatError as exc:
        yield Fault((*place, "format"), f"{exc} (found {brief(column.format)})")
        return
    if column.first_year is not None and "YY" in column.format and "YYYY" in column.format:
        yield Fault((*place, "first_year"), "is for a `format` with YY; this one has all digits of the year")


def _country(region: str, known: frozenset[str]) -> str:
    upper = region.strip().upper()
    if upper == "UK":
        return "did you mean `GB`?"
    return f"did you mean `{upper}`?" if upper in known else "write two capital letters, such as DE"


def _table(place: Place, column: Column) -> Iterator[Fault]:
    if column.table is None:
        if column.other != REJECT:
            yield Fault((*place, "other"), "says what becomes of a text that is not in `map`, and there is no `map`")
        return
    if not column.table:
        yield Fault((*place, "map"), "is empty; write what stands in the cells and what it means, e.g. {yes: true}")
    for text, value in column.table.items():
        where = (*place, "map", text)
        if text != text.strip(" \t"):
            yield Fault(where, "has blanks around it, but cells are looked up without; take them off")
        yield from _value(where, column, value)
    if column.other not in (KEEP, REJECT):
        yield from _value((*place, "other"), column, column.other)
    unused = [key for key in _OF_TEXT if getattr(column, key)] if column.other != KEEP else []
    for key in unused:
        what = "has no effect, because a text that is not in `map` is not read; other: keep reads it"
        yield Fault((*place, key), what)


def _value(place: Place, column: Column, value: Any) -> Iterator[Fault]:
    """What is wrong with a value that a cell may become."""
    if value is None:
        if not column.optional and column.default is None:
            yield Fault(place, "means nothing (null), which needs optional: true")
    elif not is_of(column.type, value):
        yield Fault(place, not_of(column.type, value))
    elif said := refused(column, value):
        yield Fault(place, f"would be rejected: {said} (found {brief(value)})")


def _default(place: Place, column: Column) -> Iterator[Fault]:
    if column.default is None:
        return
    where = (*place, "default")
    yield from _value(where, column, column.default)
    if column.unique:
        yield Fault(where, "would stand in each row whose cell is empty, but the column is unique")


def name_faults(columns: Mapping[str, Column]) -> Iterator[Fault]:
    """What is wrong with the other names of columns."""
    owners = {name.strip().casefold(): name for name in columns}
    for name, column in columns.items():
        for at, other in enumerate(column.other_names):
            place, folded = ("columns", name, "from", at), other.strip().casefold()
            if not folded or other != other.strip() or not other.isprintable() or len(other) > 200:
                yield Fault(place, f"must be 1 to 200 visible characters, no blanks around them (found {brief(other)})")
            elif owners.get(folded) == name:
                yield Fault(place, f"names {name!r} twice: leave it out, since capital and small letters do not matter")
            elif folded in owners:
                yield Fault(place, f"is a name of the column {owners[folded]!r} already")
            owners.setdefault(folded, name)
