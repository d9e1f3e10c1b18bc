"""The measured pace: worst window and shares, from times alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from deployments.commands import showing as show
from flows.ledger.facts import Facts
from flows.ledger.run import Run
from flows.limit.pace import Pace, expected_seconds, guaranteed_rate, sending_seconds
from flows.pipeline.reading import load
from flows.records import LimitTerms, RowState, RunState
from flows.words import duration, limit_words

TERMS = LimitTerms("x", ((7, 1.0),), in_flight=7, max_timeout_seconds=2.0)
A_DAY = [(7, 1), (10_000, 86_400)]


def test_a_limit_is_told_in_words() -> None:
    assert limit_words(A_DAY, 7) == "7 per second and 10,000 per day"
    assert limit_words([(7, 90)], 7) == "7 in 90 s"
    assert limit_words([], 5) == "at most 5 at a time"
    assert limit_words([], 0) == "none"
    assert limit_words(A_DAY, 7, number=lambda value: f"{value:,.0f}".replace(",", ".")).endswith("10.000 per day")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (14.4, "14 s"),
        (60, "1 min"),
        (89, "1 min 29 s"),
        (7500, "2 h 5 min"),
        (3_000.4, "50 min"),
        (143_000, "1 day 15 h"),
        (273_600, "3 days 4 h"),
        (-3, "0 s"),
        (None, "–"),
    ],
)
def test_a_length_of_time_has_at_most_two_units(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


def test_the_least_time_counts_whole_windows() -> None:
    assert sending_seconds(100, [(7, 1)]) == 14
    assert sending_seconds(7, [(7, 1)]) == 0
    assert sending_seconds(10_001, A_DAY) == 86_400
    assert sending_seconds(0, [(7, 1)]) == sending_seconds(5, []) == 0


def test_the_expected_time_follows_the_rate_but_no_faster_than_the_windows_allow() -> None:
    assert expected_seconds(100, [(7, 1)]) == 14
    assert expected_seconds(100, [(7, 1)], rate=2.0) == 50
    assert expected_seconds(10_001, A_DAY, rate=7.0) == 86_400
    assert expected_seconds(10, [], rate=2.0) == 5
    assert expected_seconds(10, []) is None


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


def test_a_window_holds_one_of_its_edges() -> None:
    pace = Pace(TERMS)
    for at in (0.0, 0.0, 1.0, 1.0, 1.5):
        pace.note(at, 0.1)

    assert pace.summary().peak == 3


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


def test_late_seconds_bound_what_a_slow_answer_costs() -> None:
    late = LimitTerms("x", ((7, 1.0),), in_flight=7, max_timeout_seconds=2.0, late_seconds=0.1)

    assert guaranteed_rate(late, 1.0) == pytest.approx(7 / 1.15)  # a permit may be used until 0.05 s after its start
    assert guaranteed_rate(late, 0.02) == pytest.approx(7 / 1.02)
    assert guaranteed_rate(TERMS, 1.0) == pytest.approx(3.5)
    assert guaranteed_rate(LimitTerms("x", (), in_flight=7, max_timeout_seconds=2.0), 1.0) is None


def test_the_share_of_what_is_guaranteed_knows_late_seconds() -> None:
    pace = Pace(LimitTerms("x", ((7, 1.0),), in_flight=20, max_timeout_seconds=2.0, late_seconds=0.1))
    for i in range(64):
        pace.note(i / 6.0, 1.0)

    assert pace.summary().used_of_guaranteed == pytest.approx(6.0 * 1.15 / 7)


def shown(tmp_path: Path, limit: dict[str, Any], **facts: Any) -> str:
    """What `rowrelay show` says of the pace of a run with these facts."""
    path = tmp_path / "slow.yaml"
    columns, request = {"title": {"type": "str"}}, {"url": "http://api.test/posts", "timeout_seconds": 3}
    limit = {"name": "slow", "requests": 7, "window_seconds": 1, **limit}
    path.write_text(json.dumps({"name": "slow", "columns": columns, "request": request, "limit": limit}))
    told = {"sent": 100, "seconds": 30, "rate": 3.4, "peak": 7, **facts}
    run = Run(
        "r", "slow", "f.csv", RunState.FINISHED, "", "test", 0.0, 1.0, 100, dict.fromkeys(RowState, 0),
        cancelling=False, busy=False, facts=Facts(**told),
    )  # fmt: skip
    return "\n".join(show.pace(run, load(path)))


SLOW = {"used_of_limit": 0.49, "used_of_guaranteed": 0.97, "round_trip_seconds": 1.0}


def test_a_run_says_what_bound_its_pace_and_what_share_it_had(tmp_path: Path) -> None:
    text = shown(tmp_path, {"in_flight": 7}, **SLOW, held_by={"rate": 20.0, "quarantine": 3.1})

    assert "49% of the limit, and 97% of what is safe" in text
    assert "What bound the pace most: the limit. It waited for the limit 20 s, to be sure 3 s." in text
    assert "in_flight" in shown(tmp_path, {"in_flight": 2}, **SLOW, held_by={"in flight": 20.0})


def test_a_slow_api_is_told_what_late_seconds_would_gain(tmp_path: Path) -> None:
    assert "`late_seconds: 0.2` under `limit`: up to 5.6/s" in shown(tmp_path, {"in_flight": 7}, **SLOW)
    assert "`late_seconds: 0.2` and `in_flight: 6` under" in shown(tmp_path, {"in_flight": 2}, **SLOW)
    assert "late_seconds" not in shown(tmp_path, {"in_flight": 7}, **{**SLOW, "used_of_limit": 0.8})
    assert "late_seconds" not in shown(tmp_path, {"in_flight": 7, "late_seconds": 0.3}, **SLOW)
