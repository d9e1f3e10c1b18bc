"""How long a Redis that is away has been away, by a clock that is moved."""

from __future__ import annotations

from flows.ledger.patience import Outage
from tests.harness.clock import MovedClock


def test_an_outage_lasts_from_its_first_failure_until_it_is_over() -> None:
    clock = MovedClock()
    outage = Outage(clock)

    assert not outage.lasts(5.0)
    clock.now += 4.9
    assert not outage.lasts(5.0)
    clock.now += 0.2
    assert outage.lasts(5.0)

    outage.over()
    assert outage.since is None
    assert not outage.lasts(5.0)


def test_who_has_no_patience_gives_up_at_once() -> None:
    assert Outage(MovedClock()).lasts(0.0)
