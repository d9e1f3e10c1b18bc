"""A typed value is spelled so that its column reads it as that value, or refuses it: never as another one."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flows.pipeline.column import Column
from flows.schema import cell
from flows.schema.rules import cell_of
from flows.source.spelling import canonical, shouted, spellings
from flows.source.table import NotSpelled
from tests.harness.examples import examples

WHOLE = st.integers(-(2**63), 2**63 - 1)
EXACT = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**15), max_value=10**15, places=4)
DAYS = st.dates(date(1, 1, 1))
MOMENTS = st.datetimes().map(lambda made: made.replace(microsecond=0)) | st.dates().map(
    lambda day: datetime(day.year, day.month, day.day)
)
LEAVES = st.none() | st.booleans() | WHOLE | EXACT | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
NESTED = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
VALUES = (
    WHOLE
    | EXACT
    | st.booleans()
    | DAYS
    | MOMENTS
    | st.times().map(lambda made: made.replace(microsecond=0))
    | st.timedeltas(timedelta(0), timedelta(days=99))
    | st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15)
    | NESTED.filter(lambda value: isinstance(value, list | dict))
)
RULES: list[dict[str, Any]] = [
    {"type": "int"},
    {"type": "int", "group": "."},
    {"type": "int", "group": ","},
    {"type": "int", "group": " "},
    {"type": "float"},
    {"type": "float", "decimal": ","},
    {"type": "decimal"},
    {"type": "decimal", "decimal": ",", "group": "."},
    {"type": "decimal", "group": ","},
    {"type": "bool"},
    {"type": "date"},
    {"type": "date", "format": "DD.MM.YYYY"},
    {"type": "date", "format": "M/D/YY", "first_year": 1950},
    {"type": "datetime"},
    {"type": "datetime", "format": "DD.MM.YYYY HH:mm"},
    {"type": "datetime", "format": "M/D/YYYY h:mm A"},
    {"type": "list"},
    {"type": "list", "split": ";"},
    {"type": "json"},
    {"type": "bool", "map": {"1": True, "0": False}, "other": "keep"},
    {"type": "int", "map": {"12": 1}, "other": "keep"},
    {"type": "decimal", "decimal": ",", "map": {"1,5": 9}, "other": "keep"},
]


def spelled(rules: dict[str, Any], value: object, *, nested: bool = True) -> tuple[str, Any] | None:
    """The text of a value, and what the column reads it as; None where it is refused."""
    column = Column.model_validate(rules)
    (spell,) = spellings(["a"], {"a": 0}, {"a": column}, shown=canonical, nested=nested)
    try:
        text = spell(value)
    except NotSpelled:
        return None
    read = cell.read(cell_of(column), pd.Series([text], dtype="str"))
    return None if read.faults else (text, read.values[0])


def same(value: object, found: object) -> bool:
    """Whether a value is what was read, whichever type of Python holds it."""
    found = found.item() if isinstance(found, np.generic) else found
    if isinstance(value, list | dict):
        return json.dumps(value, default=str, sort_keys=True) == json.dumps(found, default=str, sort_keys=True)
    if isinstance(value, bool) or isinstance(found, bool):
        return bool(value) == bool(found) and value in (True, False, 0, 1)
    if isinstance(value, datetime) or isinstance(found, datetime):
        both = (value if isinstance(value, datetime) else datetime.combine(value, time()),) if value else ()
        other = found if isinstance(found, datetime) else datetime.combine(found, time())  # type: ignore[arg-type]
        return both == (other,)
    if isinstance(value, float) or isinstance(found, float):
        return float(value) == float(found)  # type: ignore[arg-type]
    return value == found


@settings(max_examples=examples(2000))
@given(st.sampled_from(RULES), VALUES)
@example({"type": "int", "group": "."}, Decimal("1.234"))
@example({"type": "list", "split": ";"}, ["a;b"])
@example({"type": "list", "split": ";"}, [1, 2])
@example({"type": "datetime", "format": "DD.MM.YYYY HH:mm"}, datetime(2024, 3, 1, 12, 0, 30))
@example({"type": "date", "format": "M/D/YY", "first_year": 1950}, date(1949, 3, 1))
@example({"type": "int", "map": {"12": 1}, "other": "keep"}, Decimal("12.0"))
def test_no_value_becomes_another_one(rules: dict[str, Any], value: object) -> None:
    if (found := spelled(rules, value)) is None:
        return
    text, read = found

    if rules["type"] == "list" and not isinstance(value, list):
        assert read == [text] or same(json.loads(text), read)  # as text of people
    elif "map" in rules and text in rules["map"]:
        assert text == canonical(value)
    elif isinstance(value, str):
        assert text == value or rules["type"] == "json"
    else:
        assert same(value, read), text


@settings(max_examples=examples(300))
@given(st.sampled_from([{"type": "decimal"}, {"type": "decimal", "decimal": ","}, {"type": "float"}]), EXACT)
def test_numbers_are_always_read_by_columns_of_numbers(rules: dict[str, Any], value: Decimal) -> None:
    found = spelled(rules, value)

    assert found is not None
    assert same(value, found[1])


@settings(max_examples=examples(300))
@given(NESTED)
def test_all_that_is_json_is_read_by_columns_of_json(value: object) -> None:
    found = spelled({"type": "json", "optional": True}, value)

    assert found is not None
    assert same(value, found[1]) or (value is None and found == ("", None))
    assert value == found[1] if isinstance(value, str) else True


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (5.0, "5.0"),
        (0.1, "0.1"),
        (1e22, "10000000000000000000000"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1E+99999"), "1E+99999"),
        (date(2024, 3, 1), "2024-03-01"),
        (time(13, 45), "13:45:00"),
        (timedelta(hours=36, minutes=5), "36:05:00"),
        (-timedelta(minutes=5), "-00:05:00"),
        ([1, "a", None], '[1,"a",null]'),
    ],
)
def test_how_values_look_without_rules(value: object, text: str) -> None:
    assert canonical(value) == text


def test_a_spreadsheet_shows_its_truths_in_capitals_and_a_map_has_what_people_see() -> None:
    column = Column.model_validate({"type": "bool", "map": {"TRUE": False}})
    (spell,) = spellings(["a"], {"a": 0}, {"a": column}, shown=shouted)

    assert (spell(True), spell(False), spell(Decimal(1))) == ("TRUE", "FALSE", "1")


def test_a_bare_number_is_no_date_unless_the_format_of_the_column_reads_it() -> None:
    assert spelled({"type": "date"}, 45356) is None
    assert spelled({"type": "date", "format": "DD.MM.YYYY"}, 45356) is None
    assert spelled({"type": "date", "format": "YYYYMMDD"}, 20240301) == ("20240301", date(2024, 3, 1))


def test_a_text_of_json_is_a_string_where_the_file_itself_is_json() -> None:
    assert spelled({"type": "json"}, "5", nested=True) == ('"5"', "5")
    assert spelled({"type": "json"}, "5", nested=False) == ("5", 5)
