"""Deliveries to APIs that answer oddly, of which every one comes to an end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flows.records import RowState
from tests.harness.scripted_api import Asked, delivered, patient, scripted

RESENT: dict[str, Any] = {"batch": {"rows": 4}, "limit": {"in_flight": 1}}


def test_a_half_in_doubt_that_is_refused_fails_and_the_others_are_sent(redis_url: str, tmp_path: Path) -> None:
    timed_out: set[str] = set()

    def answer(asked: Asked) -> Sequence[Any]:
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

    def lost(asked: Asked) -> Sequence[Any]:
        time.sleep(0.6)
        return 200, {}

    def answer(asked: Asked) -> Sequence[Any]:
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
