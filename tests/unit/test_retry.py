"""What follows from one attempt."""

from __future__ import annotations

import random

import pytest

from flows.client import retry
from flows.records import Outcome, Reply, RowState

REFUSED = Reply(RowState.WAITING, "connection refused", wrote=False, again=True)
TOO_MANY = Reply(RowState.WAITING, "too many requests", status=429, again=True, pause_seconds=2.0)
TIMED_OUT = Reply(RowState.UNKNOWN, "no answer in time")


def outcome(reply: Reply) -> Outcome:
    return Outcome(1, reply.means, reply.reason, again=reply.again)


def decide(reply: Reply, *, attempts: int = 1, elapsed: float = 0.0) -> tuple[Outcome, float | None]:
    return retry.after(
        outcome(reply), reply, attempts=attempts, elapsed_seconds=elapsed, most=4, most_seconds=60, rng=random.Random(1)
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
    found, wait = decide(Reply(RowState.WAITING, "too many requests", status=429, again=True, pause_seconds=120.0))

    assert (found.state, wait) == (RowState.WAITING, 120.0)


@pytest.mark.parametrize("pause", [None, 0.0, 0.01])
def test_a_row_that_is_asked_to_wait_for_no_time_waits_all_the_same(pause: float | None) -> None:
    reply = Reply(RowState.WAITING, "wait", status=200, again=True, pause_seconds=pause)
    asked = Outcome(1, RowState.WAITING, "wait", again=True, counts=False, pause_seconds=pause)

    for seed in range(50):
        found, wait = retry.after(
            asked, reply, attempts=9, elapsed_seconds=0, most=1, most_seconds=60, rng=random.Random(seed)
        )
        assert found.state is RowState.WAITING
        assert wait is not None
        assert retry.LEAST_WAIT_SECONDS <= wait <= 1.0


@pytest.mark.parametrize(("attempts", "elapsed"), [(4, 0.0), (2, 60.0)])
def test_a_row_without_effect_fails_when_its_attempts_or_seconds_are_used_up(attempts: int, elapsed: float) -> None:
    found, wait = decide(REFUSED, attempts=attempts, elapsed=elapsed)

    assert (found.state, wait) == (RowState.FAILED, None)
    assert found.reason == f"connection refused; tried {attempts} times"


def test_a_lost_answer_stays_unknown_unless_the_api_is_idempotent() -> None:
    assert decide(TIMED_OUT) == (outcome(TIMED_OUT), None)
    again = Reply(RowState.UNKNOWN, "no answer in time", again=True)
    found, wait = decide(again)
    assert found.state is RowState.UNKNOWN
    assert wait is not None
    assert decide(again, attempts=4) == (outcome(again), None)


def test_a_stale_permit_is_no_attempt() -> None:
    stale = Reply(RowState.WAITING, "permit too old", wrote=False, attempted=False)

    assert decide(stale, attempts=4, elapsed=999) == (outcome(stale), 0.0)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(RowState.DONE, status=200), ""),
        (Reply(RowState.FAILED, "wrong", status=422), ""),
        (Reply(RowState.FAILED, "unknown token", status=401), "401"),
        (Reply(RowState.UNKNOWN, "the API failed", status=500), "500"),
        (TOO_MANY, "429"),
        (Reply(RowState.UNKNOWN, "no JSON", status=200), "200"),
        (Reply(RowState.FAILED, "moved", status=301), "301"),
        (REFUSED, "connection refused"),
        (Reply(RowState.FAILED, "JSON cannot hold this; nothing was sent", wrote=False), None),
        (Reply(RowState.WAITING, "stale", wrote=False, attempted=False), None),
        (
            Reply(RowState.UNKNOWN, "the connection broke (10.0.0.7:443); it may"),
            "the connection broke",
        ),
    ],
)
def test_troubles_of_all_are_told_from_faults_of_single_rows(reply: Reply, kind: str | None) -> None:
    assert retry.trouble(reply) == kind


def after(found: Outcome, reply: Reply, *, attempts: int = 1, elapsed: float = 0.0) -> tuple[Outcome, float | None]:
    return retry.after(
        found, reply, attempts=attempts, elapsed_seconds=elapsed, most=4, most_seconds=60, rng=random.Random(1)
    )


def test_a_row_that_was_asked_to_wait_uses_up_no_attempts_and_no_seconds() -> None:
    waits = Outcome(1, RowState.WAITING, "slow down", again=True, counts=False, pause_seconds=7)

    assert after(waits, Reply(RowState.DONE), attempts=99, elapsed=9999) == (waits, 7)
    whole = Outcome(1, RowState.WAITING, "slow down", again=True, counts=False)
    assert after(whole, TOO_MANY, attempts=99, elapsed=9999) == (whole, 2.0)


def test_a_row_of_a_refused_parcel_is_judged_by_its_own_later_answer() -> None:
    refused = Outcome(1, RowState.WAITING, "wrong", again=True, counts=False, refused=True)

    assert after(refused, Reply(RowState.FAILED, status=422), attempts=99, elapsed=9999) == (refused, 0.0)


def test_what_stops_the_run_leaves_rows_waiting() -> None:
    stops = Reply(RowState.WAITING, "the account is closed", status=402, stop=True)

    assert after(outcome(stops), stops, attempts=99) == (outcome(stops), None)
    assert retry.trouble(stops) is None


@pytest.mark.parametrize("status", [200, 401, 404, 500])
def test_what_a_rule_calls_failed_is_no_trouble_of_all(status: int) -> None:
    reply = Reply(RowState.FAILED, "no such thing", status=status, by_rule=object())

    assert retry.trouble(reply) == ""
    assert retry.trouble(Reply(RowState.ACCEPTED, status=202)) == ""
