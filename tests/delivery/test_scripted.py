"""Deliveries to APIs that answer oddly, of which every one comes to an end."""

from __future__ import annotations

import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flows.delivery.delivery import Delivery
from flows.ledger.connection import connect
from flows.ledger.keys import run_key
from flows.ledger.ledger import Ledger
from flows.ledger.view import View
from flows.records import RowState, RunState
from tests.harness.scripted import Answer
from tests.harness.scripted_api import Asked, delivered, patient, scripted
from tests.harness.wait import wait_until

RESENT: dict[str, Any] = {"batch": {"rows": 4}, "limit": {"in_flight": 1}}


def test_a_half_in_doubt_that_is_refused_fails_and_the_others_are_sent(redis_url: str, tmp_path: Path) -> None:
    timed_out: set[str] = set()

    def answer(asked: Asked) -> Answer:
        if len(asked.body) == 2 and "r1" in asked.values and not timed_out:
            timed_out.add(asked.key)
            time.sleep(1.0)
        return (400, {"message": "bad row"}) if "r1" in asked.values else (200, {})

    with scripted(answer) as api:
        definition = {
            "request": {"url": api.url, "timeout_seconds": 0.4},
            "batch": {"rows": 4},
            "idempotent": True,
        }
        run = patient(partial(delivered, redis_url, tmp_path, definition, ["r1", "r2", "r3", "r4"]), seconds=15)

    sent = Counter(",".join(asked.values) for asked in api.log)
    assert sent == {"r1,r2,r3,r4": 1, "r1,r2": 2, "r3,r4": 1}
    assert (run.counts[RowState.DONE], run.counts[RowState.FAILED]) == (2, 2)


def test_a_parcel_that_a_person_asked_for_stays_whole_though_the_api_says_later(redis_url: str, tmp_path: Path) -> None:
    later: set[str] = set()
    emails = [f"r{row}" for row in range(1, 11)]

    def lost(asked: Asked) -> Answer:
        time.sleep(0.6)
        return 200, {}

    def answer(asked: Asked) -> Answer:
        if asked.key in later:
            return 200, {}
        later.add(asked.key)
        return 429, {}, {"Retry-After": "1"}

    with scripted(lost) as api:
        definition = {"request": {"url": api.url, "timeout_seconds": 0.3}, **RESENT}
        run = patient(partial(delivered, redis_url, tmp_path, definition, emails), seconds=15)
        assert run.counts[RowState.UNKNOWN] == 10
        parcels = {asked.key: asked.values for asked in api.log}
        api.answer = answer
        again = partial(delivered, redis_url, tmp_path, definition, emails, rows="unknown", request="q")
        run = patient(again, seconds=20)

    assert run.counts[RowState.DONE] == 10
    assert {asked.key: asked.values for asked in api.log} == parcels
    assert sorted(map(len, parcels.values())) == [2, 4, 4]


NOBODY = "http://127.0.0.1:9"


def test_a_run_ends_where_the_api_that_is_asked_about_jobs_cannot_be_reached(redis_url: str, tmp_path: Path) -> None:
    with scripted(lambda asked: (202, {"job": "j"})) as api:
        definition = {
            "request": {"url": api.url},
            "answers": [{"status": 202, "means": "accepted", "keep": {"job": "job"}}],
            "poll": {
                "request": {"method": "GET", "url": NOBODY + "/j/{job}"},
                "answers": [{"when": "a", "means": "done"}, {"means": "accepted"}],
            },
            "stop_after": 3,
        }
        run = patient(partial(delivered, redis_url, tmp_path, definition, ["a"]), seconds=20)

    assert (run.state, run.counts[RowState.ACCEPTED]) == (RunState.STOPPED, 1)
    assert "no connection ×3" in run.reason
    assert "127.0.0.1:9 could not be reached" in run.reason


def test_a_run_ends_where_the_host_of_a_later_step_cannot_be_reached(redis_url: str, tmp_path: Path) -> None:
    with scripted(lambda asked: (200, {"id": 1})) as api:
        definition = {
            "steps": [
                {"name": "find", "request": {"method": "GET", "url": api.url}, "keep": {"id": "id"}},
                {"name": "put", "request": {"method": "PUT", "url": NOBODY + "/c/{find.id}"}},
            ],
            "stop_after": 4,
        }
        run = patient(partial(delivered, redis_url, tmp_path, definition, ["a"]), seconds=20)

    assert (run.state, run.counts[RowState.WAITING]) == (RunState.STOPPED, 1)
    assert "no connection ×4" in run.reason
    assert len(api.log) <= 4


@pytest.mark.parametrize("wish", ["cancel", "drain"])
def test_who_asks_hears_that_nothing_more_is_to_be_sent(redis_url: str, tmp_path: Path, wish: str) -> None:
    begun: list[Delivery] = []
    at: list[float] = []

    def end() -> None:
        at.append(time.monotonic())
        if wish == "drain":
            begun[0].drain()
        else:
            connect(redis_url).hset(run_key("r1"), "cancel", "somebody")

    def answer(asked: Asked) -> Answer:
        if asked.method == "POST":
            time.sleep(0.6)
            return 200, {}
        threading.Timer(0.5, end).start()
        return 429, {}, {"Retry-After": "600"}

    with scripted(answer) as api:
        definition = {
            "request": {"url": api.url, "timeout_seconds": 0.3},
            "reconcile": {
                "request": {"method": "GET", "url": api.url + "?e={email}"},
                "after_seconds": 0,
                "answers": [{"when": "id", "means": "done"}],
            },
        }
        run = patient(partial(delivered, redis_url, tmp_path, definition, ["a"], act=begun.append), seconds=20)

    assert time.monotonic() - at[0] < 5
    assert run.counts[RowState.UNKNOWN] == 1


def test_who_waits_to_ask_hears_that_nothing_more_is_to_be_sent(redis_url: str, tmp_path: Path) -> None:
    def end() -> None:
        connect(redis_url).hset(run_key("r1"), "cancel", "somebody")

    def answer(asked: Asked) -> Answer:
        threading.Timer(1.5, end).start()  # when its time is over, and it is waited for the time to ask
        time.sleep(0.6)
        return 200, {}

    with scripted(answer) as api:
        definition = {
            "request": {"url": api.url, "timeout_seconds": 0.3},
            "reconcile": {
                "request": {"method": "GET", "url": api.url + "?e={email}"},
                "after_seconds": 600,
                "answers": [{"when": "id", "means": "done"}],
            },
        }
        run = patient(partial(delivered, redis_url, tmp_path, definition, ["a"]), seconds=30)

    assert run.counts[RowState.UNKNOWN] == 1
    assert [asked.method for asked in api.log] == ["POST"]


def test_rows_of_one_key_never_travel_together_nor_at_once(redis_url: str, tmp_path: Path) -> None:
    under_way: list[str] = []
    together: list[list[str]] = []

    def answer(asked: Asked) -> Answer:
        under_way.extend(asked.values)
        together.append(list(under_way))
        time.sleep(0.3)
        for value in asked.values:
            under_way.remove(value)
        return 200, {}

    with scripted(answer) as api:
        definition = {
            "key": ["email"],
            "request": {"url": api.url},
            "batch": {"rows": 10},
            "reconcile": {
                "request": {"method": "GET", "url": api.url + "?e={email}"},
                "answers": [{"when": "id", "means": "done"}],
            },
        }
        emails = ["a", "b", "a", "c", "b", "d"]
        run = patient(partial(delivered, redis_url, tmp_path, definition, emails), seconds=20)

    assert run.counts[RowState.DONE] == 6
    assert sorted(asked.values for asked in api.log) == [["a", "b"], ["a", "c", "b", "d"]]
    assert all(len(set(each)) == len(each) for each in together)


def test_rows_that_others_settle_meanwhile_do_not_keep_the_rest_from_being_asked_about(
    redis_url: str, tmp_path: Path
) -> None:
    lookups: list[str] = []
    first = threading.Lock()

    def answer(asked: Asked) -> Answer:
        if asked.method == "POST":
            time.sleep(1.0)
            return 200, {}
        with first:
            if not lookups:
                unknown = partial(View(connect(redis_url)).run, "r1")
                wait_until(lambda: unknown().counts[RowState.UNKNOWN] == 1050, what="the last time-out to be recorded")
                assert Ledger(connect(redis_url)).mark_done("r1", range(501, 1001), by="somebody") == 500
            lookups.append(asked.path)
        return 200, {"id": 1}

    with scripted(answer) as api:
        definition = {
            "request": {"url": api.url, "timeout_seconds": 0.5},
            "batch": {"rows": 400},
            "reconcile": {
                "request": {"method": "GET", "url": api.url + "/{email}"},
                "after_seconds": 0,
                "answers": [{"when": "id", "means": "done"}],
            },
        }
        emails = [f"r{row}" for row in range(1, 1051)]
        run = patient(partial(delivered, redis_url, tmp_path, definition, emails), seconds=60)

    assert run.counts[RowState.DONE] == 1050
    assert len(lookups) == 550


def test_a_run_that_is_resumed_does_not_wait_for_the_next_look(redis_url: str, tmp_path: Path) -> None:
    with scripted(lambda asked: (202, {"job": "j"}) if asked.method == "POST" else (200, {})) as api:
        definition = {
            "request": {"url": api.url},
            "answers": [{"status": 202, "means": "accepted", "keep": {"job": "job"}}],
            "poll": {
                "request": {"method": "GET", "url": api.url + "/j/{job}"},
                "every_seconds": 3600,
                "answers": [{"when": "d", "means": "done"}, {"means": "accepted"}],
            },
        }
        for _ in range(2):
            run = patient(partial(delivered, redis_url, tmp_path, definition, ["a"]), seconds=15)
            assert run.counts[RowState.ACCEPTED] == 1

    assert [asked.method for asked in api.log] == ["POST", "GET"]


def test_accepted_rows_of_a_job_without_a_name_or_without_an_end_are_unknown(redis_url: str, tmp_path: Path) -> None:
    def answer(asked: Asked) -> Answer:
        if asked.method == "POST":
            return 202, {"job": "j"} if asked.values == ["endless"] else {}
        return 200, {}

    with scripted(answer) as api:
        definition = {
            "request": {"url": api.url},
            "answers": [{"status": 202, "means": "accepted", "keep": {"job": "job"}}],
            "poll": {
                "request": {"method": "GET", "url": api.url + "/j/{job}"},
                "until": {"hours": 1e-9},
                "answers": [{"when": "d", "means": "done"}, {"means": "accepted"}],
            },
        }
        run = patient(partial(delivered, redis_url, tmp_path, definition, ["endless", "nameless"]), seconds=15)

    assert run.counts[RowState.UNKNOWN] == 2
    records = View(connect(redis_url)).records("r1", [1, 2], names=("job",), created=run.created)
    assert "has not decided within 1e-09 hours" in records[0].reason
    assert "did not name the job" in records[1].reason
