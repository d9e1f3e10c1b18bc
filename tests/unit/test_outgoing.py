"""How values go out where a definition says so: as text, as seconds, and what becomes of empty cells."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.errors import DefinitionError
from flows.pipeline.definition import Definition
from flows.pipeline.outgoing import unix_seconds
from flows.pipeline.reading import from_resolved, load
from flows.pipeline.rendering import Rendering
from flows.pipeline.template import ListOf, MappingOf, Typed

TYPES = {
    "count": "int",
    "rate": "float",
    "price": "decimal",
    "name": "str",
    "ok": "bool",
    "day": "date",
    "at": "datetime",
    "gap": "int",
    "note": "str",
}
ROW: dict[str, Any] = {
    "count": 7,
    "rate": 1.5,
    "price": Decimal("1.50"),
    "name": "a b",
    "ok": True,
    "day": date(2026, 1, 31),
    "at": datetime(2026, 1, 31, 12, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=1))),
    "gap": None,
    "note": "",
}


def definition(ways: dict[str, str] | None = None, **request: Any) -> Definition:
    columns = {
        name: {"type": kind, "optional": name != "note"} | ({"as": ways[name]} if ways and name in ways else {})
        for name, kind in TYPES.items()
    }
    request = {"url": "https://api.example.com/rows"} | request
    return from_resolved({"name": "x", "columns": columns, "request": request, "limit": {"name": "x", "in_flight": 1}})


def body(ways: dict[str, str] | None = None, **request: Any) -> Any:
    return json.loads(Rendering.of(definition(ways, **request)).make_content(ROW))


def test_text_goes_out_as_it_is_written_and_null_stays_null() -> None:
    assert body(dict.fromkeys(TYPES, "text")) == {
        "count": "7",
        "rate": "1.5",
        "price": "1.50",
        "name": "a b",
        "ok": "true",
        "day": "2026-01-31",
        "at": "2026-01-31T12:00:00.999999+01:00",
        "gap": None,
        "note": "",
    }
    assert body({"count": "text"}, json=["{count}", {"a": "{count} {rate}", "b": "{rate}"}]) == [
        "7",
        {"a": "7 1.5", "b": 1.5},
    ]


def test_seconds_stand_wherever_the_value_does() -> None:
    day, at = 1_769_817_600, 1_769_857_200
    made = Rendering.of(
        definition(
            {"day": "unix", "at": "unix"},
            url="https://api.example.com/{day}?at={at}",
            headers={"X-At": "at {at}"},
            json={"day": "{day}", "at": "{at}", "text": "{day}/{at}"},
        )
    )

    assert json.loads(made.make_content(ROW)) == {"day": day, "at": at, "text": f"{day}/{at}"}
    assert made.make_url(ROW) == f"https://api.example.com/{day}?at={at}"
    assert made.make_headers(ROW)["X-At"] == f"at {at}"
    form = Rendering.of(definition({"day": "unix"}, form={"day": "{day}", "said": "on {day}"}))
    assert form.make_content(ROW) == f"day={day}&said=on+{day}".encode()
    gone = ROW | {"day": None}
    assert (form.make_content(gone), json.loads(made.make_content(gone))["day"]) == (b"day=&said=on+", None)


@given(st.datetimes(timezones=st.none() | st.just(UTC)), st.dates())
def test_seconds_count_from_1970_and_without_an_offset_in_utc(moment: datetime, day: date) -> None:
    start = datetime(1970, 1, 1, tzinfo=UTC)

    assert (
        timedelta(0)
        <= moment.replace(tzinfo=UTC) - start - timedelta(seconds=unix_seconds(moment))
        < timedelta(seconds=1)
    )
    assert unix_seconds(day) == 86_400 * (day - start.date()).days


def test_text_changes_nothing_in_a_text_an_address_or_a_form() -> None:
    request: dict[str, Any] = {
        "url": "https://api.example.com/{price}?ok={ok}",
        "form": {"day": "{day}", "price": "EUR {price}"},
    }
    plain = Rendering.of(definition(**request))
    said = Rendering.of(definition(dict.fromkeys(TYPES, "text"), **request))

    assert (said.make_content(ROW), said.make_url(ROW)) == (plain.make_content(ROW), plain.make_url(ROW))


FIELDS = {"count": "{count}", "gap": "{gap}", "note": "{note}", "said": "<{gap}>"}


@pytest.mark.parametrize(
    ("empty", "made"),
    [
        (None, {"count": 7, "gap": None, "note": "", "said": "<>"}),
        ("null", {"count": 7, "gap": None, "note": None, "said": "<>"}),
        ("text", {"count": 7, "gap": "", "note": "", "said": "<>"}),
        ("omit", {"count": 7, "said": "<>"}),
    ],
)
def test_what_becomes_of_a_field_whose_cell_is_empty(empty: str | None, made: Any) -> None:
    assert body(json=FIELDS, **({"empty": empty} if empty else {})) == made


@pytest.mark.parametrize(
    ("template", "made"),
    [
        ({"a": {"b": {"c": "{gap}"}, "d": ["{gap}", "{note}"]}, "e": 1}, {"e": 1}),
        ({"a": [{"x": "{gap}"}, {"x": "{count}"}, "{note}"]}, {"a": [{"x": 7}]}),
        ({"a": {"kind": "phone", "value": "{gap}"}}, {"a": {"kind": "phone"}}),
        ({"a": {"value": "{gap}", "none": None, "list": []}}, {"a": {"none": None, "list": []}}),
        ({"a": {"value": "{gap}", "said": "{gap}{note}"}}, {"a": {"said": ""}}),
        ({"a": [], "b": {}, "c": "{gap}"}, {"a": [], "b": {}}),
        ({"a": "{gap}", "b": ["{gap}"]}, {}),
        (["{gap}", ["{note}"]], []),
        ("{gap}", None),
        ("{count}", 7),
    ],
    ids=str,
)
def test_a_field_goes_with_all_that_it_empties_and_nothing_else(template: Any, made: Any) -> None:
    assert body(json=template, empty="omit") == made


def test_the_default_body_and_a_form_leave_out_what_is_empty() -> None:
    form = {"count": "{count}", "gap": "{gap}", "note": "{note}", "fixed": ""}

    assert list(body(empty="omit")) == [name for name in TYPES if name not in ("gap", "note")]
    for empty, sent in ((None, b"count=7&gap=&note=&fixed="), ("text", b"count=7&gap=&note=&fixed=")):
        stated = {"empty": empty} if empty else {}
        assert Rendering.of(definition(form=form, **stated)).make_content(ROW) == sent
    assert Rendering.of(definition(form=form, empty="omit")).make_content(ROW) == b"count=7&fixed="
    assert Rendering.of(definition(form={"gap": "{gap}"}, empty="omit")).make_content(ROW) == b""


@pytest.mark.parametrize(
    ("query", "made"),
    [
        ("?n={count}&gap={gap}&note={note}", "?n=7"),
        ("?gap={gap}&n={count}&fixed=&x", "?n=7&fixed=&x"),
        ("?gap={gap}", ""),
        ("?q=<{gap}>&note={gap}{note}&{gap}", "?q=%3C%3E&note=&"),
        ("?gap={gap}&key=${secret:KEY}&a=b=c", "?key=k%26k&a=b=c"),
        ("?filter=a={gap}", "?filter=a="),
        ("?day={day}", "?day=1769817600"),
    ],
)
def test_a_parameter_of_the_query_is_left_out_where_its_cell_is_empty(query: str, made: str) -> None:
    url = "https://api.example.com/{name}/rows" + query
    address = Rendering.of(definition({"day": "unix"}, url=url, method="GET", empty="omit")).make_url
    as_before = Rendering.of(definition(url=url, method="GET")).make_url

    assert address(ROW, {"KEY": "k&k"}) == "https://api.example.com/a%20b/rows" + made
    full = ROW | {"gap": 1, "note": "n", "day": "d"}
    told = Rendering.of(definition(url=url, method="GET", empty="omit")).make_url
    assert told(full, {"KEY": "k"}) == as_before(full, {"KEY": "k"})
    assert Rendering.of(definition(url=url, method="GET", empty="text")).make_url(ROW, {"KEY": "k"}) == as_before(
        ROW, {"KEY": "k"}
    )


def test_how_a_value_goes_out_and_what_an_empty_one_becomes_go_together() -> None:
    ways = {"count": "text", "gap": "text", "note": "text"}

    assert body(ways, json=FIELDS, empty="omit") == {"count": "7", "said": "<>"}
    assert body(ways, json=FIELDS, empty="text") == {"count": "7", "gap": "", "note": "", "said": "<>"}
    assert body(ways, json=FIELDS, empty="null") == {"count": "7", "gap": None, "note": None, "said": "<>"}


def test_what_a_definition_does_not_ask_for_is_compiled_as_if_it_were_not_there() -> None:
    plain = Rendering.of(definition(json={"a": "{count}", "b": ["{gap}"]})).body
    mixed = Rendering.of(definition({"day": "unix"}, json={"a": "{count}", "b": ["{gap}"]})).body

    assert plain == mixed == MappingOf((("a", Typed("count")), ("b", ListOf((Typed("gap"),)))))
    assert type(plain) is type(mixed) is MappingOf


WRITTEN = """\
name: x
columns:
  id: {type: int, as: "${AS:-text}", example: 7}
  day: {type: date, as: unix, says: a day, optional: true}
request: {url: "https://x.example/rows", empty: EMPTY}
limit: {name: x, in_flight: 1}
"""


@pytest.mark.parametrize("word", ["null", "Null", '"null"', '"${EMPTY:-null}"'])
def test_null_is_a_word_here_with_and_without_quotes(word: str, tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(WRITTEN.replace("EMPTY}", word + "}"))

    made = load(file, environ={})

    assert made.request.empty == "null"
    assert from_resolved(json.loads(json.dumps(made.resolved()))) == made


@pytest.mark.parametrize("word", ["", "nothing", "[]"])
def test_anything_else_is_refused_and_so_is_nothing_at_all(word: str, tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(WRITTEN.replace("EMPTY", word))

    with pytest.raises(DefinitionError, match=r"x\.yaml:5: request\.empty: "):
        load(file)


def test_what_is_stored_of_a_definition_that_asks_for_none_of_it_is_what_was_stored_before() -> None:
    stored = definition().resolved()

    assert "empty" not in stored["request"]
    for column in stored["columns"].values():
        assert not {"says", "example", "as", "goes_out"} & column.keys()
    assert definition({"day": "unix"}).resolved()["columns"]["day"]["as"] == "unix"
    assert definition(empty="omit").digest() != definition().digest()
