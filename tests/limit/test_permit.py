"""When a permit may be used, by a moved clock, and what it tells the limit that granted it."""

from __future__ import annotations

import pytest

from flows.limit.permit import Permit, StalePermit


class Issuer:
    """A limit whose clock stands still until it is moved; `told` has what was reported to it."""

    def __init__(self) -> None:
        self.now, self.fresh_seconds, self.generation, self.void_because = 100.0, 0.5, 0, ""
        self.told: list[str] = []

    def clock(self) -> float:
        return self.now

    def report(self, kind: str, permit: Permit) -> None:
        self.told.append(kind)

    def permit(self) -> Permit:
        """Granted now, to start in 0.1 s."""
        return Permit(self, "1", start=self.now + 0.1, granted=self.now + 0.1, deadline=self.now + 2.1)


def test_it_may_not_be_used_before_its_start() -> None:
    issuer = Issuer()
    permit = issuer.permit()
    issuer.now += 0.09

    with pytest.raises(StalePermit, match=r"starts in 0\.010 s"):
        permit.check()

    assert issuer.told == ["u"]
    issuer.now += 0.02
    with pytest.raises(StalePermit, match="used or handed back"):
        permit.check()


@pytest.mark.parametrize("late", [0.0, 0.499])
def test_it_may_be_used_from_its_start_on_as_long_as_it_is_fresh(late: float) -> None:
    issuer = Issuer()
    permit = issuer.permit()
    issuer.now = permit.start + late

    permit.check()
    permit.check()  # the connection may ask twice

    assert issuer.told == []


def test_it_may_not_be_used_when_it_is_old_and_says_by_how_much() -> None:
    issuer = Issuer()
    permit = issuer.permit()
    issuer.now = permit.start + 0.75

    with pytest.raises(StalePermit, match=r"0\.750 s old, more than 0\.5 s"):
        permit.check()

    assert permit.stale_seconds == pytest.approx(0.25)
    assert issuer.told == ["u"]


def test_it_may_be_used_once() -> None:
    issuer = Issuer()
    permit = issuer.permit()
    issuer.now = permit.start
    permit.check()
    permit.answered()

    with pytest.raises(StalePermit, match="used"):
        permit.check()

    permit.unused()  # too late: the slot stays
    permit.lost()
    permit.finished()
    permit.finished()
    assert issuer.told == ["a", "f"]


def test_what_was_checked_and_is_void_then_is_not_handed_back_by_its_check() -> None:
    """Its head may be on the way: whoever sends it says what became of it."""
    issuer = Issuer()
    permit = issuer.permit()
    issuer.now = permit.start
    permit.check()
    issuer.generation, issuer.void_because = 1, "a pause"

    with pytest.raises(StalePermit, match="void: a pause"):
        permit.check()

    assert issuer.told == []
    permit.lost()
    assert issuer.told == ["g", "f"]
    permit.answered()  # it was, after all
    assert issuer.told == ["g", "f", "a"]
