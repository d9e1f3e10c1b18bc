"""What the answer to a request of many rows says of each of them."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from flows.client.answer import understood
from flows.client.compiled import Compiled
from flows.client.exchange import outcomes
from flows.client.items import adjusted
from flows.client.retry import trouble
from flows.pipeline.definition import Definition
from flows.records import Outcome, Parcel, Reply, Row

COLUMNS = {"email": {"type": "str"}, "n": {"type": "int", "optional": True}}
BY_ITEM = {"item": "email", "row": "{email}"}
ITEMS = [{"means": "items"}]
RULES = [
    {"when": "status == 'error'", "means": "failed", "reason": "message"},
    {"when": "status == 'busy'", "means": "wait", "seconds": "seconds"},
    {"when": "status == 'again'", "means": "retry"},
    {"when": "status == 'odd'", "means": "unknown"},
    {"when": "status == 'taken'", "means": "accepted", "keep": {"job": "job"}},
    {"when": "status == 'halt'", "means": "stop"},
    {"when": "status == 'shut'", "means": "ban"},
    {"when": "status == 'ok'", "means": "done"},
]


def definition(
    *, answers: list[dict[str, Any]] = ITEMS, of_items: list[dict[str, Any]] = RULES, **batch: Any
) -> Definition:
    return Definition.model_validate(
        {
            "name": "x",
            "columns": COLUMNS,
            "request": {"url": "http://127.0.0.1/rows"},
            "batch": {"rows": 100, "items": "items", "match": BY_ITEM, "answers": of_items} | batch,
            "answers": answers,
            "limit": {"name": "x", "requests": 7, "window_seconds": 5},
        }
    )


def rows_of(*emails: str | None) -> Parcel:
    return Parcel(tuple(Row(at, at + 1, {"email": email, "n": at}) for at, email in enumerate(emails, start=1)))


def keys_of(parcel: Parcel) -> list[str]:
    return [f"key-{row.row}" for row in parcel.rows]


def judged(
    body: Any,
    emails: tuple[str | None, ...] = ("a@x", "b@x", "c@x"),
    *,
    status: int = 200,
    more: dict[str, str] | None = None,
    **changes: Any,
) -> tuple[Reply, list[Outcome]]:
    compiled, parcel = Compiled.of(definition(**changes), {}), rows_of(*emails)
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = httpx.Headers({"content-type": "application/json"} | (more or {}))
    reply = understood(status, headers, content, compiled.definition, question=compiled.question(None))
    return reply, outcomes(compiled, reply, parcel, keys_of(parcel))


def states(body: Any, *emails: str | None, **changes: Any) -> list[str]:
    found = judged(body, emails or ("a@x", "b@x", "c@x"), **changes)[1]
    return [str(outcome.state) for outcome in found]


def item(email: Any, status: str = "ok", **more: Any) -> dict[str, Any]:
    return {"email": email, "status": status, **more}


UNKNOWN = ["unknown"] * 3


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([item("x"), item("y", "error"), item("z")], ["done", "failed", "done"]),
        ([item("c@x", "error"), item("a@x"), item("b@x")], ["failed", "done", "done"]),  # whatever they are called
        ([item("x"), item("y")], UNKNOWN),
        ([item("x")] * 4, UNKNOWN),
        ([], UNKNOWN),
        (None, UNKNOWN),
        ({"0": item("x")}, UNKNOWN),
        ("abc", UNKNOWN),
        (3, UNKNOWN),
        ([item("x"), None, item("z")], ["done", "unknown", "done"]),
    ],
)
@pytest.mark.parametrize("missing", ["unknown", "done"])
def test_by_position_the_list_is_as_long_as_the_parcel(items: Any, expected: list[str], missing: str) -> None:
    assert states({"items": items}, match="position", missing=missing) == expected


def test_the_length_is_told() -> None:
    (first, *_) = judged({"items": [1, 2]}, match="position")[1]

    assert first.reason == "the answer has 2 items for the 3 rows of the request"


@pytest.mark.parametrize(
    ("indices", "expected"),
    [
        ([1], ["done", "failed", "done"]),
        ([0, 2], ["failed", "done", "failed"]),
        (["1"], ["done", "failed", "done"]),
        ([" 1 "], ["done", "failed", "done"]),
        ([3], UNKNOWN),
        ([-1], UNKNOWN),
        ([10**12], UNKNOWN),
        (["10000000000"], UNKNOWN),
        ([1.5], UNKNOWN),
        ([True], UNKNOWN),
        ([None], UNKNOWN),
        (["one"], UNKNOWN),
        ([1, 7], ["unknown", "failed", "unknown"]),
        ([], ["done", "done", "done"]),
    ],
)
def test_by_index_an_item_names_its_place(indices: list[Any], expected: list[str]) -> None:
    items = [{"at": index, "status": "error"} for index in indices]

    assert states({"items": items}, match={"index": "at"}, missing="done") == expected


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([item("a@x"), item("b@x", "error"), item("c@x")], ["done", "failed", "done"]),
        ([item("c@x"), item("b@x", "error"), item("a@x")], ["done", "failed", "done"]),
        ([item(" a@x\n", "error")], ["failed", "retry", "retry"]),
        ([item("A@x", "error")], UNKNOWN),  # of another case it is a stranger
        ([item("a@x", "error"), item("z@x")], ["failed", "unknown", "unknown"]),
        ([item("z@x")], UNKNOWN),
        ([item(None)], UNKNOWN),
        ([{}], UNKNOWN),
        ([None], UNKNOWN),
        (["a@x"], UNKNOWN),
        ([], ["retry"] * 3),
        (None, ["retry"] * 3),
        ([item(["a@x", "c@x"], "error")], ["failed", "retry", "failed"]),
        ([item(["a@x", "z@x"], "error")], ["failed", "unknown", "unknown"]),
        ([item(["a@x", None], "error")], ["failed", "unknown", "unknown"]),
        ([item([], "error")], UNKNOWN),
        ([item({"a": 1}, "error")], UNKNOWN),
    ],
)
def test_by_what_was_sent(items: Any, expected: list[str]) -> None:
    expected = ["waiting" if state == "retry" else state for state in expected]

    assert states({"items": items}, missing="retry") == expected


@pytest.mark.parametrize("missing", ["unknown", "done", "failed", "retry"])
def test_a_stranger_makes_those_unknown_of_whom_nobody_speaks_whatever_missing_says(missing: str) -> None:
    found = judged({"items": [item("a@x"), item("z@x", "error")]}, missing=missing)[1]

    assert [outcome.state for outcome in found] == ["done", "unknown", "unknown"]
    assert found[1].reason == "the answer does not speak of this row; 1 item of it fits no row"


def test_case_is_ignored_where_that_is_said() -> None:
    match = {**BY_ITEM, "ignore_case": True}

    assert states({"items": [item("STRASSE@X", "error")]}, "straße@x", match=match) == ["failed"]
    assert states({"items": [item("A@X", "error")]}, "a@x", match=match) == ["failed"]


@pytest.mark.parametrize(
    ("sent", "said"), [("{n}", 2), ("{n}", "2"), ("row-{row}", "row-2"), ("{idempotency_key}", "key-2")]
)
def test_values_are_compared_as_text(sent: str, said: Any) -> None:
    match = {"item": "id", "row": sent}

    assert states({"items": [{"id": said, "status": "error"}]}, match=match, missing="done") == [
        "done",
        "failed",
        "done",
    ]


def test_an_item_that_fits_two_rows_speaks_of_none() -> None:
    body = {"items": [item("a@x", "error")]}

    assert states(body, "a@x", "a@x", "c@x", missing="done") == UNKNOWN
    assert states(body, "a@x", " a@x", "c@x", missing="done") == UNKNOWN


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ({"key-1": {"status": "ok"}, "key-2": {"status": "error"}, "key-3": {}}, ["done", "failed", "unknown"]),
        ({"key-2": {"status": "error"}}, ["done", "failed", "done"]),
        ({"key-2": {"status": "error"}, "else": {}}, ["unknown", "failed", "unknown"]),
        ({"key-2": None}, ["done", "unknown", "done"]),
        ({}, ["done", "done", "done"]),
        ([{"status": "error"}], UNKNOWN),
    ],
)  # fmt: skip
def test_by_name_of_an_object(items: Any, expected: list[str]) -> None:
    assert states({"items": items}, match={"name": "{idempotency_key}"}, missing="done") == expected


WORST = ["error", "odd", "again", "busy", "taken", "ok"]
STATES = {"error": "failed", "odd": "unknown", "again": "waiting", "busy": "waiting", "taken": "accepted", "ok": "done"}


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("worse", range(6))
def test_of_several_items_of_a_row_the_worst_counts(worse: int, turned: bool) -> None:
    for better in range(worse, 6):
        items = [item("a@x", WORST[better], seconds=3), item("a@x", WORST[worse], seconds=3)]
        reply, (found,) = judged({"items": items[::-1] if turned else items}, ("a@x",))

        assert found.state == STATES[WORST[worse]]
        assert found.counts is (WORST[worse] != "busy")
        if "busy" in (WORST[worse], WORST[better]):
            assert adjusted(reply, [found]).pause_seconds == 3


def test_what_an_item_says_to_everybody_stands_though_another_is_worse() -> None:
    for status in ("halt", "shut"):
        reply, found = judged({"items": [item("a@x", "error"), item("a@x", status)]}, ("a@x",))

        assert (adjusted(reply, found).stop, adjusted(reply, found).ban) == (status == "halt", status == "shut")


def test_an_item_asks_everybody_to_wait() -> None:
    reply, found = judged({"items": [item("a@x", "busy", seconds=9), item("b@x", "busy", seconds=4), item("c@x")]})

    assert [outcome.pause_seconds for outcome in found] == [9, 4, None]
    assert [outcome.counts for outcome in found] == [False, False, True]
    assert adjusted(reply, found).pause_seconds == 9


@pytest.mark.parametrize(
    ("missing", "state", "again"),
    [("unknown", "unknown", False), ("done", "done", False), ("failed", "failed", False), ("retry", "waiting", True)],
)
@pytest.mark.parametrize("by_rule", [False, True])
def test_what_becomes_of_a_row_of_which_nobody_speaks(missing: str, state: str, again: bool, by_rule: bool) -> None:
    changes: dict[str, Any] = {"missing": "unknown", "answers": [{"means": "items", "missing": missing}]}
    if not by_rule:
        changes = {"missing": missing}
    found = judged({"items": [item("a@x")]}, **changes)[1]

    assert [(outcome.state, outcome.again) for outcome in found[1:]] == [(state, again)] * 2
    assert all(outcome.reason.startswith("the answer does not speak of this row") for outcome in found[1:] if state != "done")  # noqa: E501  # fmt: skip


def test_an_item_that_no_rule_fits_is_done_where_the_answer_means_done_else_unknown() -> None:
    body = {"items": [item("a@x", "unheard of"), item("b@x"), item("c@x", "error")]}

    assert states(body) == ["unknown", "done", "failed"]
    assert states(body, answers=[{"means": "done"}]) == ["done", "done", "failed"]
    assert states(body, answers=[]) == ["done", "done", "failed"]


def test_any_other_meaning_of_the_answer_is_that_of_every_row() -> None:
    body = {"items": [item("a@x", "error")], "why": "closed"}

    assert states(body, answers=[{"means": "failed", "reason": "why"}], refused="fail") == ["failed"] * 3
    assert states(body, answers=[{"means": "accepted"}]) == ["accepted"] * 3
    assert states(body, answers=[{"means": "unknown"}]) == UNKNOWN


@pytest.mark.parametrize("body", [b'{"items": [', b"", b"ok", b'{"items": []}, '])
@pytest.mark.parametrize("answers", [[], [{"means": "done"}], ITEMS, [{"status": "any", "means": "done"}]])
def test_what_cannot_be_read_says_nothing_of_any_row(body: bytes, answers: list[dict[str, Any]]) -> None:
    assert states(body, answers=answers, missing="done") == UNKNOWN


def test_items_are_read_whatever_the_status_where_a_rule_says_so() -> None:
    body = {"items": [item("a@x", "error"), item("b@x"), item("c@x")]}

    assert states(body, status=422, answers=[{"status": [200, 422], "means": "items"}]) == ["failed", "done", "done"]


def test_a_rule_of_an_item_may_ask_for_a_status() -> None:
    rules = [{"status": 207, "means": "done"}, {"means": "failed"}]

    assert [states({"items": [item("a@x")]}, "a@x", status=status, of_items=rules) for status in (207, 200)] == [
        ["done"],
        ["failed"],
    ]


def test_kept_is_what_the_item_has_and_what_the_answer_has() -> None:
    body = {"items": [item("a@x", id=7), item("b@x", "taken", job="j"), item("c@x", "error", id=9)], "trace": "t"}
    answers = [{"means": "items", "keep": {"trace": "trace"}}]
    found = judged(body, keep={"contactId": "id"}, answers=answers)[1]

    assert [outcome.kept for outcome in found] == [
        {"trace": "t", "contactId": 7},
        {"trace": "t", "contactId": None, "job": "j"},
        {"trace": "t", "contactId": 9},
    ]


def test_a_done_row_says_what_its_item_lacks() -> None:
    found = judged({"items": [item("a@x")]}, ("a@x",), keep={"contactId": "id"})[1]

    assert (found[0].state, found[0].reason) == ("done", "the answer has no id for this row")


def test_the_reason_of_a_refused_row_is_its_item_s() -> None:
    found = judged({"items": [item("a@x", "error", message="taken"), item("b@x", "error"), item("c@x")]})[1]

    assert found[0].reason == "taken"
    assert json.loads(found[0].excerpt) == item("a@x", "error", message="taken")
    assert found[1].reason


def test_the_item_s_row_stands_in_conditions() -> None:
    match, rules = {"index": "at"}, [{"when": "want == {n}", "means": "done"}, {"means": "failed"}]
    items = [{"at": 0, "want": 1}, {"at": 1, "want": 1}, {"at": 2, "want": 3}]

    assert states({"items": items}, match=match, of_items=rules) == ["done", "failed", "done"]


@pytest.mark.parametrize(("status", "more"), [(204, {}), (200, {"Content-Length": "0"})])
@pytest.mark.parametrize("missing", ["unknown", "done", "failed"])
def test_an_answer_that_has_no_body_speaks_of_no_row(status: int, more: dict[str, str], missing: str) -> None:
    assert states(b"", status=status, more=more, missing=missing) == [missing] * 3
    assert states(b"", status=status, more=more, missing=missing, match="position") == UNKNOWN


@pytest.mark.parametrize("body", [b"", b"{", b"plain"])
def test_an_answer_that_was_cut_or_is_no_json_decides_nothing(body: bytes) -> None:
    assert states(body, missing="done", more={"Content-Length": "99"}) == UNKNOWN


def test_an_answer_by_which_no_row_got_on_is_none_that_is_well() -> None:
    def kind(*states: str) -> str | None:
        items = [{"email": f"{at}@x", "status": status} for at, status in enumerate(states)]
        return trouble(adjusted(*judged({"items": items}, tuple(f"{at}@x" for at in range(len(states))))))

    assert [kind("busy", "busy"), kind("again"), kind("busy", "again")] == ["200", "200", "200"]
    assert [kind("busy", "ok"), kind("busy", "error"), kind("busy", "taken"), kind("ok")] == ["", "", "", ""]
