"""Whole deliveries to an API that says how much it still takes: the pace follows that, as the API itself counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from flows.ledger.connection import connect
from flows.limit.script import Keys
from flows.records import RowState, RunState
from tests.harness.receiver import worst
from tests.harness.scripted import Answer
from tests.harness.scripted_api import Asked, delivered, scripted

LEFT = 10  # requests that it takes after the first one
RATE = 20
LIMIT = {"requests": RATE, "window_seconds": 1}
Headers = Callable[[int, float], dict[str, str]]
"""(what remains, seconds to the reset) → as an API says it."""


def standard(left: int, seconds: float) -> dict[str, str]:
    return {"RateLimit-Policy": '"burst";q=11;w=30', "RateLimit": f'"burst";r={left};t={seconds:.2f}'}


def customary(left: int, seconds: float) -> dict[str, str]:
    return {"X-RateLimit-Remaining": str(left), "X-RateLimit-Reset": f"{time.time() + seconds:.2f}"}


def of_its_own(left: int, seconds: float) -> dict[str, str]:
    return {"Calls-Left": str(left), "Calls-Until-Ms": f"{1000 * seconds:.0f}"}


FORMS = {
    "standard": (standard, "standard"),
    "X-RateLimit": (customary, "standard"),
    "of its own": (of_its_own, {"remaining": "Calls-Left", "reset": "Calls-Until-Ms"}),
}


@dataclass
class Quota:
    """So many requests until a moment, then as many as anybody likes: it refuses more, and says what is left."""

    seconds: float
    say: Headers
    began: float = 0.0
    arrived: list[float] = field(default_factory=list)
    refused: int = 0

    def answer(self, asked: Asked) -> Answer:
        """201, with what remains."""
        self.began = self.began or asked.at
        self.arrived.append(asked.at)
        to_reset = self.began + self.seconds - time.monotonic()
        if to_reset <= 0:
            return 201, {"id": 1}
        left = LEFT + 1 - len(self.arrived)
        if left < 0:
            self.refused += 1
            return 429, {"error": "too many"}, {"Retry-After": "1"}
        return 201, {"id": 1}, self.say(left, to_reset)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seconds", [6.0, pytest.param(30.0, marks=pytest.mark.slow)])
def test_what_remains_until_the_reset_is_spread_over_the_time(
    tmp_path: Path, redis_url: str, form: str, seconds: float
) -> None:
    """Under way are two at most, so that hardly more than these can have left before the first answer was heard."""
    say, slow_by = FORMS[form]
    quota, rows = Quota(seconds, say), 2 * LEFT
    given = {"request": {"timeout_seconds": 2}, "slow_by": slow_by, "limit": {**LIMIT, "in_flight": 2}}
    with scripted(quota.answer) as api:
        given["request"]["url"] = api.url
        ended = delivered(redis_url, tmp_path, given, [f"{row}@a.example" for row in range(rows)])

    since = [at - quota.began for at in quota.arrived]
    gap = seconds / LEFT
    inside = [at for at in since if at < seconds]
    print(f"\n{form}, {seconds:g} s: {len(inside) - 1} of {LEFT}, at {' '.join(f'{at:.1f}' for at in since)}")
    assert (ended.state, ended.counts[RowState.DONE], quota.refused) == (RunState.FINISHED, rows, 0)
    # Lateness is harmless, and only that may be: each comes when its turn is, or later.
    assert [at for turn, at in enumerate(inside[3:], 1) if at < 0.85 * turn * gap] == []
    assert len(inside) >= LEFT // 2, "it does not wait for the reset either"
    assert len(since) > len(inside), "nothing was left for after the reset, so this proves nothing"
    assert ended.facts.held_by.get("slowed", 0.0) > seconds / 2


ABSURD: list[dict[str, str]] = [
    {"RateLimit-Remaining": "-1", "RateLimit-Reset": "30"},
    {"RateLimit-Remaining": "0", "RateLimit-Reset": "-30"},
    {"RateLimit-Remaining": "0", "RateLimit-Reset": "0"},
    {"RateLimit-Remaining": "0", "RateLimit-Reset": "86400"},
    {"RateLimit-Remaining": "1", "RateLimit-Reset": "soon"},
    {"RateLimit-Remaining": "nan", "RateLimit-Reset": "30"},
    {"RateLimit-Remaining": "1"},
    {"RateLimit-Reset": "30"},
    {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": formatdate(0, usegmt=True)},
    {"X-RateLimit-Remaining": "1, 1000", "X-RateLimit-Reset": "30"},
    {"X-RateLimit-Remaining": "1e99", "X-RateLimit-Reset": "1.5"},
    {"X-RateLimit-Remaining": "100000", "X-RateLimit-Reset": "2"},  # it may go faster, and does not
    {"RateLimit": '"burst";r=;t=30'},
    {"RateLimit": "1" * 2000},
    {"RateLimit-Policy": '"burst";q=1;w=3600'},
]


def test_headers_that_are_wrong_or_absurd_change_nothing(tmp_path: Path, redis_url: str) -> None:
    headers = cycle(ABSURD)
    given: dict[str, Any] = {"request": {"timeout_seconds": 2}, "slow_by": "standard", "limit": LIMIT}
    with scripted(lambda asked: (201, {"id": 1}, next(headers))) as api:
        given["request"]["url"] = api.url
        ended = delivered(redis_url, tmp_path, given, [f"{row}@a.example" for row in range(3 * len(ABSURD))])
    slowed = connect(redis_url).hmget(Keys.of("scripted").state, "slow_gap", "slow_until")

    assert (ended.state, ended.counts[RowState.DONE]) == (RunState.FINISHED, 3 * len(ABSURD))
    assert worst([asked.at for asked in api.log], 1.0) <= RATE
    assert slowed == [b"0", b"0"]
    assert "slowed" not in ended.facts.held_by
