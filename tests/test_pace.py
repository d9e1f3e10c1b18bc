"""The measured pace: worst window and shares, from times alone."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from flows.pace import Pace
from flows.records import LimitTerms

TERMS = LimitTerms("x", ((7, 1.0),), in_flight=7, max_timeout_seconds=2.0)


@given(st.lists(st.floats(0, 20), max_size=60))
def test_the_worst_window_is_that_of_a_count_by_hand(times: list[float]) -> None:
    pace = Pace(TERMS)
    for at in times:
        pace.note(at, 0.1)
        pace.settle(at)

    by_hand = max((sum(end - 1.0 < at <= end for at in times) for end in times), default=0)

    # Times that come out of order by more than the lapse would be counted apart; the limiter makes that impossible.
    if times == sorted(times):
        assert pace.summary().peak == by_hand
    assert pace.summary().peak <= len(times)


def test_shares_are_of_the_limit_and_of_what_is_guaranteed_at_the_mean_round_trip() -> None:
    pace = Pace(TERMS)
    for i in range(64):
        pace.note(i / 6.3, 0.1)

    summary = pace.summary()

    assert summary.rate == pytest.approx(6.3)
    assert summary.guaranteed_rate == pytest.approx(7 / 1.1)
    assert summary.used_of_limit == pytest.approx(6.3 / 7)
    assert summary.used_of_guaranteed == pytest.approx(6.3 / (7 / 1.1))


def test_a_short_run_that_its_opening_burst_made_faster_than_the_limit_used_all_of_it() -> None:
    pace = Pace(TERMS)
    for i in range(21):
        pace.note(i // 7 * 1.001, 0.1)

    assert pace.summary().used_of_limit == pace.summary().used_of_guaranteed == 1.0


def test_without_a_limit_or_without_requests_there_is_no_share() -> None:
    assert Pace(TERMS).summary().used_of_limit is None
    free = Pace(LimitTerms("x", (), in_flight=5, max_timeout_seconds=2.0))
    free.note(1.0, 0.1)
    assert free.summary().used_of_guaranteed is None


def test_requests_that_nobody_answered_do_not_count_as_round_trips() -> None:
    pace = Pace(TERMS)
    pace.note(0.0, None)
    pace.note(1.0, 0.3)

    assert pace.summary().round_trip_seconds == pytest.approx(0.3)
    assert pace.summary().sent == 2
