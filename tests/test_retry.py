"""What follows from one attempt."""

from __future__ import annotations

import random

import pytest

from flows.client import retry
from flows.records import RowState, Verdict

REFUSED = Verdict(RowState.WAITING, "connection refused", wrote=False, again=True)
TOO_MANY = Verdict(RowState.WAITING, "too many requests", status=429, again=True, pause_seconds=2.0)
TIMED_OUT = Verdict(RowState.UNKNOWN, "no answer in time")


def decide(verdict: Verdict, *, attempts: int = 1, elapsed: float = 0.0) -> tuple[Verdict, float | None]:
    return retry.after(
        verdict, attempts=attempts, elapsed_seconds=elapsed, most=4, most_seconds=60, rng=random.Random(1)
    )


def test_an_attempt_without_effect_is_repeated_after_a_growing_random_wait() -> None:
    rng = random.Random(7)

    waits = [max(retry.backoff(n, rng) for _ in range(500)) for n in (1, 3, 9)]
    shortest = [min(retry.backoff(n, rng) for _ in range(500)) for n in (1, 3, 9)]

    assert waits[0] <= 1.0 < waits[1] <= 4.0 < waits[2] <= retry.CAP_SECONDS
    assert max(shortest) < 0.5  # full jitter: from nothing on
    assert decide(REFUSED)[1] is not None


def test_waits_are_spread_from_nothing_to_the_most() -> None:
    """Rows that failed together must not come back together."""
    waits = sorted(retry.backoff(5, random.Random(seed)) for seed in range(200))

    assert waits[0] < 1.0 < 15.0 < waits[-1] <= 16.0


def test_a_row_waits_at_least_as_long_as_the_api_asks() -> None:
    assert (decide(TOO_MANY)[1] or 0) >= 2.0


def test_the_time_that_the_api_asks_for_does_not_use_up_a_row_s_seconds() -> None:
    verdict, wait = decide(Verdict(RowState.WAITING, "too many requests", status=429, again=True, pause_seconds=120.0))

    assert (verdict.state, wait) == (RowState.WAITING, 120.0)


@pytest.mark.parametrize(("attempts", "elapsed"), [(4, 0.0), (2, 60.0)])
def test_a_row_without_effect_fails_when_its_attempts_or_seconds_are_used_up(attempts: int, elapsed: float) -> None:
    verdict, wait = decide(REFUSED, attempts=attempts, elapsed=elapsed)

    assert (verdict.state, wait) == (RowState.FAILED, None)
    assert verdict.reason == f"connection refused; tried {attempts} times"


def test_a_lost_answer_stays_unknown_unless_the_api_is_idempotent() -> None:
    assert decide(TIMED_OUT) == (TIMED_OUT, None)
    again = Verdict(RowState.UNKNOWN, "no answer in time", again=True)
    verdict, wait = decide(again)
    assert verdict.state is RowState.UNKNOWN
    assert wait is not None
    assert decide(again, attempts=4) == (again, None)


def test_a_stale_permit_is_no_attempt() -> None:
    stale = Verdict(RowState.WAITING, "permit too old", wrote=False, attempted=False)

    assert decide(stale, attempts=4, elapsed=999) == (stale, 0.0)


@pytest.mark.parametrize(
    ("verdict", "kind"),
    [
        (Verdict(RowState.DONE, status=200), ""),
        (Verdict(RowState.FAILED, "wrong", status=422), ""),
        (Verdict(RowState.FAILED, "unknown token", status=401), "401"),
        (Verdict(RowState.UNKNOWN, "the API failed", status=500), "500"),
        (TOO_MANY, "429"),
        (Verdict(RowState.UNKNOWN, "no JSON", status=200), "200"),
        (Verdict(RowState.FAILED, "moved", status=301), "301"),
        (REFUSED, "connection refused"),
        (Verdict(RowState.FAILED, "JSON cannot hold this; nothing was sent", wrote=False), None),
        (Verdict(RowState.WAITING, "stale", wrote=False, attempted=False), None),
        (
            Verdict(RowState.UNKNOWN, "the connection broke (10.0.0.7:443); it may"),
            "the connection broke",
        ),
    ],
)
def test_troubles_of_all_are_told_from_faults_of_single_rows(verdict: Verdict, kind: str | None) -> None:
    assert retry.trouble(verdict) == kind
