"""What answers and failures mean for a row: tables, no network."""

from __future__ import annotations

import gzip
import json
from email.utils import formatdate
from typing import Any

import aiohttp
import httpx
import pyarrow as pa
import pytest
from aiohttp.http_exceptions import BadStatusLine

from flows.client.answer import clean, understood
from flows.client.breakage import broken
from flows.client.compiled import Compiled
from flows.client.exchange import outcomes
from flows.client.pause import pause_of
from flows.client.request import mask
from flows.masking import Masker
from flows.pipeline.definition import Definition, Response
from flows.records import Outcome, Parcel, Reply, Row, RowState

JSON = {"content-type": "application/json; charset=utf-8"}
HTML = {"content-type": "text/html"}
PAGE = b"<!DOCTYPE html><html><body>Access denied</body></html>"
WARNING = b"<br />\n<b>Warning</b>: Undefined key {a} in <b>/var/www/x.php</b> on line <b>3</b><br />\n"


def packed(body: bytes, coding: str) -> bytes:
    """The body as a server packs it."""
    packs: bytes = pa.compress(body, codec=coding, asbytes=True)
    return packs


def definition(**changes: Any) -> Definition:
    return Definition.model_validate(
        {
            "name": "posts",
            "columns": {"title": {"type": "str"}},
            "request": {"url": "http://127.0.0.1/posts"},
            "response": {"keep": {"postId": "id"}, **changes.pop("response", {})},
            "limit": {"name": "api", "requests": 7, "window_seconds": 2},
            **changes,
        }
    )


def understand(status: int, headers: dict[str, str], body: bytes, *, trouble: str = "", **changes: Any) -> Reply:
    return understood(status, httpx.Headers(headers), body, definition(**changes), trouble=trouble)


def judge(status: int, headers: dict[str, str], body: bytes, *, trouble: str = "", **changes: Any) -> Outcome:
    """What an answer means for the one row that it is about."""
    reply = understand(status, headers, body, trouble=trouble, **changes)
    (outcome,) = outcomes(Compiled.of(definition(**changes), {}), reply, Parcel((Row(1, 2, {}),)))
    assert (outcome.row, outcome.state, outcome.again) == (1, reply.means, reply.again)
    return outcome


@pytest.mark.parametrize(
    ("status", "headers", "body", "state", "words"),
    [
        (201, JSON, b'{"id": 101}', "done", ""),
        (200, JSON, b'\xef\xbb\xbf{"id": 101}', "done", ""),
        (200, {"content-type": "application/json; charset=utf-16"}, '{"id": 101}'.encode("utf-16"), "done", ""),
        (200, {"content-type": "text/plain"}, b'{"id": 101}', "done", ""),
        (200, HTML, b'{"id": 101}', "done", ""),
        (200, {}, b'{"id": 101}', "done", ""),
        (201, JSON, b'{"name": "x"}', "done", "the answer has no id"),
        (201, JSON, b"[1, 2]", "done", "the answer has no id"),
        (201, JSON, b'{"id": 101', "done", "no valid JSON: nothing was kept"),
        (201, JSON, b'{"id": NaN}', "done", "the answer has no id"),
        (201, JSON, b'{"id": 101, "score": NaN, "max": -Infinity}', "done", ""),
        (201, JSON, b'{"id": 101, "name": "caf\\ud83d"}', "done", ""),
        (201, JSON, b'{"id": 101, "name": "caf\xe9"}', "done", ""),
        (201, JSON | {"content-encoding": "x-gzip"}, gzip.compress(b'{"id": 101}', mtime=0), "done", ""),
        (201, JSON | {"content-encoding": "br"}, packed(b'{"id": 101}', "brotli"), "done", ""),
        (201, JSON | {"content-encoding": "ZSTD"}, packed(b'{"id": 101}', "zstd"), "done", ""),
        (201, JSON | {"content-encoding": "br"}, b'{"id": 101}', "done", "packed (br) and cannot be unpacked: nothing"),
        (201, JSON | {"content-encoding": "zstd"}, b"", "done", "the answer is empty: nothing was kept"),
        (201, JSON, WARNING + b'{"id": 101}', "done", "other text stands before its JSON"),
        (201, HTML, WARNING + b'{"id": 101}\r\n', "done", "other text stands before its JSON"),
        (201, HTML, b"\nNotice: a in {main} [x]\n" + b'[{"id": 1}]', "done", "before its JSON; the answer has no id"),
        (201, HTML, b"\nNotice: a in {main} [x]\n", "unknown", "with text/html where JSON was due"),
        (201, HTML, WARNING, "unknown", "with text/html where JSON was due"),
        (201, JSON, b"oops " + b"[" * 300, "done", "no valid JSON"),
        (201, {"content-type": "application/json; charset=klingon"}, b"\xff", "done", "no valid JSON"),
        (201, {"content-type": "application/hal+json"}, b"{", "done", "no valid JSON"),
        (201, JSON, b"[" * 50_000, "done", "no valid JSON"),
        (201, JSON, b"", "done", "the answer is empty: nothing was kept"),
        (204, {}, b"", "done", ""),
        (201, {"content-type": "text/plain"}, b"created", "unknown", "with text/plain where JSON was due"),
        (201, {}, b"created", "unknown", "with no content type where JSON was due"),
        (206, JSON, b"{}", "unknown", "not among the definition's response.success"),
        (301, {"location": "https://elsewhere/"}, b"", "failed", "go to https://elsewhere/. Redirects are not"),
        (307, {}, b"", "failed", "go to nowhere"),
        (302, {"location": "/login"}, b"", "unknown", "may have acted before it said so"),
        (303, {"location": "/posts/101"}, b"", "unknown", "may have acted before it said so"),
        (400, JSON, b"{}", "failed", "status 400"),
        (401, JSON, b"{}", "failed", "token may be missing, wrong or expired"),
        (404, JSON, b"{}", "failed", "nothing at this address"),
        (404, HTML, PAGE, "failed", "nothing at this address"),
        (413, HTML, PAGE, "failed", "too large"),
        (418, JSON, b"{}", "failed", "status 418"),
        (422, JSON, b"{}", "failed", "finds the row wrong"),
        (409, JSON, b'{"error": "there is one already"}', "failed", "status 409: there is one already"),
        (409, JSON, b'{"error": "Idempotency-Key in use"}', "unknown", "an earlier attempt"),
        (409, JSON, b'{"error": {"type": "idempotency_error"}}', "unknown", "an earlier attempt"),
        (403, JSON | {"retry-after": "2"}, b"{}", "waiting", "the API says 403: come back later"),
        (403, HTML | {"retry-after": "2"}, PAGE, "waiting", "the API says 403: come back later"),
        (408, HTML, PAGE, "waiting", "has not taken the request"),
        (425, JSON, b"{}", "waiting", "has not taken the request"),
        (429, JSON, b"{}", "waiting", "too many requests"),
        (503, JSON | {"retry-after": "3"}, b"{}", "waiting", "come back later"),
        (503, JSON, b"{}", "unknown", "may have acted"),
        (503, JSON | {"retry-after": "soon"}, b"{}", "unknown", "may have acted"),
        (500, JSON, b"{}", "unknown", "may have acted"),
        (502, HTML, PAGE, "unknown", "a gateway before the API"),
        (504, HTML, PAGE, "unknown", "a gateway before the API"),
        (599, JSON, b"{}", "unknown", "status 599"),
        (700, JSON, b"{}", "unknown", "status 700"),
    ],
)  # fmt: skip
def test_every_answer_has_a_state_and_says_why(
    status: int, headers: dict[str, str], body: bytes, state: str, words: str
) -> None:
    outcome, reply = judge(status, headers, body), understand(status, headers, body)

    assert outcome.state == state
    assert words in outcome.reason
    assert bool(words) == bool(outcome.reason)
    assert reply.status == status
    assert not reply.ban
    assert outcome.again == (state == "waiting")


@pytest.mark.parametrize(
    ("status", "headers", "body", "state"),
    [
        (403, HTML, PAGE, "failed"),
        (403, JSON, b"{}", "failed"),
        (401, HTML, PAGE, "failed"),
        (406, {}, b"  \r\n<html>go away</html>", "failed"),
        (200, HTML, PAGE, "unknown"),
        (201, {"content-type": "text/plain"}, PAGE, "unknown"),
        (200, JSON, PAGE, "unknown"),
        (200, {"content-type": "text/plain"}, b"<!-- a -->\n<!-- b --> <html><body>" + b'{"id": 1}', "unknown"),
        (200, HTML, b"<h1>Access denied</h1>", "unknown"),
        (401, HTML, b"<h1>Access denied</h1>", "failed"),
        (403, JSON | {"retry-after": "0"}, b"{}", "failed"),
        (403, JSON | {"retry-after": "soon"}, b"{}", "failed"),
        (403, JSON | {"x-ratelimit-reset": "30"}, b"{}", "failed"),
    ],
)
def test_403_and_a_page_where_json_was_due_are_a_ban(
    status: int, headers: dict[str, str], body: bytes, state: str
) -> None:
    reply = understand(status, headers, body)

    assert reply.ban
    assert reply.means == state


def test_the_definition_says_what_a_ban_is() -> None:
    assert not understand(403, JSON, b"{}", ban={"status": []}).ban
    assert not understand(200, HTML, PAGE, ban={"html": False}).ban
    assert understand(420, JSON, b"{}", ban={"status": [420]}).ban
    assert not understand(200, HTML, PAGE, response={"json": False, "keep": {}}).ban


def test_an_answer_that_need_not_be_json_is_done_by_its_status() -> None:
    outcome = judge(200, HTML, PAGE, response={"json": False, "keep": {}})

    assert outcome.state is RowState.DONE
    assert outcome.reason == ""


def test_a_success_status_that_the_definition_names_wins() -> None:
    assert judge(409, JSON, b'{"id": 5}', response={"success": [409]}).kept == {"postId": 5}


def test_what_can_be_kept_is_kept() -> None:
    keep = {"first": "items[0].id", "all": "items[].id", "wrong": "length(id)", "none": "nothing.there"}

    outcome = judge(
        200, JSON, b'{"items": [{"id": 1}, {"id": 123456789012345678901}], "id": 3}', response={"keep": keep}
    )

    assert outcome.kept == {"first": 1, "all": [1, 123456789012345678901], "wrong": None, "none": None}
    assert "length(id), nothing.there" in outcome.reason


def test_a_body_that_was_not_read_to_its_end_is_not_parsed() -> None:
    outcome = judge(201, JSON, b'{"id": 101}', trouble="the answer did not end within 2 s")

    assert (outcome.state, outcome.kept) == (RowState.DONE, {})
    assert outcome.reason == "the API said 201, but the answer did not end within 2 s: nothing was kept"


LOCATED = JSON | {"Location": "/posts/7"}


@pytest.mark.parametrize(
    ("status", "body", "more", "reason"),
    [
        (201, b"", {}, ""),
        (204, b"", {}, ""),
        (202, b"", {"means": "accepted"}, ""),
        (201, b"plain", {"json": False}, ""),
        (201, b'{"a', {"id": "id"}, "the API said 201, but the answer is no valid JSON: only headers were kept"),
        (201, b"", {"id": "id"}, "the API said 201, but the answer is empty: only headers were kept"),
        (201, b"", {"why": "header:X-Why"}, "the API said 201, but the answer has no header:X-Why"),
    ],
)
def test_a_header_is_kept_of_an_answer_without_json(
    status: int, body: bytes, more: dict[str, Any], reason: str
) -> None:
    keep = {"place": "header:Location"} | {name: path for name, path in more.items() if name in ("id", "why")}
    response = {"keep": keep, "json": more.get("json", True)}
    answers = [{"status": 202, "means": more["means"]}] if "means" in more else []
    made = definition(answers=answers).model_copy(update={"response": Response.model_validate(response)})
    compiled = Compiled.of(made, {})

    reply = understood(status, httpx.Headers(LOCATED), body, made, question=compiled.question({}))
    (outcome,) = outcomes(compiled, reply, Parcel((Row(1, 2, {}),)))

    assert outcome.state is (RowState.ACCEPTED if answers else RowState.DONE)
    assert outcome.kept == {"place": "/posts/7"}
    assert outcome.reason == reason


def test_of_a_refusal_nothing_is_said_of_what_would_have_been_kept() -> None:
    refused = judge(400, JSON, b"", response={"keep": {"place": "header:Location"}})

    assert (refused.state, refused.kept) == (RowState.FAILED, {})
    assert "Location" not in refused.reason


def test_what_is_kept_is_kept_whatever_stands_around_it() -> None:
    for body in (
        b'{"id": 101, "score": NaN}', b'{"id": 101, "name": "caf\\ud83d"}', WARNING + b'{"id": 101}',
        b'{"id": 101, "name": "Z\xfcrich"}',
    ):  # fmt: skip
        assert judge(201, JSON, body).kept == {"postId": 101}
    packs = packed(b'{"id": 101}' + b" " * 100_000, "brotli")
    assert judge(201, JSON | {"content-encoding": "br"}, packs).kept == {"postId": 101}
    assert judge(201, JSON, b'{"id": NaN}').kept == {"postId": None}


def test_a_kept_value_has_a_length() -> None:
    keep = {"all": "@", "name": "name", "id": "id"}
    body = json.dumps({"id": 7, "name": "ü" * 2000, "more": "x" * 10}).encode()

    outcome = judge(201, JSON, body, response={"keep": keep})

    assert outcome.kept["name"] == "ü" * 2000
    assert outcome.kept["id"] == 7
    assert outcome.kept["all"] == f'{{"id": 7, "name": "{"ü" * 1981}…'
    assert len(outcome.kept["all"]) == 2001
    assert outcome.reason == "the API said 201, but of @ the first 2,000 characters are kept"
    assert outcome.state is RowState.DONE


def test_a_conflict_is_about_the_key_only_where_it_may_be() -> None:
    plain = judge(409, JSON, b'{"message": "Contact already exists"}', idempotent=True)
    about_it = judge(409, JSON, b'{"error": "a request with this Idempotency-Key is in progress"}', idempotent=True)

    assert (plain.state, plain.again) == (RowState.FAILED, False)
    assert (about_it.state, about_it.again) == (RowState.UNKNOWN, True)


def test_a_ban_that_says_when_to_come_back_is_a_wait_and_a_ban_if_it_comes_again() -> None:
    reply = understand(403, JSON | {"retry-after": "2"}, b"{}")
    elsewhere = understand(403, JSON | {"retry-after": "2"}, b"{}", ban={"status": [418]})
    of_own = understand(418, JSON | {"retry-after-ms": "1500"}, b"{}", ban={"status": [418]})

    assert (reply.again, reply.pause_seconds, reply.bans_if_again, reply.ban) == (True, 2, True, False)
    assert (elsewhere.means, elsewhere.bans_if_again) == (RowState.WAITING, False)
    assert (of_own.means, of_own.pause_seconds, of_own.bans_if_again) == (RowState.WAITING, 1.5, True)


def test_lost_answers_are_sent_again_only_if_the_api_is_idempotent() -> None:
    for status, headers, body in [(500, JSON, b""), (502, HTML, PAGE), (201, {}, b"created"), (409, JSON, b"")]:
        outcome = judge(status, headers, body, idempotent=True)
        assert (outcome.state, outcome.again) == (RowState.UNKNOWN, True)


NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "2"}, 2),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": str(int(NOW) + 2)}, 2),
        ({"retry-after": str(int(NOW) + 2), "date": formatdate(NOW - 60, usegmt=True)}, 62),
        ({"retry-after": str(int(NOW + 2) * 1000)}, 2),
        ({"retry-after": str(int(NOW + 2) * 10**6)}, 2),
        ({"retry-after": str(int(NOW) - 2)}, None),
        ({"retry-after": "2s"}, 2),
        ({"retry-after": "500 ms"}, 0.5),
        ({"retry-after": "2 minutes"}, 120),
        ({"retry-after": "-2s"}, None),
        ({"retry-after": "2024-13-45T00:00:00Z"}, None),
        ({"retry-after": "2023-11-14T22:13:25Z"}, 5),
        ({"retry-after": "2023-11-14T23:13:25+01:00"}, 5),
        ({"retry-after": "2023-11-14 22:13:15"}, None),
        ({"retry-after-ms": "3000"}, 3),
        ({"retry-after-ms": "300", "retry-after": "1"}, 0.3),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1),
        ({"x-rate-limit-reset": str(int(NOW) + 4)}, 4),
        ({"x-ratelimit-reset-after": "1.5"}, 1.5),
        ({"x-ratelimit-reset": "6s"}, 6),
        ({"x-ratelimit-reset": "2023-11-14T22:13:27Z"}, 7),
        ({"ratelimit": '"default";r=0;t=3'}, 3),
        ({"ratelimit": '"burst";r=9;t=60, "day";r=0;t=7, "hour";r=0;t=5'}, 7),
        ({"ratelimit": '"burst";r=9;t=60'}, 60),
        ({"ratelimit": "limit=100, remaining=0, reset=8"}, 8),
        ({"ratelimit": "nothing"}, None),
        ({"ratelimit": '"default";r=0;t=99999'}, 3600),
        ({"retry-after": "0", "ratelimit": '"default";r=0;t=3'}, None),
        ({"retry-after": "9999999"}, 3600),
        ({"retry-after": "soon"}, None),
        ({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30),
        ({"retry-after": formatdate(NOW - 30, usegmt=True)}, None),
        ({"retry-after": formatdate(NOW + 900, usegmt=True), "date": formatdate(NOW + 890, usegmt=True)}, 10),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, 3600),
        ({"x-ratelimit-reset": "12"}, 12),
        ({"x-ratelimit-reset": str(NOW + 12)}, 12),
        ({"x-ratelimit-reset": str(int(NOW + 12) * 1000)}, 12),
        ({"ratelimit-reset": "7", "retry-after": "3"}, 3),
        ({}, None),
    ],
)
def test_the_pause_an_api_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    assert pause_of(httpx.Headers(headers), now=NOW) == (None if seconds is None else pytest.approx(seconds))


def test_429_pauses_for_a_window_where_the_api_does_not_say_how_long() -> None:
    assert understand(429, {}, b"").pause_seconds == 2
    assert understand(429, {"retry-after": "9"}, b"").pause_seconds == 9


def test_an_excerpt_is_short_and_holds_nothing_that_could_play_tricks() -> None:
    body = "bad\x00\x1b[31m\r\n\u202egnp.exe\u2028 value ".encode() + b"\xff" + b"x" * 9000

    excerpt = judge(400, JSON, body).excerpt

    assert excerpt.startswith("bad [31m gnp.exe value \ufffdxxx")
    assert len(excerpt) == 2000
    assert clean("a\tb\u200bc") == "a b c"


def test_secrets_are_dotted_in_excerpts_and_reasons_however_they_are_written() -> None:
    masker = Masker(['to"ken/+ä', "s3cret"])
    body = b'to\\"ken/+\\u00e4 to%22ken%2F%2B%C3%A4 S3CRET ' + b"x" * 250 + b" s3cret"

    reply = understood(400, httpx.Headers(JSON), body, definition(), mask=masker.text)
    redirect = understood(302, httpx.Headers({"location": "/?t=s3cret"}), b"", definition(), mask=masker.text)

    assert reply.excerpt.startswith("•••• •••• •••• xxx")
    assert "s3cr" not in reply.excerpt
    assert "/?t=••••" in redirect.reason
    assert masker.value({"a": ["s3cret", 1, {"s3cret": None}]}) == {"a": ["••••", 1, {"••••": None}]}


def test_a_request_is_shown_without_its_secrets() -> None:
    request = httpx.Request(
        "POST",
        "https://me:pass%20word@api.test/p?token=s3cret",
        headers={"Authorization": "Bearer other", "X-Key": "s3cret", "Accept": "a"},
        content=b'{"token": "s3cret"}',
    )

    shown = mask(request, {"TOKEN": "s3cret"})

    assert shown["url"] == "https://me:••••@api.test/p?token=••••"
    assert shown["headers"]["authorization"] == "Bearer ••••"
    assert shown["headers"]["x-key"] == "••••"
    assert shown["headers"]["accept"] == "a"
    assert shown["body"] == '{"token": "••••"}'


def test_a_secret_that_is_part_of_another_leaves_nothing_of_it_to_be_seen() -> None:
    assert Masker(["token", "token-of-the-owner"]).text("a token-of-the-owner, a token") == "a ••••, a ••••"


@pytest.mark.parametrize("name", ["Authorization", "Proxy-Authorization", "Cookie", "X-API-Key", "Api-Key"])
def test_no_header_that_carries_credentials_is_shown(name: str) -> None:
    request = httpx.Request("GET", "https://api.test/", headers={name: "hush"})

    assert mask(request)["headers"][name.lower()] == "••••"


# -- no answer at all --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (aiohttp.ServerDisconnectedError(), "the connection was closed without an answer"),
        (aiohttp.ClientOSError(104, "Connection reset by peer"), "the connection broke"),
        (aiohttp.ClientPayloadError(), "the answer broke off"),
        (BadStatusLine("220 mail.example"), "the answer is no valid HTTP"),
        (httpx.DecodingError("bad gzip"), "the answer could not be unpacked"),
        (ConnectionResetError("x"), "the connection was reset"),
        (BrokenPipeError("x"), "the connection broke"),
        (RuntimeError("x"), "the request failed (x)"),
    ],
)
def test_what_breaks_on_the_network_is_told_in_words(error: Exception, words: str) -> None:
    reply = broken(error, wrote=True, idempotent=False, within_seconds=2)

    assert reply.means is RowState.UNKNOWN
    assert reply.reason.startswith(words)
    assert reply.reason.endswith("; the API may have acted")


def test_only_what_was_written_can_be_unknown() -> None:
    for error in (
        OSError("x"),
        aiohttp.ServerDisconnectedError(),
        TimeoutError(),
        httpx.ReadError("x"),
        RuntimeError("x"),
    ):
        before = broken(error, wrote=False, idempotent=True, within_seconds=2)
        after = broken(error, wrote=True, idempotent=False, within_seconds=2)

        assert (before.means, before.wrote, before.again) == (RowState.WAITING, False, True)
        assert (after.means, after.wrote, after.again) == (RowState.UNKNOWN, True, False)
        assert broken(error, wrote=True, idempotent=True, within_seconds=2).again


def test_a_request_that_no_waiting_would_mend_is_failed() -> None:
    error = aiohttp.InvalidURL("ftp://x")

    assert broken(error, wrote=False, idempotent=False, within_seconds=2).means is RowState.FAILED


@pytest.mark.parametrize("name", ["x-ratelimit-reset", "ratelimit-reset"])
def test_a_503_that_only_says_when_the_quota_is_full_again_may_have_been_acted_on(name: str) -> None:
    """Some APIs send these headers with every answer: they ask for nothing, and say nothing of this request."""
    reply = understood(503, httpx.Headers({name: "1800"}), b"", definition())

    assert (reply.means, reply.again, reply.pause_seconds) == (RowState.UNKNOWN, False, None)
    assert understood(429, httpx.Headers({name: "1800"}), b"", definition()).pause_seconds == 1800


def test_a_lost_answer_is_unknown_also_where_the_api_is_idempotent() -> None:
    """It is sent again, under the same key; until that is answered nobody knows."""
    reply = broken(TimeoutError(), wrote=True, idempotent=True, within_seconds=2)

    assert (reply.means, reply.wrote, reply.again) == (RowState.UNKNOWN, True, True)
