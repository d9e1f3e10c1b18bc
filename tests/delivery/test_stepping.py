"""Steps, reconciliation and polls against an API that does what hurts: every row ends as the API has it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from flows.ledger.connection import connect
from flows.ledger.keys import run_key
from tests.harness.scripted import Answer, scripted

EMAILS: dict[str, Any] = {"columns": {"email": {"type": "str"}, "n": {"type": "int", "optional": True}}}


def upsert(url: str) -> dict[str, Any]:
    """Find, then create or update."""
    find = {"name": "find", "request": {"method": "GET", "url": url + "/f"}, "keep": {"found": "length(items)"}}
    create = {"name": "create", "when": "find.found == `0`", "request": {"url": url + "/c"}}
    update = {"name": "update", "when": "find.found > `0`", "request": {"method": "PUT", "url": url + "/c"}}
    return {**EMAILS, "key": ["email"], "steps": [find, create, update]}


def test_a_write_that_has_to_wait_is_looked_up_again(tmp_path: Path, redis_url: str) -> None:
    made: list[int] = []
    waits = [429]

    def answer(method: str, path: str, body: bytes) -> Answer:
        if method == "GET":
            return 200, {"items": made}
        if waits:
            return waits.pop(), {}, {"Retry-After": "1"}
        if method == "POST":
            made.append(1)
        return 200, {}

    with scripted(tmp_path, redis_url, answer) as api:
        counts = api.deliver(upsert(api.url), [{"email": "a", "n": 1}, {"email": "a", "n": 2}])

    assert (counts, len(made)) == ({"done": 2}, 1)
    assert api.asked.count("PUT /c") == 1


def test_a_refused_write_that_a_person_sends_again_is_looked_up_again(tmp_path: Path, redis_url: str) -> None:
    there: list[int] = []

    def answer(method: str, path: str, body: bytes) -> Answer:
        if method == "POST":
            there.append(1)
            return 422, {"message": "there is one already"}
        return 200, {"items": there}

    with scripted(tmp_path, redis_url, answer) as api:
        assert api.deliver(upsert(api.url), [{"email": "a", "n": 1}]) == {"failed": 1}
        assert api.deliver(upsert(api.url), [{"email": "a", "n": 1}], rows="failed", request="q") == {"done": 1}

    assert api.asked == ["GET /f", "POST /c", "GET /f", "PUT /c"]


def test_rows_of_a_key_wait_for_each_other_however_long_the_limit_takes(tmp_path: Path, redis_url: str) -> None:
    made: list[int] = []

    def answer(method: str, path: str, body: bytes) -> Answer:
        if method == "POST":
            made.append(1)
        return 200, {"items": made}

    slow = {"name": "scripted", "requests": 1, "window_seconds": 1.5, "in_flight": 2}
    with scripted(tmp_path, redis_url, answer) as api:
        definition = {**upsert(api.url), "limit": slow}
        for step in definition["steps"]:
            step["request"]["timeout_seconds"] = 0.3  # the hold of a key would lapse before the next permit
        counts = api.deliver(definition, [{"email": "a", "n": 1}, {"email": "a", "n": 2}])

    assert (counts, len(made)) == ({"done": 2}, 1)


def test_an_answered_write_is_not_repeated_though_the_run_was_cancelled_meanwhile(
    tmp_path: Path, redis_url: str
) -> None:
    def answer(method: str, path: str, body: bytes) -> Answer:
        if path == "/create":
            connect(redis_url).hset(run_key("scripted"), "cancel", "somebody")
            time.sleep(0.2)
        return 200, {"id": 7}

    with scripted(tmp_path, redis_url, answer) as api:
        create = {"name": "create", "request": {"url": api.url + "/create"}, "keep": {"id": "id"}}
        attach = {"name": "attach", "request": {"url": api.url + "/attach/{create.id}"}}
        definition = {**EMAILS, "steps": [create, attach]}
        assert api.deliver(definition, [{"email": "a", "n": 1}]) == {"waiting": 1}
        assert api.deliver(definition, [{"email": "a", "n": 1}]) == {"done": 1}

    assert api.asked == ["POST /create", "POST /attach/7"]


def test_what_is_reconciled_goes_on_to_the_steps_behind_it(tmp_path: Path, redis_url: str) -> None:
    def answer(method: str, path: str, body: bytes) -> Answer:
        if path == "/create":
            time.sleep(1)
        return 200, {"id": 7}

    with scripted(tmp_path, redis_url, answer) as api:
        request = {"url": api.url + "/create", "timeout_seconds": 0.3}
        attach = {"name": "attach", "request": {"url": api.url + "/attach/{create.id}"}}
        counts = api.deliver(
            {
                **EMAILS,
                "steps": [{"name": "create", "request": request, "keep": {"id": "id"}}, attach],
                "reconcile": {
                    "request": {"method": "GET", "url": api.url + "/f?e={email}"},
                    "after_seconds": 0,
                    "answers": [{"when": "id", "means": "done", "keep": {"id": "id"}}],
                },
            },
            [{"email": "a", "n": 1}],
        )

    assert counts == {"done": 1}
    assert api.asked == ["POST /create", "GET /f?e=a", "POST /attach/7"]


def test_a_ban_that_a_question_meets_says_nothing_of_the_row(tmp_path: Path, redis_url: str) -> None:
    def answer(method: str, path: str, body: bytes) -> Answer:
        if method == "POST":
            time.sleep(1)
        return 403, {"message": "blocked"}

    with scripted(tmp_path, redis_url, answer) as api:
        counts = api.deliver(
            {
                **EMAILS,
                "limit": {"name": "banned", "in_flight": 2, "grace_seconds": 0.2},
                "request": {"url": api.url + "/x", "timeout_seconds": 0.3},
                "reconcile": {
                    "request": {"method": "GET", "url": api.url + "/f?e={email}"},
                    "after_seconds": 0,
                    "answers": [{"when": "id", "means": "done"}, {"status": 403, "means": "ban"}],
                },
            },
            [{"email": "a", "n": 1}],
        )

    assert counts == {"unknown": 1}
    assert "shut us out" in api.reason


def test_a_report_that_grows_speaks_of_places_in_the_whole_parcel(tmp_path: Path, redis_url: str) -> None:
    looks: list[int] = []

    def answer(method: str, path: str, body: bytes) -> Answer:
        if method == "POST":
            return 202, {"job": "j"}
        looks.append(1)
        states = ["ok", "pending", "pending"] if len(looks) == 1 else ["ok", "ok", "bad"]
        return 200, {"results": [{"i": at, "s": state, "why": "bad phone"} for at, state in enumerate(states)]}

    with scripted(tmp_path, redis_url, answer) as api:
        counts = api.deliver(
            {
                **EMAILS,
                "request": {"url": api.url + "/x"},
                "batch": {"rows": 10},
                "answers": [{"status": 202, "means": "accepted", "keep": {"job": "job"}}],
                "poll": {
                    "request": {"method": "GET", "url": api.url + "/j/{job}"},
                    "every_seconds": 1,
                    "answers": [{"when": "results", "means": "items"}, {"means": "accepted"}],
                    "items": "results",
                    "match": {"index": "i"},
                    "item_answers": [
                        {"when": "s == 'bad'", "means": "failed", "reason": "why"},
                        {"when": "s == 'ok'", "means": "done"},
                        {"means": "accepted"},
                    ],
                },
            },
            [{"email": f"a{n}", "n": n} for n in (1, 2, 3)],
            wait=True,
        )

        assert counts == {"done": 2, "failed": 1}
        assert [(str(each.state), each.reason) for each in api.records([2, 3])] == [
            ("done", ""),
            ("failed", "bad phone"),
        ]
