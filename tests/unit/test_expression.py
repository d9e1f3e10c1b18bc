"""Expressions that read an answer: JMESPath, headers, and values of the row in them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter, ValidationError

from flows.pipeline.expression import (
    Expression,
    as_answered,
    columns_of,
    holds,
    quoted_columns,
    references,
    search,
    shifts_positions,
)

ITEMS = {"items": [{"sku": "a", "n": 0}, {"sku": "b", "n": 2}], "none": None, "no": False, "zero": 0, "text": ""}
HEADERS = httpx.Headers({"X-Wait": "007", "X-Name": "seven", "X-Long": "9" * 19, "X-Other": "+7"})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("zero", 0),
        ("items", ITEMS["items"]),
        ("items[0].sku", "a"),
        ("items[5].sku", None),
        ("absent.deeper", None),
        ("length(items)", 2),
        ("{first: items[0].sku, n: zero}", {"first": "a", "n": 0}),
        ("header:x-wait", 7),
        ("header: X-Name", "seven"),
        ("header:X-Long", "9" * 19),
        ("header:X-Other", "+7"),
        ("header:X-Absent", None),
        ("length(zero)", None),  # errs
        ("abs(text)", None),
        ("sum(items)", None),
        ("unheard_of(items)", None),
    ],
)
def test_what_an_expression_finds(text: str, found: Any) -> None:
    assert search(text, ITEMS, HEADERS) == found


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 10**400])
@pytest.mark.parametrize("text", ["ceil(n)", "floor(n)", "sum([n, `0.5`])", "avg([n, n])", "to_number(to_string(n))"])
def test_a_number_that_cannot_be_reckoned_with_stops_nothing(text: str, number: float) -> None:
    found = search(text, {"n": number})

    assert found is None or isinstance(found, float | int)


@pytest.mark.parametrize("answer", [None, [], "text", 7, True])
def test_a_name_finds_nothing_in_what_is_no_object(answer: Any) -> None:
    assert search("id", answer) is None
    assert search("id.deeper", answer) is None


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        "it's",
        'say "it"',
        "`tick`",
        "a\\",
        "\\`",
        "\\u0060",
        "{other}",
        "' || '1",
        "café 漢 😀",
        "half \ud83d",
        "line\nbreak\ttab",
        "",
        None,
        True,
        False,
        0,
        -7,
        10**30,
        1.5,
        "1.5",
        ["a", "`"],
    ],
)
def test_a_value_of_the_row_stands_for_itself_whatever_is_in_it(value: Any) -> None:
    assert search("v == {a column}", {"v": value}, {}, {"a column": value}) is True
    assert search("v == {a column}", {"v": "else"}, {}, {"a column": value}) is False
    assert search("list[?v == {a column}] | length(@)", {"list": [{"v": value}, {"v": "else"}]}, {}, {"a column": value}) == 1  # noqa: E501  # fmt: skip


@pytest.mark.parametrize(
    ("value", "answered"),
    [
        (Decimal("12.50"), 12.5),
        (Decimal("7"), 7),
        (date(2026, 1, 31), "2026-01-31"),
        (datetime(2026, 1, 31, 12, tzinfo=UTC), "2026-01-31T12:00:00+00:00"),
    ],
)
def test_typed_cells_are_compared_as_an_answer_would_have_them(value: Any, answered: Any) -> None:
    assert search("v == {c}", {"v": answered}, {}, {"c": value}) is True
    assert search("row.c == v", {"v": answered, "row": as_answered({"c": value})}) is True


def test_a_column_that_is_not_there_is_null() -> None:
    assert search("v == {c}", {"v": None}) is True


def test_what_stands_in_quotes_is_no_column() -> None:
    text = """a == '{no}' || "{no}" || `{"no": 1}` || b == {yes} || c == { yes too }"""

    assert columns_of(text) == ["yes", " yes too "]
    assert columns_of("header:{x}") == []
    assert columns_of("{a: b, c: d}") == []
    assert search("a == '{no}'", {"a": "{no}"}, {}, {"no": "x"}) is True


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("zero", True),
        ("`0`", True),
        ("no", False),
        ("none", False),
        ("text", False),
        ("absent", False),
        ("items", True),
        ("items[?n > `5`]", False),
        ("`{}`", False),
        ("!absent", True),
        ("length(zero)", False),
        ("!length(zero)", False),  # errs as a whole
        ("header:X-Wait", True),
        ("header:X-Absent", False),
    ],
)
def test_the_truth_is_jmespath_s(text: str, truth: bool) -> None:
    assert holds(text, ITEMS, HEADERS) is truth


@pytest.mark.parametrize("sign", ["==", "!="])
@pytest.mark.parametrize("wanted", ["'x'", "''", "`1`", "`0`", "`-7`", "`true`", "`false`", "`null`"])
@pytest.mark.parametrize(
    "answer", [*({"v": value} for value in ("x", "", "1", 1, 1.0, 0, -7, True, False, None, [], {})), {}, None, [], 7]
)
def test_plain_comparisons_mean_what_they_mean_in_jmespath(answer: Any, wanted: str, sign: str) -> None:
    assert holds(f"v {sign} {wanted}", answer) is holds(f"(v) {sign} {wanted}", answer)


@pytest.mark.parametrize("text", ["!(a.b)", "!a", "!a[0]", "!a == b", "!length(a)", "items[?!done].id"])
def test_a_negation_of_the_whole_is_accepted(text: str) -> None:
    assert TypeAdapter(Expression).validate_python(text) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a[", "is no JMESPath expression: "),
        ("", "is no JMESPath expression: "),
        ("a == {b", "is no JMESPath expression: "),
        ("!a.b", r"finds nothing: JMESPath reads !a.b as \(!a\).b; write !\(a.b\)"),
        ("x && !a.b.c", "finds nothing: "),
        ("!items[?x]", "finds nothing: "),
        ("header:", "names no header; write header:NAME, e.g. header:X-Request-Id"),
        ("header:two words", "names no header"),
    ],
)
def test_what_is_no_expression_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TypeAdapter(Expression).validate_python(text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("items[?a=='{email}']", ["email"]),
        ('items[?a==`"{email}"`]', ["email"]),
        ('a."{email}"', ["email"]),
        ("items[?a=={email}]", []),
        ("{a: '{email}', b: {n}}", ["email"]),
        ("header:X-{email}", []),
    ],
)
def test_braces_in_quotes(text: str, names: list[str]) -> None:
    assert quoted_columns(text) == names


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("find.found", [("find", "found")]),
        ("find.items[0].id", [("find", "items")]),
        ("find", [("find", "")]),
        ("find.a == `1` && !(row.b) || length(c.d) > {n}", [("find", "a"), ("row", "b"), ("c", "d")]),
        ("find | found", [("find", "found")]),
        ("@.find.found", [("find", "found")]),
        ("find.items[?id == row].name", [("find", "items")]),
        ("sort_by(find.items, &row)[0]", [("find", "items")]),
        ("find.[a, b]", [("find", "a"), ("find", "b")]),
        ("{x: find.a, y: row.b}", [("find", "a"), ("row", "b")]),
        ("find.items[1:2].x | [0]", [("find", "items")]),
        ("'find.found'", []),
        ("*.found", []),
    ],
)
def test_what_an_expression_takes_from_the_object_that_it_is_read_in(text: str, found: list[tuple[str, str]]) -> None:
    assert references(text) == found


@pytest.mark.parametrize(
    ("text", "shifts"),
    [
        ("items", False),
        ("@", False),
        ("a.b[0].items", False),
        ("a | b", False),
        ("a || b", False),
        ("not_null(a, b.items)", False),
        ("map(&id, items)", False),
        ("to_array(items)", False),
        ("[item]", False),
        ("*.r", True),
        ("*", True),
        ("items[ * ].x", True),
        ("items[]", True),
        ("items [? a]", True),
        ("items[ 1 : 5 ]", True),
        ("sort_by(items, &id)", True),
        ("reverse(items)", True),
        ("values(items)", True),
        ("items | [*]", True),
        ("map(&id, items[*])", True),
        ("a || sort(b)", True),
    ],
)
def test_positions_hold_in_a_list_as_it_stands(text: str, shifts: bool) -> None:
    assert shifts_positions(text) is shifts
