"""The kinds of body, where keys go, and that secrets are shown nowhere."""

from __future__ import annotations

import json
import logging
from decimal import Decimal
from typing import Any

import httpx
import pytest

from flows.client.compiled import Compiled
from flows.client.exchange import exchange
from flows.client.request import build, build_batch, idempotency_key, mask, parcel_keys
from flows.masking import DOTS
from flows.pipeline.definition import Definition
from flows.pipeline.rendering import Rendering
from flows.pipeline.template import Unsendable
from flows.records import Parcel, Row

COLUMNS = {
    "email": {"type": "str"},
    "n": {"type": "int"},
    "price": {"type": "decimal"},
    "note": {"type": "str", "optional": True},
    "method": {"type": "str", "one_of": ["POST", "put", "DELETE"]},
}
ROW = Row(7, 9, {"email": "a@x", "n": 3, "price": Decimal("1.50"), "note": None, "method": "put"})
KEY = "k" * 32


def definition(*, columns: dict[str, Any] = COLUMNS, batch: dict[str, Any] | None = None, **request: Any) -> Definition:
    made = {
        "name": "x",
        "columns": columns,
        "request": {"url": "https://api.example.com/rows", **request},
        "limit": {"name": "x", "in_flight": 1},
    } | ({"batch": {"rows": 100, **batch}} if batch is not None else {})
    return Definition.model_validate(made)


def request(row: Row = ROW, *, secrets: dict[str, str] | None = None, key: str = KEY, **stated: Any) -> httpx.Request:
    return build(Rendering.of(definition(**stated)), row, key=key, secrets=secrets or {})


def other(**values: Any) -> Row:
    return Row(8, 10, {**ROW.values, **values})


def many(*rows: Row, batch: dict[str, Any] | None = None, **stated: Any) -> httpx.Request:
    made = Rendering.of(definition(batch=batch or {}, **stated))
    return build_batch(made, rows, key=KEY, own_keys=[f"own-{row.row}" for row in rows], secrets={})


def test_lines_of_json() -> None:
    made = request(ndjson=[{"index": {"_id": "{email}"}}, {"n": "{n}", "price": "{price}", "note": "{note}"}])

    assert made.content == b'{"index":{"_id":"a@x"}}\n{"n":3,"price":1.50,"note":null}\n'
    assert made.headers["content-type"] == "application/x-ndjson"
    assert made.headers["content-length"] == str(len(made.content))


def test_the_lines_of_many_rows_follow_each_other_each_with_its_own_key() -> None:
    lines = [{"create": {"_id": "{idempotency_key}"}}, {"row": "{row}", "note": "{note}"}]
    made = many(ROW, other(note='a\n"b"'), ndjson=lines)

    assert [json.loads(line) for line in made.content.splitlines()] == [
        {"create": {"_id": "own-7"}},
        {"row": 7, "note": None},
        {"create": {"_id": "own-8"}},
        {"row": 8, "note": 'a\n"b"'},
    ]


def test_lines_leave_out_what_is_empty_where_that_is_said() -> None:
    assert request(ndjson=[{"n": "{n}", "note": "{note}"}], empty="omit").content == b'{"n":3}\n'


PARTS = {
    "email": "{email}",
    "note": "{note}",
    "data": {"filename": "{email}.json", "type": "application/json", "content": {"n": "{n}", "price": "{price}"}},
    "text": {"filename": "a.txt", "content": "é {n}"},
}


def test_parts_of_a_form() -> None:
    made = request(multipart=PARTS)
    boundary = made.headers["content-type"].partition("boundary=")[2]
    blocks = made.content.split(b"--" + boundary.encode())

    assert made.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert [block.replace(b"\r\n", b"|") for block in blocks] == [
        b"",
        b'|Content-Disposition: form-data; name="email"||a@x|',
        b'|Content-Disposition: form-data; name="note"|||',
        b'|Content-Disposition: form-data; name="data"; filename="a@x.json"|Content-Type: application/json||'
        b'{"n":3,"price":1.50}|',
        'Content-Disposition: form-data; name="text"; filename="a.txt"|Content-Type: text/plain||é 3|'.encode().join(
            [b"|", b""]
        ),
        b"--|",
    ]


def test_sent_again_a_form_is_the_same_byte_by_byte() -> None:
    first, again, another = (request(multipart=PARTS, key=key) for key in (KEY, KEY, "l" * 32))

    assert (first.content, first.headers) == (again.content, again.headers)
    assert another.headers["content-type"] != first.headers["content-type"]


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("text/xml; charset=utf-8", "<n>&lt;a&gt; &amp; &quot;b&quot; &apos;c&apos; é</n>"),
        ("application/soap+xml", "<n>&lt;a&gt; &amp; &quot;b&quot; &apos;c&apos; é</n>"),
        ("application/xml", "<n>&lt;a&gt; &amp; &quot;b&quot; &apos;c&apos; é</n>"),
        ("text/plain", "<n><a> & \"b\" 'c' é</n>"),
        (None, "<n><a> & \"b\" 'c' é</n>"),
    ],
)
def test_what_a_cell_holds_does_not_become_markup(kind: str | None, sent: str) -> None:
    row = other(note="<a> & \"b\" 'c' é")
    made = request(row, text="<n>{note}</n>", content_type=kind)

    assert made.content.decode() == sent
    assert made.headers["content-type"] == kind or "text/plain; charset=utf-8"


def test_the_type_of_a_text_may_stand_among_the_headers() -> None:
    made = request(other(note="a&b"), text="<n>{note}</n>", headers={"Content-Type": "text/xml"})

    assert (made.content, made.headers["content-type"]) == (b"<n>a&amp;b</n>", "text/xml")


def test_the_braces_of_graphql_are_its_own() -> None:
    query = "mutation Create($e: String!) { create(email: $e) { id } }  {email}"
    made = request(graphql={"query": query, "variables": {"e": "{email}", "price": "{price}", "gone": "{note}"}})

    assert made.content.endswith(b'"variables":{"e":"a@x","price":1.50,"gone":null}}')
    assert json.loads(made.content)["query"] == query
    assert made.headers["content-type"] == "application/json"
    assert json.loads(request(graphql={"query": "{a}"}).content) == {"query": "{a}", "variables": {}}


def test_graphql_of_many_rows() -> None:
    graphql = {"query": "mutation {a}", "variables": {"input": "{batch}"}}
    made = many(ROW, other(email="b@x"), batch={"each": {"email": "{email}"}}, graphql=graphql)

    assert json.loads(made.content)["variables"] == {"input": [{"email": "a@x"}, {"email": "b@x"}]}


@pytest.mark.parametrize(
    ("cell", "method"), [("POST", "POST"), (" put ", "PUT"), ("DELETE", "DELETE"), ("get", "GET"), ("head", "HEAD")]
)
def test_a_column_says_the_method(cell: str, method: str) -> None:
    made = request(other(method=cell), method="{method}", json={"n": "{n}"})

    assert made.method == method
    assert made.content == (b'{"n":3}' if method in ("POST", "PUT") else b"")
    assert ("content-type" in made.headers) is (method in ("POST", "PUT"))
    assert ("content-length" in made.headers) is (method in ("POST", "PUT"))


@pytest.mark.parametrize("cell", ["", "FETCH", "POST /x", None])
def test_a_cell_that_is_no_method_is_not_sent(cell: str | None) -> None:
    with pytest.raises(Unsendable, match="no method that can be sent; possible: POST, PUT, PATCH, GET, HEAD, DELETE"):
        request(other(method=cell), method="{method}")


def test_names_of_a_body_may_hold_placeholders() -> None:
    stated = {"{email}": {"n": "{n}"}, "no-{n}": ["{note}"], "fixed": 1}

    assert json.loads(request(json=stated).content) == {"a@x": {"n": 3}, "no-3": [None], "fixed": 1}
    with pytest.raises(Unsendable, match="the body would have the name 'fixed' twice"):
        request(other(email="fixed"), json=stated)


def test_many_rows_are_merged_into_one_object() -> None:
    batch = {"each": {"{idempotency_key}": {"email": "{email}"}}, "as": "object"}

    assert json.loads(many(ROW, other(email="b@x"), batch=batch).content) == {
        "own-7": {"email": "a@x"},
        "own-8": {"email": "b@x"},
    }
    with pytest.raises(Unsendable, match="two rows of the request have the same name in its object"):
        many(ROW, other(), batch={"each": {"{email}": 1}, "as": "object"})


def test_the_parts_of_many_rows_stand_where_they_are_wanted() -> None:
    each = {"email": "{email}", "gone": "{note}"}

    assert json.loads(many(ROW, other(), batch={"each": each}).content) == [{"email": "a@x", "gone": None}] * 2
    assert json.loads(many(ROW, batch={"each": each}, json={"rows": "{batch}", "k": "{idempotency_key}"}).content) == {
        "rows": [{"email": "a@x", "gone": None}],
        "k": KEY,
    }
    assert set(json.loads(many(ROW).content)[0]) == set(COLUMNS)
    assert many(ROW, batch={"each": each}, empty="omit").content == b'[{"email":"a@x"}]'


@pytest.mark.parametrize(
    ("place", "header", "url", "body"),
    [
        (None, {"Idempotency-Key": KEY}, "", {"n": 3}),
        ({"header": "X-Once"}, {"X-Once": KEY}, "", {"n": 3}),
        ({"json": "meta.once.key"}, {}, "", {"n": 3, "meta": {"once": {"key": KEY}}}),
        ({"json": "n"}, {}, "", {"n": KEY}),
        ({"query": "once"}, {}, f"?once={KEY}", {"n": 3}),
        ("none", {}, "", {"n": 3}),
    ],
)
def test_where_the_key_goes(place: Any, header: dict[str, str], url: str, body: Any) -> None:
    stated = {} if place is None else {"idempotency_key": place if place != "none" else {}}
    made = request(json={"n": "{n}"}, **stated)

    assert {name: made.headers.get(name) for name in ("Idempotency-Key", "X-Once") if name in made.headers} == header
    assert str(made.url) == "https://api.example.com/rows" + url
    assert json.loads(made.content) == body


def test_a_key_in_an_address_stands_beside_other_parameters() -> None:
    made = request(url="https://api.example.com/rows?n={n}", idempotency_key={"query": "once"})

    assert str(made.url) == f"https://api.example.com/rows?n=3&once={KEY}"


def test_the_row_and_the_key_stand_where_they_are_written() -> None:
    made = request(
        url="https://api.example.com/rows/{row}", headers={"X-Ref": "{idempotency_key}-{row}"}, json=["{row}", "{n}"]
    )

    assert str(made.url) == "https://api.example.com/rows/7"
    assert made.headers["X-Ref"] == f"{KEY}-7"
    assert made.content == b"[7,3]"


def test_a_column_of_that_name_wins() -> None:
    columns = {"row": {"type": "str"}, "idempotency_key": {"type": "str"}}
    row = Row(7, 9, {"row": "mine", "idempotency_key": "own"})

    assert request(row, columns=columns, json=["{row}", "{idempotency_key}"]).content == b'["mine","own"]'


def test_a_row_s_own_key_is_the_same_in_every_parcel_of_a_generation() -> None:
    rows = [ROW, other(), Row(9, 11, dict(ROW.values))]
    whole, own = parcel_keys("run", Parcel(tuple(rows)), [0, 0, 1])

    assert own == [idempotency_key("run", row, generation) for row, generation in zip(rows, (0, 0, 1), strict=True)]
    assert parcel_keys("run", Parcel((rows[1],)), [0]) == (own[1], [own[1]])
    assert parcel_keys("run", Parcel(tuple(rows)), [0, 0, 1])[0] == whole
    assert len({whole, parcel_keys("run", Parcel(tuple(rows[::-1])), [1, 0, 0])[0], *own}) == 5
    assert parcel_keys("run", Parcel((rows[1],)), [1])[0] != own[1]


SECRETS = {"TENANT": "tenant/7 geheim", "KEY": "s3cr3t&more"}


def test_secrets_are_masked_wherever_they_stand(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    made = request(
        url="https://api.example.com/${secret:TENANT}/rows?k=${secret:KEY}",
        headers={"X-Key": "${secret:KEY}", "Authorization": "Bearer ${secret:KEY}"},
        text="<k>${secret:KEY}</k>",
        content_type="text/xml",
        secrets=SECRETS,
    )
    shown = mask(made, SECRETS)

    assert str(made.url) == "https://api.example.com/tenant%2F7%20geheim/rows?k=s3cr3t%26more"
    assert shown["url"] == f"https://api.example.com/{DOTS}/rows?k={DOTS}"
    assert (shown["headers"]["x-key"], shown["headers"]["authorization"]) == (DOTS, f"Bearer {DOTS}")
    for text in (json.dumps(shown, ensure_ascii=False), caplog.text):
        assert not any(part in text for part in ("geheim", "s3cr3t", "more"))


@pytest.mark.parametrize("kind", ["json", "ndjson", "multipart", "graphql"])
def test_secrets_of_a_body_are_masked(kind: str) -> None:
    value: Any = {"k": "x ${secret:KEY}"}
    stated = {"ndjson": [value], "graphql": {"query": "{a}", "variables": value}}.get(kind, value)
    made = request(secrets=SECRETS, **{kind: stated})

    assert b"x s3cr3t&more" in made.content
    assert "s3cr3t" not in json.dumps(mask(made, SECRETS))


def test_a_secret_that_is_missing_sends_nothing() -> None:
    with pytest.raises(Unsendable, match="the secret KEY is missing"):
        request(headers={"X-Key": "${secret:KEY}"})


def test_what_a_row_that_makes_no_request_says_holds_no_secret() -> None:
    made = definition(url="https://api.example.com/${secret:TENANT}/{email}")
    sent = exchange(Compiled.of(made, SECRETS), Parcel((other(email=".."),)), key=KEY, own_keys=[KEY])
    with pytest.raises(StopIteration) as end:
        next(sent)
    (outcome,) = end.value.value

    assert outcome.state == "failed"
    assert outcome.reason.endswith("in the path of the address would lead to another place; nothing was sent")
    assert "geheim" not in outcome.reason
