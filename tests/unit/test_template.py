"""Placeholders: types kept in JSON, percent-encoding in addresses, and nothing that a cell could smuggle in."""

from __future__ import annotations

import json
import timeit
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.pipeline.definition import Definition
from flows.pipeline.pipelines import shipped
from flows.pipeline.reading import from_resolved, load
from flows.pipeline.rendering import Rendering
from flows.pipeline.secret import secret_names
from flows.pipeline.template import FromRow, FromSecret, TemplateError, Unsendable, pieces

ROW: dict[str, Any] = {
    "id": 7,
    "title": "a b/c",
    "price": Decimal("12.50"),
    "day": date(2026, 1, 31),
    "ok": True,
    "gap": None,
}


def definition(**request: Any) -> Definition:
    columns = {name: {"type": "str", "optional": True} for name in ROW}
    request = {"url": "https://api.example.com/rows"} | request
    limit = {"name": "x", "in_flight": 1}
    return from_resolved({"name": "x", "columns": columns, "request": request, "limit": limit})


def test_a_text_is_cut_into_literals_columns_and_secrets() -> None:
    assert pieces("a {Order ID}: ${secret:T}!") == ("a ", FromRow("Order ID"), ": ", FromSecret("T"), "!")
    assert pieces("{{a}} {{{b}}} $${x}}") == ("{a} {", FromRow("b"), "} ${x}")
    assert pieces("") == ()
    for bad in ("{", "}", "{a", "a}", "{}", "{{}", "${X}"):
        with pytest.raises(TemplateError):
            pieces(bad)


def test_the_default_body_is_all_columns_with_their_types() -> None:
    assert Rendering.of(definition()).make_body(ROW) == {**ROW, "day": "2026-01-31"}
    assert Rendering.of(definition()).make_content(ROW) == (
        b'{"id":7,"title":"a b/c","price":12.50,"day":"2026-01-31","ok":true,"gap":null}'
    )


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_get_and_delete_have_no_body_and_no_content_type(method: str) -> None:
    made = definition(method=method)
    assert Rendering.of(made).make_body(ROW) is None
    assert Rendering.of(made).make_content(ROW) == b""
    assert Rendering.of(made).make_headers(ROW) == {}


def test_a_placeholder_alone_keeps_its_type_and_among_text_becomes_text() -> None:
    body = {"n": "{id}", "list": ["{ok}", {"t": "no {id}: {ok}, {gap}, {price}, {day}"}], "fixed": [1, None, "{{x}}"]}
    made = definition(json=body)

    assert Rendering.of(made).make_body(ROW) == {
        "n": 7,
        "list": [True, {"t": "no 7: true, , 12.50, 2026-01-31"}],
        "fixed": [1, None, "{x}"],
    }


def test_a_body_may_be_one_value() -> None:
    assert Rendering.of(definition(json="{id}")).make_body(ROW) == 7
    assert Rendering.of(definition(json=["{gap}"])).make_body(ROW) == [None]


def test_decimals_and_large_numbers_keep_all_their_digits() -> None:
    row = ROW | {"id": 2**63 + 1, "price": Decimal("0.12345678901234567890123")}
    content = Rendering.of(definition(json=["{id}", "{price}"])).make_content(row)
    assert content == b"[9223372036854775809,0.12345678901234567890123]"


def test_a_decimal_among_text_has_no_exponent_however_small_or_large() -> None:
    row = ROW | {"price": Decimal("0.0000001"), "id": Decimal("1E+3")}

    assert Rendering.of(definition(json="{price} {id}!")).make_body(row) == "0.0000001 1000!"


def test_dates_with_times_are_iso_8601() -> None:
    row = ROW | {"day": datetime(2026, 1, 31, 12, 30, tzinfo=UTC)}
    assert Rendering.of(definition(json="{day}")).make_body(row) == "2026-01-31T12:30:00+00:00"


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), Decimal("NaN"), pytest.param(object(), id="an object")], ids=str
)
def test_a_value_that_json_cannot_hold_is_not_sent(value: object) -> None:
    with pytest.raises(Unsendable, match="column price: JSON cannot hold"):
        Rendering.of(definition()).make_body(ROW | {"price": value})


def test_half_a_surrogate_pair_is_not_sent() -> None:
    row = ROW | {"title": "\ud800"}
    with pytest.raises(Unsendable, match="cannot be written as JSON"):
        Rendering.of(definition()).make_content(row)
    with pytest.raises(Unsendable, match="the address cannot be written"):
        Rendering.of(definition(url="https://a.example/?q={title}")).make_url(row)


def test_a_form_is_encoded_and_says_so() -> None:
    made = definition(form={"t": "{title}", "n": "no {id}", "g": "{gap}", "ok": "{ok}", "fixed": 3})
    assert Rendering.of(made).make_content(ROW) == b"t=a+b%2Fc&n=no+7&g=&ok=true&fixed=3"
    assert Rendering.of(made).make_headers(ROW) == {"Content-Type": "application/x-www-form-urlencoded"}


def test_values_in_an_address_are_percent_encoded() -> None:
    made = definition(url="https://api.example.com/r/{title}/ü?q={title}&x=1%202&d={day}")
    url = Rendering.of(made).make_url(ROW | {"title": "a b/c?&#%é"})
    cell = "a%20b%2Fc%3F%26%23%25%C3%A9"
    assert url == f"https://api.example.com/r/{cell}/%C3%BC?q={cell}&x=1%202&d=2026-01-31"
    assert str(httpx.URL(url)) == url


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30))
def test_no_cell_can_change_where_a_request_goes(cell: str) -> None:
    made = definition(url="https://api.example.com/a/{title}/b?x={title}&y=1")
    try:
        url = httpx.URL(Rendering.of(made).make_url(ROW | {"title": cell}))
    except Unsendable:
        assert not cell.strip(".")
        return
    assert (url.scheme, url.host, url.port) == ("https", "api.example.com", None)
    assert url.raw_path.split(b"?")[0].count(b"/") == 3
    assert url.raw_path.startswith(b"/a/")
    assert url.raw_path.split(b"?")[0].endswith(b"/b")
    assert parse_qsl(urlsplit(str(url)).query, keep_blank_values=True) == [("x", cell), ("y", "1")]


@pytest.mark.parametrize("cell", ["", None, ".", "..", "..."], ids=repr)
def test_an_empty_or_dotted_value_in_the_path_is_not_sent(cell: str | None) -> None:
    made = definition(method="DELETE", url="https://api.example.com/users/{title}")
    with pytest.raises(Unsendable, match=r"column title: .* would lead to another place"):
        Rendering.of(made).make_url(ROW | {"title": cell})


def test_an_empty_value_in_the_query_is_fine() -> None:
    assert Rendering.of(definition(url="https://a.example/?q={gap}")).make_url(ROW) == "https://a.example/?q="


@pytest.mark.parametrize("cell", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b", "\x1b[0m", "é", "a\tb"], ids=repr)
def test_a_cell_cannot_smuggle_anything_into_a_header(cell: str) -> None:
    made = definition(headers={"X-Title": "t {title}"})
    with pytest.raises(Unsendable, match=r"header X-Title: only printable ASCII .* column title"):
        Rendering.of(made).make_headers(ROW | {"title": cell})


def test_the_reason_for_a_refused_header_shows_no_secret() -> None:
    made = definition(headers={"Authorization": "Bearer ${secret:T}"})
    with pytest.raises(Unsendable) as caught:
        Rendering.of(made).make_headers(ROW, {"T": "hush\n"})
    assert "hush" not in str(caught.value)


def test_headers_are_filled_in_and_the_body_type_can_be_changed() -> None:
    made = definition(headers={"X-Id": "{id}", "content-type": "application/vnd.api+json", "A": "Bearer ${secret:T}"})
    assert Rendering.of(made).make_headers(ROW, {"T": "s"}) == {
        "content-type": "application/vnd.api+json",
        "X-Id": "7",
        "A": "Bearer s",
    }
    assert secret_names(made) == ("T",)


def test_secrets_stand_in_the_query_and_the_body_too() -> None:
    made = definition(url="https://a.example/?key=${secret:K}", json={"k": "${secret:K}", "b": "x ${secret:B}"})
    secrets = {"K": "a&b", "B": "c"}
    assert Rendering.of(made).make_url(ROW, secrets) == "https://a.example/?key=a%26b"
    assert json.loads(Rendering.of(made).make_content(ROW, secrets)) == {"k": "a&b", "b": "x c"}
    assert secret_names(made) == ("B", "K")
    with pytest.raises(Unsendable, match="the secret B is missing"):
        Rendering.of(made).make_body(ROW, {"K": "x"})


def test_a_cell_that_looks_like_a_placeholder_stays_what_it_is() -> None:
    row = ROW | {"title": "{id} ${secret:T} {{"}
    body = Rendering.of(definition(json={"a": "{title}", "b": "x{title}"})).make_body(row)
    assert body == {"a": row["title"], "b": "x" + row["title"]}


def test_a_fixed_header_handed_out_can_be_changed_by_its_receiver_without_harm() -> None:
    made = Rendering.of(definition())
    made.make_headers(ROW)["X"] = "1"
    assert "X" not in made.make_headers(ROW)


def test_a_row_of_the_shipped_pipeline_is_rendered_in_microseconds() -> None:
    """The bound is loose for a shared machine; what it measures is under 5 µs."""
    made = Rendering.of(load(shipped() / "posts.yaml", environ={}))
    row = {"userId": 1, "title": "a title of some length", "body": "text " * 20}

    def one() -> None:
        made.make_url(row)
        made.make_headers(row)
        made.make_content(row)

    assert min(timeit.repeat(one, number=2000, repeat=5)) / 2000 < 50e-6
