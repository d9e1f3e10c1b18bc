"""When trouble stops a run, and how many rows find out: requests come and go by a clock that the tests move."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from flows.delivery.breaker import WAVES, Breaker

IN_FLIGHT, STOP_AFTER = 60, 20
Api = Callable[[float], tuple[str, float]]  # from the moment a request leaves to what it comes to, and after how long


@dataclass
class Course:
    """A run of some seconds against an API, at a pace, in no real time at all."""

    api: Api
    pace: float = 600.0
    in_flight: int = IN_FLIGHT
    stop_after: int = STOP_AFTER
    left: list[float] = field(default_factory=list)
    failed: int = 0
    opened_at: float | None = None
    reason: str = ""

    def run(self, seconds: float) -> Course:
        """Send until the breaker opens or the time is over."""
        breaker = Breaker(stop_after=self.stop_after, in_flight=self.in_flight)
        flying: list[tuple[float, float, str]] = []
        now = next_start = 0.0
        while now < seconds:
            while flying and flying[0][0] <= now:
                _, left, kind = heapq.heappop(flying)
                if not kind:
                    breaker.well(left=left)
                    continue
                self.failed += 1
                breaker.trouble(kind, left=left, seen=now)
                if breaker.is_open and self.opened_at is None:
                    self.opened_at, self.reason = now, breaker.reason(kind)
            if self.opened_at is not None:
                self.failed += sum(bool(kind) for _, _, kind in flying)
                return self
            room = min(self.in_flight - len(flying), breaker.room(len(flying), now))
            if room > 0 and next_start <= now:
                breaker.leaving(len(flying))
                kind, took = self.api(now)
                heapq.heappush(flying, (now + took, now, kind))
                self.left.append(now)
                next_start = now + 1 / self.pace
            wait = breaker.wait(len(flying), now) if room <= 0 else next_start - now
            moments = [] if wait is None or len(flying) >= self.in_flight else [max(now + wait, now + 1e-6)]
            now = min([*moments, *(each[0] for each in flying[:1])])
        return self


def down(at: float, until: float = float("inf"), *kinds: str, took: float = 0.1, breaks: float = 0.01) -> Api:
    """Well, answering after some 0.1 s, but for a while."""
    rng = random.Random(1)

    def api(left: float) -> tuple[str, float]:
        if at <= left < until:
            return rng.choice(kinds or ("500",)), breaks * rng.uniform(0.9, 1.1)
        own = took * rng.uniform(0.9, 1.1)
        if left < at < left + own < until:
            return rng.choice(kinds or ("500",)), at - left + breaks * rng.random()
        return "", own

    return api


@pytest.mark.parametrize("breaks", [0.001, 0.1, 3.0])
@pytest.mark.parametrize(("in_flight", "stop_after"), [(1, 20), (5, 20), (60, 20), (60, 5), (60, 200)])
@pytest.mark.parametrize("pace", [7.0, 600.0])
def test_an_outage_of_any_mixture_stops_the_run_and_touches_few_rows(
    breaks: float, in_flight: int, stop_after: int, pace: float
) -> None:
    api = down(2.0, float("inf"), "500", "502", "504", "the connection was reset", breaks=breaks)

    ended = Course(api, pace, in_flight, stop_after).run(2000)

    assert ended.opened_at is not None
    assert stop_after <= ended.failed <= in_flight + stop_after
    assert "in a row failed: " in ended.reason
    assert "502 ×" in ended.reason


@pytest.mark.parametrize("breaks", [0.0005, 0.02, 0.3])
@pytest.mark.parametrize("seconds", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("in_flight", [5, 60])
def test_a_blip_does_not_stop_the_run_which_is_soon_at_its_pace_again(
    seconds: float, breaks: float, in_flight: int
) -> None:
    ended = Course(down(2.0, 2.0 + seconds, "500", "reset", breaks=breaks), in_flight=in_flight).run(8.0)

    assert ended.opened_at is None
    assert 0 < ended.failed <= in_flight + STOP_AFTER
    after = [at for at in ended.left if at > 2.0 + seconds + 1.5]
    well = [at for at in Course(down(99.0), in_flight=in_flight).run(8.0).left if at > 2.0 + seconds + 1.5]
    assert len(after) > 0.98 * len(well)


@pytest.mark.parametrize(("share", "pace_kept"), [(0.05, 0.99), (0.3, 0.95)])
def test_where_only_some_requests_fail_the_run_goes_on_at_its_pace(share: float, pace_kept: float) -> None:
    rng = random.Random(3)

    ended = Course(lambda left: ("500" if rng.random() < share else "", 0.05 * rng.uniform(0.5, 1.5))).run(120)

    assert ended.opened_at is None
    assert len(ended.left) > pace_kept * 120 * 600


def test_a_file_of_rows_that_the_api_does_not_know_keeps_its_pace_if_the_definition_allows_so_many() -> None:
    ended = Course(lambda left: ("404", 0.05), stop_after=10**6).run(60)

    assert ended.opened_at is None
    assert len(ended.left) > 0.99 * 60 * 600


def test_what_left_before_a_trouble_was_seen_is_one_with_it_and_what_went_well_ends_the_series_only_after_it() -> None:
    breaker = Breaker(stop_after=2, in_flight=10)
    breaker.trouble("500", left=0.0, seen=1.0)
    breaker.trouble("502", left=0.9, seen=1.1)
    assert not breaker.is_open

    breaker.well(left=0.95)
    breaker.trouble("the connection was reset", left=1.05, seen=1.2)
    assert breaker.is_open
    assert breaker.reason("it failed") == (
        "3 requests in a row failed: 500 ×1, 502 ×1, the connection was reset ×1. The last: it failed."
    )

    breaker.well(left=1.3)
    breaker.trouble("500", left=1.31, seen=1.4)
    assert not breaker.is_open


def test_pauses_count_once_each() -> None:
    breaker = Breaker(stop_after=3, in_flight=10)
    for begins in (0.0, 2.0, 4.0):
        for nth in range(5):
            assert not breaker.is_open
            breaker.trouble("429", left=begins + nth / 100, seen=begins + 0.5 + nth / 100, pause_seconds=1.0)
            if begins == 4.0:
                break

    assert breaker.is_open
    assert breaker.reason("too many requests") == "The API has asked to wait 3 times in a row: too many requests."


def test_a_probe_is_alone_and_goes_again_if_it_did_not_leave_after_all() -> None:
    breaker = Breaker(stop_after=WAVES, in_flight=2)
    for nth in (1.0, 2.0):
        breaker.trouble("500", left=nth - 0.5, seen=nth)
    assert breaker.room(0, 2.0) == 0
    wait = breaker.wait(0, 2.0)
    assert wait is not None
    assert breaker.room(0, 2.0 + wait) == 1

    breaker.leaving(0)
    assert breaker.probes
    assert (breaker.room(1, 99.0), breaker.wait(1, 99.0)) == (0, None)

    breaker.unsent()
    assert breaker.room(1, 99.0) == 1
