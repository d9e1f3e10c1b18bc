"""Rules on answers: which one fits, and what the answer means then."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import Any

import httpx
import pytest

from flows.client.answer import understood
from flows.client.question import Question
from flows.pipeline.definition import Definition
from flows.pipeline.rules import Rule, Rules, Said, wait_of
from flows.records import Reply

JSON = {"content-type": "application/json"}
HTML = {"content-type": "text/html"}
PAGE = b"<!DOCTYPE html><html><body>Access denied</body></html>"


def definition(**changes: Any) -> Definition:
    return Definition.model_validate(
        {
            "name": "x",
            "columns": {"email": {"type": "str"}},
            "request": {"url": "http://127.0.0.1/rows"},
            "limit": {"name": "x", "requests": 7, "window_seconds": 5},
            **changes,
        }
    )


def understand(
    status: int,
    body: Any,
    *rules: dict[str, Any],
    headers: dict[str, str] = JSON,
    trouble: str = "",
    reads: bool = False,
    values: dict[str, Any] | None = None,
    **changes: Any,
) -> Reply:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    made = [Rule.model_validate(rule) for rule in rules]
    question = Question(Rules.of(made), values, reads=reads)
    return understood(
        status, httpx.Headers(headers), content, definition(**changes), question=question, trouble=trouble
    )


def fits(status: int, body: Any, rule: dict[str, Any], **more: Any) -> bool:
    return understand(status, body, rule, **more).by_rule is not None


@pytest.mark.parametrize(
    ("wanted", "fitting", "others"),
    [
        (None, [200, 201, 299], [302, 404, 500]),
        (404, [404], [200, 400, 405]),
        ("4xx", [400, 404, 499], [200, 500, 429]),
        ("5xx", [500, 503, 599], [200, 400]),
        ("any", [200, 302, 404, 500], [429]),
        ([200, 404], [200, 404], [201, 500]),
        ([404, "5xx"], [404, 500], [200, 400]),
        (429, [429], [200]),
    ],
)
def test_a_rule_fits_the_statuses_that_it_names(wanted: Any, fitting: list[int], others: list[int]) -> None:
    rule = {"means": "failed"} | ({} if wanted is None else {"status": wanted})

    assert [status for status in (*fitting, *others) if fits(status, {}, rule)] == fitting


def test_rules_of_items_ask_no_status_unless_it_is_stated() -> None:
    said = Said(404, {}, {"a": 1})

    assert Rules((Rule(means="failed"),), of_items=True).first(said, {}) is not None
    assert Rules((Rule(means="failed", status="2xx"),), of_items=True).first(said, {}) is None
    assert Rules((Rule(means="failed"),)).first(said, {}) is None


@pytest.mark.parametrize(
    ("stated", "there", "does"),
    [
        ({"X-Token": "Required"}, {"x-token": " required "}, True),
        ({"x-token": "Required"}, {"X-Token": "REQUIRED"}, True),
        ({"X-Token": "Required"}, {"X-Token": "Required!"}, False),
        ({"X-Token": "Required"}, {}, False),
        ({"A": "1", "B": "2"}, {"A": "1"}, False),
        ({"A": "1", "B": "2"}, {"A": "1", "B": "2"}, True),
    ],
)
def test_a_rule_fits_the_headers_that_it_names(stated: dict[str, str], there: dict[str, str], does: bool) -> None:
    assert fits(400, {}, {"status": "any", "headers": stated, "means": "failed"}, headers=JSON | there) is does


def test_the_first_rule_that_fits_decides() -> None:
    rules = [{"when": "a", "means": "failed"}, {"when": "b", "means": "accepted"}, {"means": "done"}]

    assert [understand(200, body, *rules).means for body in ({"b": 1, "a": 1}, {"b": 1}, {})] == [
        "failed",
        "accepted",
        "done",
    ]


@pytest.mark.parametrize(
    ("status", "headers", "means"),
    [
        (429, {}, "waiting"),
        (429, {"Retry-After": "3"}, "waiting"),
        (503, {"Retry-After": "3"}, "waiting"),
        (403, {}, "failed"),
    ],
)
@pytest.mark.parametrize("wanted", ["any", "class"])
def test_waits_and_bans_keep_their_meaning_unless_they_are_named(
    status: int, headers: dict[str, str], means: str, wanted: str
) -> None:
    broad: dict[str, Any] = {"status": "any" if wanted == "any" else f"{status // 100}xx", "means": "done"}
    named: dict[str, Any] = {"status": [200, status], "means": "done"}

    kept = understand(status, {}, broad, headers=JSON | headers)
    assert (kept.by_rule, kept.means) == (None, means)
    assert (kept.pause_seconds is not None, kept.ban) == (status != 403, status == 403)
    assert understand(status, {}, broad, named, headers=JSON | headers).means == "done"


def test_a_503_without_retry_after_is_a_rule_s() -> None:
    assert understand(503, {}, {"status": "5xx", "means": "retry"}).means == "waiting"


@pytest.mark.parametrize("rule", [{"means": "done"}, {"means": "accepted"}, {"status": 200, "means": "done"}])
def test_a_page_is_never_done_by_a_rule(rule: dict[str, Any]) -> None:
    reply = understand(200, PAGE, rule, headers=HTML)

    assert (reply.means, reply.ban, reply.by_rule) == ("unknown", True, None)


def test_a_page_may_be_what_a_rule_that_names_its_status_says() -> None:
    assert understand(200, PAGE, {"status": 200, "means": "failed"}, headers=HTML).means == "failed"
    assert understand(404, PAGE, {"status": 404, "means": "done"}, headers=HTML).means == "done"


@pytest.mark.parametrize("when", ["a", "!a", "a == `null`", "!(a == `1`)"])
@pytest.mark.parametrize(
    ("headers", "body"), [({"content-type": "text/plain"}, b"ok"), ({"content-type": "text/xml"}, b"<a/>"), (JSON, b"")]
)
def test_a_body_that_is_no_json_fits_no_condition(when: str, headers: dict[str, str], body: bytes) -> None:
    assert not fits(200, body, {"when": when, "means": "failed"}, headers=headers)


def test_null_is_json_and_fits_what_it_fits() -> None:
    assert fits(200, None, {"when": "!a", "means": "failed"})


@pytest.mark.parametrize("body", [b"", b"ok", b'{"a": '])
def test_a_condition_on_a_header_needs_no_body(body: bytes) -> None:
    rule = {"status": 403, "when": "header:X-Reset", "means": "wait", "seconds": "header:X-Reset"}

    assert understand(403, body, rule, headers=JSON | {"X-Reset": "9"}).pause_seconds == 9
    assert not fits(403, body, rule)


@pytest.mark.parametrize(("body", "trouble"), [(b'{"a": 1', ""), (b'{"a": 1}', "the answer is longer than 7 bytes")])
@pytest.mark.parametrize("status", [200, 400, 500])
def test_what_cannot_be_read_whole_is_unknown_where_a_rule_has_to_read_it(
    body: bytes, trouble: str, status: int
) -> None:
    reply = understand(status, body, {"status": "any", "when": "a", "means": "failed"}, trouble=trouble)

    assert (reply.means, reply.by_rule) == ("unknown", None)
    assert f"the API said {status}, but {trouble or 'the answer is no valid JSON'}" in reply.reason


def test_what_cannot_be_read_is_no_matter_where_an_earlier_rule_fits() -> None:
    rules = [{"status": 400, "means": "failed"}, {"status": "any", "when": "a", "means": "done"}]

    assert understand(400, b'{"a"', *rules).means == "failed"


def test_the_row_s_values_stand_in_conditions() -> None:
    rule = {"when": "items[?email == {email}]", "means": "done"}
    body = {"items": [{"email": "a`b'\"c"}]}

    assert fits(200, body, rule, values={"email": "a`b'\"c"})
    assert not fits(200, body, rule, values={"email": "other"})


MEANINGS = {
    "done": ("done", False),
    "items": ("done", False),
    "accepted": ("accepted", False),
    "failed": ("failed", False),
    "retry": ("waiting", True),
    "wait": ("waiting", True),
    "unknown": ("unknown", False),
    "stop": ("waiting", False),
    "ban": ("failed", False),
}


@pytest.mark.parametrize("means", MEANINGS)
def test_what_a_rule_means(means: str) -> None:
    reply = understand(400, {"message": "no"}, {"status": 400, "means": means})

    assert (reply.means, reply.again) == MEANINGS[means]
    assert (reply.pause_seconds, reply.stop, reply.ban) == (5 if means == "wait" else None, means == "stop", means == "ban")  # noqa: E501  # fmt: skip
    assert reply.reason.startswith("" if means in ("done", "items", "accepted") else "no")


def test_a_success_that_means_a_ban_is_unknown() -> None:
    reply = understand(200, {"message": "shut out"}, {"means": "ban"})

    assert (reply.means, reply.ban, reply.reason) == ("unknown", True, "shut out; this counts as a ban")


def test_an_unknown_is_sent_again_only_to_an_idempotent_api() -> None:
    rule = {"means": "unknown"}

    assert [understand(200, {}, rule, idempotent=flag).again for flag in (True, False)] == [True, False]


@pytest.mark.parametrize(
    ("reason", "body", "words"),
    [
        ("errors[0].message", {"errors": [{"message": "taken"}]}, "taken"),
        ("errors", {"errors": [{"message": "taken"}, {"message": "old"}]}, "taken; old"),
        ("code", {"code": 17}, "17"),
        ("header:X-Why", {}, "because"),
        ("absent", {"message": "of its own"}, "of its own"),
        (None, {"message": "of its own"}, "of its own"),
        (None, {}, "the definition takes this answer (400) for failed"),
        ("absent", b"plain words", "plain words"),
        (None, b"", "the definition takes this answer (400) for failed"),
        ("long", {"long": "x" * 400}, "x" * 299 + "…"),
    ],
)
def test_the_reason_is_the_api_s_own_words(reason: str | None, body: Any, words: str) -> None:
    rule = {"status": 400, "means": "failed"} | ({} if reason is None else {"reason": reason})

    assert understand(400, body, rule, headers=JSON | {"X-Why": "because"}).reason == words


NOW = 1_770_000_000.0


@pytest.mark.parametrize(
    ("stated", "body", "seconds"),
    [
        ({"seconds": 3}, {}, 3),
        ({"seconds": 0}, {}, 0),
        ({"seconds": 2.5}, {}, 2.5),
        ({"seconds": "retry"}, {"retry": 7}, 7),
        ({"seconds": "retry"}, {"retry": "7.5"}, 7.5),
        ({"seconds": "retry"}, {"retry": -1}, None),
        ({"seconds": "retry"}, {"retry": True}, None),
        ({"seconds": "retry"}, {"retry": "soon"}, None),
        ({"seconds": "retry"}, {"retry": "nan"}, None),
        ({"seconds": "retry"}, {"retry": "inf"}, None),
        ({"seconds": "retry"}, {"retry": 10**400}, None),
        ({"seconds": "retry"}, {}, None),
        ({"seconds": "retry"}, {"retry": 10**9}, 86_400),
        ({"seconds": "header:X-Wait"}, {}, 11),
        ({"until": "at"}, {"at": NOW + 30}, 30),
        ({"until": "at"}, {"at": str(int(NOW) + 30)}, 30),
        ({"until": "at"}, {"at": (NOW + 30) * 1000}, 30),
        ({"until": "at"}, {"at": NOW - 30}, 0),
        ({"until": "at"}, {"at": "2026-02-02T02:40:30Z"}, 30),
        ({"until": "at"}, {"at": "2026-02-02T03:40:30+01:00"}, 30),
        ({"until": "at"}, {"at": "2026-02-02T02:40:30"}, 30),
        ({"until": "at"}, {"at": formatdate(NOW + 30, usegmt=True)}, 30),
        ({"until": "at"}, {"at": "tomorrow"}, None),
        ({"until": "at"}, {"at": [1]}, None),
        ({"until": "at"}, {"at": 10**400}, None),
        ({"until": "at"}, {"at": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}, None),
        ({"until": "at"}, {"at": "0001-01-01T00:00:00+14:00"}, 0),
        ({"until": "at"}, {}, None),
    ],
)
def test_how_long_a_rule_says_to_wait(stated: dict[str, Any], body: Any, seconds: float | None) -> None:
    rule = Rule.model_validate({"means": "wait", **stated})

    found = wait_of(rule, Said(200, httpx.Headers({"X-Wait": "11"}), body), {}, now=NOW)

    assert found == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(("headers", "seconds"), [({"Retry-After": "3"}, 3), ({}, 5)])
@pytest.mark.parametrize("stated", [{}, {"seconds": "absent"}, {"until": "absent"}])
def test_else_it_is_retry_after_or_one_window(stated: dict[str, Any], headers: dict[str, str], seconds: float) -> None:
    reply = understand(200, {}, {"means": "wait", **stated}, headers=JSON | headers)

    assert reply.pause_seconds == seconds


def test_a_wait_until_a_moment_is_counted_from_now() -> None:
    reply = understand(200, {"at": time.time() + 40}, {"means": "wait", "until": "at"})

    assert reply.pause_seconds == pytest.approx(40, abs=2)


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [(500, JSON, b"{}"), (502, JSON, b""), (503, JSON, b""), (200, HTML, b"<p>x"), (200, JSON, b'{"a": ')],
)
def test_of_a_read_that_says_nothing_nothing_follows(status: int, headers: dict[str, str], body: bytes) -> None:
    rule = {"when": "a", "means": "done"}

    assert understand(status, body, rule, headers=headers, reads=True).means == "waiting"
    assert understand(status, body, rule, headers=headers, reads=True).again
    assert understand(status, body, rule, headers=headers).means == "unknown"


def test_a_read_is_what_a_rule_says() -> None:
    assert understand(500, {}, {"status": 500, "means": "unknown"}, reads=True).means == "unknown"
    assert understand(404, {}, reads=True).means == "failed"


WAITING = {"status": 200, "means": "waiting"}


@pytest.mark.parametrize("ban", [{"html": True}, {"html": False}])
@pytest.mark.parametrize("means", ["waiting", "failed", "done", "unknown"])
def test_a_page_in_place_of_json_says_nothing_to_a_read(means: str, ban: dict[str, Any]) -> None:
    reply = understand(200, PAGE, {"status": 200, "means": means}, headers=HTML, reads=True, ban=ban)

    assert (reply.by_rule, reply.again, reply.ban) == (None, True, ban["html"])


@pytest.mark.parametrize(("headers", "body"), [({}, b""), (JSON, b""), ({"content-type": "text/plain"}, b"ok")])
def test_only_json_says_that_a_row_is_not_there(headers: dict[str, str], body: bytes) -> None:
    assert understand(200, body, WAITING, headers=headers, reads=True).by_rule is None
    assert understand(200, body, WAITING, headers=headers, reads=True, response={"json": False}).by_rule is not None
    assert understand(200, [], WAITING, reads=True).by_rule is not None


def test_a_rule_may_name_the_status_without_a_body() -> None:
    assert understand(204, b"", {"status": 204, "means": "waiting"}, headers={}, reads=True).by_rule is not None
    assert understand(204, b"", {"status": "2xx", "means": "waiting"}, headers={}, reads=True).by_rule is None


@pytest.mark.parametrize("wanted", ["any", "5xx", ["4xx", "5xx"]])
@pytest.mark.parametrize("status", [500, 502, 503])
def test_of_a_read_only_the_very_number_of_a_5xx_is_heard(status: int, wanted: Any) -> None:
    reply = understand(status, {}, {"status": wanted, "means": "waiting"}, reads=True)

    assert (reply.by_rule, reply.means, reply.again) == (None, "waiting", True)
    assert understand(status, {}, {"status": status, "means": "waiting"}, reads=True).by_rule is not None
    assert understand(status, {}, {"status": wanted, "means": "failed"}).means == "failed"
