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

from flows.definition import Definition, load, shipped
from flows.rendering import render_body, render_content, render_headers, render_url
from flows.template import FromRow, FromSecret, TemplateError, Unsendable, pieces

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
    return Definition.from_resolved({"name": "x", "columns": columns, "request": request, "limit": limit})


def test_a_text_is_cut_into_literals_columns_and_secrets() -> None:
    assert pieces("a {Order ID}: ${secret:T}!") == ("a ", FromRow("Order ID"), ": ", FromSecret("T"), "!")
    assert pieces("{{a}} {{{b}}} $${x}}") == ("{a} {", FromRow("b"), "} ${x}")
    assert pieces("") == ()
    for bad in ("{", "}", "{a", "a}", "{}", "{{}", "${X}"):
        with pytest.raises(TemplateError):
            pieces(bad)


def test_the_default_body_is_all_columns_with_their_types() -> None:
    assert render_body(definition(), ROW) == {**ROW, "day": "2026-01-31"}
    assert render_content(definition(), ROW) == (
        b'{"id":7,"title":"a b/c","price":12.50,"day":"2026-01-31","ok":true,"gap":null}'
    )


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_get_and_delete_have_no_body_and_no_content_type(method: str) -> None:
    made = definition(method=method)
    assert render_body(made, ROW) is None
    assert render_content(made, ROW) == b""
    assert render_headers(made, ROW) == {}


def test_a_placeholder_alone_keeps_its_type_and_among_text_becomes_text() -> None:
    body = {"n": "{id}", "list": ["{ok}", {"t": "no {id}: {ok}, {gap}, {price}, {day}"}], "fixed": [1, None, "{{x}}"]}
    made = definition(json=body)

    assert render_body(made, ROW) == {
        "n": 7,
        "list": [True, {"t": "no 7: true, , 12.50, 2026-01-31"}],
        "fixed": [1, None, "{x}"],
    }


def test_a_body_may_be_one_value() -> None:
    assert render_body(definition(json="{id}"), ROW) == 7
    assert render_body(definition(json=["{gap}"]), ROW) == [None]


def test_decimals_and_large_numbers_keep_all_their_digits() -> None:
    row = ROW | {"id": 2**63 + 1, "price": Decimal("0.12345678901234567890123")}
    content = render_content(definition(json=["{id}", "{price}"]), row)
    assert content == b"[9223372036854775809,0.12345678901234567890123]"


def test_dates_with_times_are_iso_8601() -> None:
    row = ROW | {"day": datetime(2026, 1, 31, 12, 30, tzinfo=UTC)}
    assert render_body(definition(json="{day}"), row) == "2026-01-31T12:30:00+00:00"


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), Decimal("NaN"), pytest.param(object(), id="an object")], ids=str
)
def test_a_value_that_json_cannot_hold_is_not_sent(value: object) -> None:
    with pytest.raises(Unsendable, match="column price: JSON cannot hold"):
        render_body(definition(), ROW | {"price": value})


def test_half_a_surrogate_pair_is_not_sent() -> None:
    row = ROW | {"title": "\ud800"}
    with pytest.raises(Unsendable, match="cannot be written as JSON"):
        render_content(definition(), row)
    with pytest.raises(Unsendable, match="the address cannot be written"):
        render_url(definition(url="https://a.example/?q={title}"), row)


def test_a_form_is_encoded_and_says_so() -> None:
    made = definition(form={"t": "{title}", "n": "no {id}", "g": "{gap}", "ok": "{ok}", "fixed": 3})
    assert render_content(made, ROW) == b"t=a+b%2Fc&n=no+7&g=&ok=true&fixed=3"
    assert render_headers(made, ROW) == {"Content-Type": "application/x-www-form-urlencoded"}


def test_values_in_an_address_are_percent_encoded() -> None:
    made = definition(url="https://api.example.com/r/{title}/ü?q={title}&x=1%202&d={day}")
    url = render_url(made, ROW | {"title": "a b/c?&#%é"})
    cell = "a%20b%2Fc%3F%26%23%25%C3%A9"
    assert url == f"https://api.example.com/r/{cell}/%C3%BC?q={cell}&x=1%202&d=2026-01-31"
    assert str(httpx.URL(url)) == url


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30))
def test_no_cell_can_change_where_a_request_goes(cell: str) -> None:
    made = definition(url="https://api.example.com/a/{title}/b?x={title}&y=1")
    try:
        url = httpx.URL(render_url(made, ROW | {"title": cell}))
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
        render_url(made, ROW | {"title": cell})


def test_an_empty_value_in_the_query_is_fine() -> None:
    assert render_url(definition(url="https://a.example/?q={gap}"), ROW) == "https://a.example/?q="


@pytest.mark.parametrize("cell", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b", "\x1b[0m", "é", "a\tb"], ids=repr)
def test_a_cell_cannot_smuggle_anything_into_a_header(cell: str) -> None:
    made = definition(headers={"X-Title": "t {title}"})
    with pytest.raises(Unsendable, match=r"header X-Title: only printable ASCII .* column title"):
        render_headers(made, ROW | {"title": cell})


def test_the_reason_for_a_refused_header_shows_no_secret() -> None:
    made = definition(headers={"Authorization": "Bearer ${secret:T}"})
    with pytest.raises(Unsendable) as caught:
        render_headers(made, ROW, {"T": "hush\n"})
    assert "hush" not in str(caught.value)


def test_headers_are_filled_in_and_the_body_type_can_be_changed() -> None:
    made = definition(headers={"X-Id": "{id}", "content-type": "application/vnd.api+json", "A": "Bearer ${secret:T}"})
    assert render_headers(made, ROW, {"T": "s"}) == {
        "content-type": "application/vnd.api+json",
        "X-Id": "7",
        "A": "Bearer s",
    }
    assert made.secret_names == ("T",)


def test_secrets_stand_in_the_query_and_the_body_too() -> None:
    made = definition(url="https://a.example/?key=${secret:K}", json={"k": "${secret:K}", "b": "x ${secret:B}"})
    secrets = {"K": "a&b", "B": "c"}
    assert render_url(made, ROW, secrets) == "https://a.example/?key=a%26b"
    assert json.loads(render_content(made, ROW, secrets)) == {"k": "a&b", "b": "x c"}
    assert made.secret_names == ("B", "K")
    with pytest.raises(Unsendable, match="the secret B is missing"):
        render_body(made, ROW, {"K": "x"})


def test_a_cell_that_looks_like_a_placeholder_stays_what_it_is() -> None:
    row = ROW | {"title": "{id} ${secret:T} {{"}
    body = render_body(definition(json={"a": "{title}", "b": "x{title}"}), row)
    assert body == {"a": row["title"], "b": "x" + row["title"]}


def test_a_fixed_header_handed_out_can_be_changed_by_its_receiver_without_harm() -> None:
    made = definition()
    render_headers(made, ROW)["X"] = "1"
    assert "X" not in render_headers(made, ROW)


def test_a_row_of_the_shipped_pipeline_is_rendered_in_microseconds() -> None:
    """The bound is loose for a shared machine; what it measures is under 5 µs."""
    made = load(shipped() / "posts.yaml", environ={})
    row = {"userId": 1, "title": "a title of some length", "body": "text " * 20}

    def one() -> None:
        render_url(made, row)
        render_headers(made, row)
        render_content(made, row)

    assert min(timeit.repeat(one, number=2000, repeat=5)) / 2000 < 50e-6
