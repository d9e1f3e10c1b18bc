"""The steps of a row: which requests go, in which order, and what becomes of the row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx
import msgspec
import pytest

from flows.client.answer import understood
from flows.client.compiled import Compiled
from flows.client.exchange import NO_NOTE, Note, Progress, exchange
from flows.delivery.stepping import packed
from flows.pipeline.definition import Definition
from flows.records import Outcome, Parcel, Row

API = "https://api.example.com"
FIND = {
    "name": "find",
    "request": {"method": "GET", "url": API + "/contacts?email={email}"},
    "keep": {"id": "items[0].id", "found": "length(items)"},
}
CREATE = {
    "name": "create",
    "when": "find.found == `0`",
    "request": {"method": "POST", "url": API + "/contacts", "json": {"email": "{email}"}},
    "keep": {"id": "id", "createdId": "id"},
}
UPDATE = {
    "name": "update",
    "when": "find.found == `1`",
    "request": {"method": "PUT", "url": API + "/contacts/{find.id}", "json": {"was": "{find.id}"}},
}
MANY = {"name": "many", "when": "find.found > `1`", "means": "failed", "reason": "more than one"}
UPSERT = [FIND, CREATE, UPDATE, MANY]
ROW = Row(7, 9, {"email": "a@x", "n": 3})
KEY = "k" * 32


def compiled(steps: Sequence[dict[str, Any]] = UPSERT, secrets: dict[str, str] | None = None, **more: Any) -> Compiled:
    made = {
        "name": "x",
        "columns": {"email": {"type": "str"}, "n": {"type": "int"}},
        "steps": list(steps),
        "limit": {"name": "x", "in_flight": 1},
        **more,
    }
    return Compiled.of(Definition.model_validate(made), secrets or {})


def play(
    made: Compiled,
    *answers: Any,
    note: Note = NO_NOTE,
    row: Row = ROW,
    notes: list[Note] | None = None,
) -> tuple[list[httpx.Request], Outcome]:
    """The requests that went, each with one answer: its JSON, or (status, JSON or bytes)."""
    steps = exchange(made, Parcel((row,)), key=KEY, own_keys=[KEY], note=note)
    sent, left, noted = [], list(answers), [] if notes is None else notes
    try:
        request = next(steps)
        while True:
            if isinstance(request, Note):
                noted.append(request)
                request = steps.send(None)
                continue
            sent.append(request)
            answer = left.pop(0)
            status, body = answer if isinstance(answer, tuple) else (200, answer)
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            question, headers = request.extensions["question"], httpx.Headers({"content-type": "application/json"})
            request = steps.send(understood(status, headers, content, made.definition, question=question))
    except StopIteration as end:
        (outcome,) = end.value
        assert left == []
        return sent, outcome


def ways(sent: Sequence[httpx.Request]) -> list[str]:
    return [f"{request.method} {request.url.raw_path.decode()}" for request in sent]


GET = "GET /contacts?email=a%40x"


def test_nothing_found_is_created() -> None:
    sent, outcome = play(compiled(), {"items": []}, {"id": 5})

    assert ways(sent) == [GET, "POST /contacts"]
    assert (outcome.state, outcome.reason, outcome.kept) == ("done", "", {"id": 5, "found": 0, "createdId": 5})


def test_one_that_is_found_is_changed() -> None:
    sent, outcome = play(compiled(), {"items": [{"id": "a/b"}]}, {"id": "a/b"})

    assert ways(sent) == [GET, "PUT /contacts/a%2Fb"]
    assert json.loads(sent[1].content) == {"was": "a/b"}
    assert (outcome.state, outcome.kept) == ("done", {"id": "a/b", "found": 1})


def test_more_than_one_ends_the_row() -> None:
    sent, outcome = play(compiled(), {"items": [{"id": 1}, {"id": 2}]})

    assert ways(sent) == [GET]
    assert (outcome.state, outcome.reason, outcome.kept) == ("failed", "more than one", {"id": 1, "found": 2})


@pytest.mark.parametrize("answer", [{"items": 5}, {}, {"items": None}, (200, b""), (204, b"")])
def test_a_row_that_no_step_fits_is_failed(answer: Any) -> None:
    sent, outcome = play(compiled([FIND, CREATE, UPDATE]), answer)

    assert ways(sent) == [GET]
    assert (outcome.state, outcome.reason) == ("failed", "no step fitted")


def test_steps_without_conditions_all_go() -> None:
    plain = [{"name": name, "request": {"url": f"{API}/{name}"}, "keep": {name: "v"}} for name in ("a", "b", "c")]
    sent, outcome = play(compiled(plain), {"v": 1}, {"v": 2}, {"v": 3})

    assert ways(sent) == ["POST /a", "POST /b", "POST /c"]
    assert (outcome.state, outcome.kept) == ("done", {"a": 1, "b": 2, "c": 3})


def test_each_step_has_a_key_of_its_own_that_stays_the_same() -> None:
    plain = [{"name": name, "request": {"url": f"{API}/{name}"}} for name in ("a", "b")]
    first, again = (play(compiled(plain), {}, {})[0] for _ in range(2))
    keys = [request.headers["Idempotency-Key"] for request in first]

    assert keys == [request.headers["Idempotency-Key"] for request in again]
    assert len({KEY, *keys}) == 3


@pytest.mark.parametrize(
    ("when", "goes"),
    [
        ("row.n == `3`", True),
        ("row.n == {n}", True),
        ("row.email == 'a@x'", True),
        ("row.n > `3`", False),
        ("row.absent", False),
        ("length(row.n) == `1`", False),  # errs
        ("`0`", True),
        ("a.v", False),
        ("!(a.v)", True),
    ],
)
def test_conditions_see_the_row_and_what_is_kept(when: str, goes: bool) -> None:
    steps = [
        {"name": "a", "request": {"method": "GET", "url": API}, "keep": {"v": "v"}},
        {"name": "b", "when": when, "request": {"url": API + "/b"}},
        {"name": "c", "request": {"url": API + "/c"}},
    ]
    sent, outcome = play(compiled(steps), {}, {}, *([{}] if goes else []))

    assert ways(sent)[1:] == (["POST /b", "POST /c"] if goes else ["POST /c"])
    assert outcome.state == ("done" if goes else "failed")


def test_of_one_name_the_last_step_that_found_something_wins() -> None:
    steps = [
        {"name": name, "request": {"method": "GET", "url": f"{API}/{name}"}, "keep": {"id": "id"}} for name in "abc"
    ]

    assert play(compiled(steps), {"id": 1}, {"id": 2}, {})[1].kept == {"id": 2}
    assert play(compiled(steps), {}, {}, {})[1].kept == {"id": None}


def test_rules_of_a_step_are_asked_before_the_common_ones() -> None:
    common = [{"status": 422, "means": "failed", "reason": "'common'"}, {"status": 404, "means": "done"}]
    steps = [FIND, {**CREATE, "answers": [{"status": 422, "means": "retry", "reason": "'own'", "keep": {"why": "w"}}]}]
    made = compiled(steps, answers=common)

    _, outcome = play(made, {"items": []}, (422, {"w": 1}))
    assert (outcome.state, outcome.reason, outcome.again) == ("waiting", "step create: own", True)
    assert outcome.kept == {"id": None, "found": 0, "why": 1}
    assert play(made, (422, {}))[1].reason == "step find: common"
    assert play(made, {"items": []}, (404, {}))[1].state == "done"


@pytest.mark.parametrize(
    ("answer", "state", "again"),
    [
        ((500, {}), "waiting", True),
        ((502, b""), "waiting", True),
        ((503, {}), "waiting", True),
        ((200, b'{"items": '), "waiting", True),
        ((429, {}), "waiting", True),
        ((404, {}), "failed", False),
    ],
)
def test_a_read_that_says_nothing_is_asked_again(answer: Any, state: str, again: bool) -> None:
    reads = compiled([FIND])
    _, outcome = play(reads, answer)

    assert (outcome.state, outcome.again) == (state, again)


def test_a_lookup_that_cannot_be_read_creates_nothing() -> None:
    create = {**CREATE, "when": "!(find.id)"}
    for answers in ([], [{"status": 200, "means": "done"}]):
        sent, outcome = play(compiled([{**FIND, "answers": answers}, create]), (200, b'{"items": [{"id": 1'))

        assert ways(sent) == [GET]
        assert outcome.reason == (
            "step find: the API said 200, but the answer is no valid JSON: what it says cannot be read"
        )


def test_a_write_that_says_nothing_is_unknown() -> None:
    _, outcome = play(compiled(), {"items": []}, (500, {}))

    assert (outcome.state, outcome.again, outcome.kept) == ("unknown", False, {"id": None, "found": 0})
    assert outcome.reason.startswith("step create: status 500")
    assert play(compiled(idempotent=True), {"items": []}, (500, {}))[1].again


@pytest.mark.parametrize(("method", "writes", "is_write"), [("GET", None, False), ("HEAD", None, False), ("POST", None, True), ("POST", False, False), ("GET", True, True), ("DELETE", None, True)])  # noqa: E501  # fmt: skip
def test_which_steps_write(method: str, writes: bool | None, is_write: bool) -> None:
    step = {"name": "a", "request": {"method": method, "url": API}} | ({} if writes is None else {"writes": writes})
    notes: list[Note] = []
    sent, outcome = play(compiled([step]), (500, {}), notes=notes)

    assert notes == [Note(Progress(), Progress())] * is_write
    assert sent[0].extensions["question"].reads is not is_write
    assert outcome.state == ("unknown" if is_write else "waiting")


def test_a_write_is_told_before_it_goes_and_once_it_is_answered() -> None:
    tag = {"name": "tag", "request": {"url": API + "/tags"}}
    notes: list[Note] = []
    play(compiled([FIND, CREATE, UPDATE, tag]), {"items": []}, {"id": 5}, {}, notes=notes)

    found = {"find": {"id": None, "found": 0}}
    created = Progress(2, {**found, "create": {"id": 5, "createdId": 5}}, fitted=True)
    assert notes == [
        Note(Progress(), Progress(1, found, fitted=True)),
        Note(created),
        Note(created, Progress(3, created.known, fitted=True)),
    ]


def test_a_row_goes_on_after_its_last_answered_write() -> None:
    steps = [FIND, CREATE, {"name": "tag", "request": {"url": API + "/tags/{create.id}"}, "keep": {"tag": "t"}}]
    known = {"find": {"id": None, "found": 0}, "create": {"id": 5, "createdId": 5}}
    sent, outcome = play(compiled(steps), {"t": 1}, note=Note(Progress(2, known, fitted=True)))

    assert ways(sent) == ["POST /tags/5"]
    assert (outcome.state, outcome.kept) == ("done", {"id": 5, "found": 0, "createdId": 5, "tag": 1})


def test_a_row_in_doubt_sends_that_very_write_again_without_looking() -> None:
    known = {"find": {"id": None, "found": 0}}
    sent, _ = play(compiled(), {"id": 5}, note=Note(Progress(), Progress(1, known, fitted=True)))

    assert ways(sent) == ["POST /contacts"]


def test_a_value_that_was_not_stored_as_it_was_is_sent_nowhere() -> None:
    known = {"find": {"id": "••••-7", "found": 1}}
    for note, state in (
        (Note(Progress(2, known, fitted=True, lossy=True)), "failed"),
        (Note(Progress(), Progress(2, known, fitted=True, lossy=True)), "unknown"),
    ):
        sent, outcome = play(compiled(), note=note)
        assert (sent, outcome.state) == ([], state)
        assert outcome.reason.startswith("a value that an earlier step kept holds a secret or is too long")


def test_what_goes_on_to_the_next_step_is_what_the_api_said() -> None:
    long = "x" * 3000
    attach = {"name": "attach", "request": {"url": API + "/{make.id}", "json": {"to": "{make.url}"}}}
    make = {"name": "make", "request": {"url": API}, "keep": {"id": "id", "url": "url"}}
    sent, outcome = play(compiled([make, attach], secrets={"T": "acme"}), {"id": "acme-7", "url": long}, {})

    assert (ways(sent)[1], json.loads(sent[1].content)) == ("POST /acme-7", {"to": long})
    assert (outcome.kept["id"], len(outcome.kept["url"])) == ("••••-7", 2001)


def test_a_row_that_went_through_a_condition_before_has_fitted_one() -> None:
    steps = [FIND, CREATE, {"name": "tag", "request": {"url": API + "/tags"}}]

    assert play(compiled(steps), {}, note=Note(Progress(2, {}, fitted=True)))[1].state == "done"
    assert play(compiled(steps), {}, note=Note(Progress(2, {})))[1].reason == "no step fitted"


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ({**UPDATE, "when": "`1`"}, "step update: find.id was not in the answer; it was not sent"),
        (
            {"name": "bad", "request": {"url": API + "/x", "headers": {"X-Mail": "{email}\n"}}},
            "step bad: header X-Mail: only printable ASCII can stand in a header, not a line break or what column "
            "email holds; it was not sent",
        ),
    ],
)
def test_a_step_that_makes_no_request_ends_the_row(step: dict[str, Any], why: str) -> None:
    sent, outcome = play(compiled([FIND, step]), {"items": []})

    assert ways(sent) == [GET]
    assert (outcome.state, outcome.reason, outcome.kept) == ("failed", why, {"id": None, "found": 0})


def test_a_row_whose_first_step_makes_no_request_sends_nothing() -> None:
    step = {"name": "bad", "request": {"url": API + "/{email}"}}
    sent, outcome = play(compiled([step]), row=Row(1, 2, {"email": "..", "n": 1}))

    assert (sent, outcome.state) == ([], "failed")


@pytest.mark.parametrize("means", ["done", "failed", "unknown"])
def test_a_step_may_end_the_row_as_it_says(means: str) -> None:
    sent, outcome = play(compiled([FIND, {"name": "end", "when": "find.found == `1`", "means": means}, CREATE]), {"items": [{"id": 1}]})  # noqa: E501  # fmt: skip

    assert (len(sent), outcome.state) == (1, means)


@pytest.mark.parametrize("means", ["failed", "unknown", "retry", "wait", "stop", "ban"])
def test_any_other_meaning_of_a_step_s_answer_is_the_row_s(means: str) -> None:
    made = compiled([{**FIND, "answers": [{"when": "no", "means": means}]}, CREATE])
    sent, outcome = play(made, {"no": 1})

    states = {"retry": "waiting", "wait": "waiting", "stop": "waiting", "ban": "unknown"}
    assert (len(sent), outcome.state) == (1, states.get(means, means))
    assert outcome.counts is (means != "wait")


@pytest.mark.parametrize(
    ("keep", "kept", "reason"),
    [
        ({"kind": "header:Content-Type"}, {"kind": "application/json"}, ""),
        ({"id": "id"}, {"id": None}, "the API said 204, but nothing was kept of it"),
        (
            {"kind": "header:Content-Type", "id": "id"},
            {"kind": "application/json", "id": None},
            "the API said 204, but only headers were kept of it",
        ),
    ],
)
def test_a_step_keeps_a_header_of_an_answer_without_a_body(
    keep: dict[str, str], kept: dict[str, Any], reason: str
) -> None:
    step = {"name": "create", "request": {"url": API + "/contacts"}, "keep": keep}

    _, outcome = play(compiled([step]), (204, b""))

    assert (outcome.state, outcome.kept, outcome.reason) == ("done", kept, reason)


def test_secrets_that_an_api_repeats_are_not_kept() -> None:
    steps = [{**FIND, "keep": {"echo": "echo"}}, {"name": "b", "request": {"url": API, "json": "{find.echo}"}}]
    made, notes = compiled(steps, secrets={"KEY": "geheimnis"}), list[Note]()
    sent, outcome = play(made, {"echo": "a geheimnis"}, {}, notes=notes)

    assert "geheimnis" not in str(outcome.kept)
    assert json.loads(sent[1].content) == "a geheimnis"  # the API gets what it said, and nobody else
    stored = [packed(note, made) for note in notes]
    assert not any(b"geheimnis" in each for each in stored)
    assert msgspec.msgpack.decode(stored[0], type=Note).open == Progress(1, {"find": {"echo": "a ••••"}}, lossy=True)
