"""What a column says of one cell, in plain Python.

`flows.schema` judges files, a frame at a time, with the same shapes and in the same words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from flows.pipeline.column import Column

INT64 = range(-(2**63), 2**63)
EMPTY = "must not be empty"
WORDS = {
    "int": "must be a whole number",
    "float": "must be a number",
    "decimal": "must be a decimal number such as 12.50",
    "bool": "must be true or false (also: t, f, yes, no, 1, 0)",
    "date": "must be a date such as 2026-01-31",
    "datetime": "must be a date and time such as 2026-01-31T13:45:00+01:00",
    "list": 'must be a list in JSON, such as ["a", "b"]',
    "json": "must be JSON",
    "phone": "must be a telephone number with + and its country, such as +49 30 123456",
}
TOO_LARGE = f"must be a whole number between {INT64[0]} and {INT64[-1]}"
NOT_FINITE = "must be a number of ordinary size"
PADDED = "must not begin with a plus or a zero: write the number without, or make the column str"
TOO_PRECISE = "must be a number whose digits a float keeps (some 15): make the column decimal, or int"
WHOLE = 2.0**53  # from here on floats step over whole numbers

SHAPES = {  # of a whole cell, read alike by Python and by Arrow's RE2: ASCII digits only
    "int": "[+-]?[0-9]+",
    "float": r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?",
    "decimal": r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)",
    "bool": "(?i)(true|false|t|f|yes|no|1|0)",
    "date": "[0-9]{4}-[0-9]{2}-[0-9]{2}",
    "datetime": r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
    "(Z|[+-][0-9]{2}(:?[0-9]{2})?)?",
}
PADDING = "([+][0-9]+|[+-]?0[0-9]+)"  # a telephone number, a postcode: what comes before the digits matters
NUMBERS = ("int", "float", "decimal")
TRUE = ("true", "t", "yes", "1")
SHAPED = ("pattern", "one_of")  # checks of which it matters what was in the cell before a spreadsheet had it


class Asked(NamedTuple):
    """One check of a column: its key in the definition, a test of one value, and what is said where that fails."""

    key: str
    test: Callable[[Any], bool]
    words: str


def read_plain(kind: str, text: str) -> Any:
    """The value of a cell that is written our way. Raises ValueError with what is wrong with it."""
    if not re.fullmatch(SHAPES[kind], text):
        raise ValueError(WORDS[kind])
    if kind in NUMBERS and re.fullmatch(PADDING, text):
        raise ValueError(PADDED)
    if kind == "int":
        return _whole(text)
    if kind == "float":
        return _number(text)
    if kind == "decimal":
        return Decimal(text)
    if kind == "bool":
        return text.lower() in TRUE
    try:
        return (date if kind == "date" else datetime).fromisoformat(text)
    except ValueError as exc:
        raise ValueError(WORDS[kind]) from exc


def _whole(text: str) -> int:
    if not fits(text):
        raise ValueError(TOO_LARGE)
    return int(text)


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(NOT_FINITE)
    if abs(number) >= WHOLE and not kept(text, number):
        raise ValueError(TOO_PRECISE)
    return number


def fits(text: str) -> bool:
    """Whether a whole number has 64 bits at most."""
    return len(text) <= 20 and int(text) in INT64  # int() refuses thousands of digits, so count first


def kept(text: str, number: float) -> bool:
    """Whether a large number is the one that was written, digit by digit."""
    return Decimal(repr(number)) == Decimal(text)


def in_own_words(fault: str, words: str, says: str | None) -> str:
    """What is told of a cell that is no value of its column's type. `says`: the column's own words in place of ours."""
    return f"must be {says}{fault[len(words) :]}" if says and fault.startswith(words) else fault


def asked(column: Column) -> Iterator[Asked]:
    """The value checks of a column, in the order in which their words are told: its own ones, where it `says` them."""
    made = _asked(column)
    return (each._replace(words=f"must be {column.says}") for each in made) if column.says else made


def _asked(column: Column) -> Iterator[Asked]:
    least, most, shortest, longest = column.min, column.max, column.min_length, column.max_length
    if not column.blank:
        yield Asked("blank", lambda value: value.strip() != "", "must not be blank")
    if least is not None:
        yield Asked("min", lambda value: value >= least, f"must be at least {_shown(least)}{_clash(column, least)}")
    if most is not None:
        yield Asked("max", lambda value: value <= most, f"must be at most {_shown(most)}{_clash(column, most)}")
    if shortest is not None:
        yield Asked("min_length", lambda value: len(value) >= shortest, f"must have at least {_chars(shortest)}")
    if longest is not None:
        yield Asked("max_length", lambda value: len(value) <= longest, f"must have at most {_chars(longest)}")
    if column.pattern is not None:
        # Python's own expressions: Arrow's would read some of them otherwise, and lack others.
        matches = re.compile(column.pattern).fullmatch
        yield Asked("pattern", lambda value: matches(value) is not None, f"must match {column.pattern}")
    if (options := column.one_of) is not None:
        yield Asked("one_of", lambda value: value in options, "must be one of " + ", ".join(map(_shown, options)))


def holds(test: Callable[[Any], bool], value: Any) -> bool:
    """Whether a value passes a test; one that cannot be compared does not (a time with an offset and one without)."""
    try:
        return test(value)
    except TypeError:
        return False


def _clash(column: Column, bound: Any) -> str:
    if column.type != "datetime":
        return ""
    return " and, like that, state its offset" if bound.tzinfo else " and, like that, state no offset"


def _shown(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _chars(count: int) -> str:
    return "1 character" if count == 1 else f"{count} characters"
