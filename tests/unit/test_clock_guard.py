"""What the limiter knows of a clock that has been set: what it would show, had it not been."""

from __future__ import annotations

import pytest

from flows.limit.clock import ClockGuard

AHEAD = 1000.0  # Redis's clock, of ours
TRIP = 0.004


def seen(guard: ClockGuard, now: float, by: float = 0.0) -> bool:
    """A reply that came at `now` by our clock, of a clock that was set by so much: whether that is a step."""
    return guard.jumped(now - TRIP / 2 + AHEAD + by, now - TRIP, now)


@pytest.mark.parametrize("by", [30.0, -30.0])
def test_a_clock_that_was_set_would_show_what_it_showed_before(by: float) -> None:
    guard = ClockGuard()
    assert not seen(guard, 1.0)
    assert not seen(guard, 2.0)
    assert seen(guard, 3.0, by)

    assert 3.5 + AHEAD - 2 * TRIP <= guard.unset(3.5) <= 3.5 + AHEAD


def test_steps_that_redis_has_not_heard_of_are_one() -> None:
    guard = ClockGuard()
    assert not seen(guard, 1.0)
    assert seen(guard, 2.0, 30.0)
    assert seen(guard, 3.0, 50.0)

    assert guard.unset(4.0) == pytest.approx(4.0 + AHEAD, abs=2 * TRIP)
    guard.told()
    assert seen(guard, 5.0, 60.0)
    assert guard.unset(6.0) == pytest.approx(6.0 + AHEAD + 50.0, abs=2 * TRIP)
