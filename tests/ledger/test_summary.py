"""How fast a run went, whoever sent it and however often it was resumed."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import hypothesis.strategies as st
import pytest
from hypothesis import given

from flows.delivery.summary import Sent, totals
from flows.ledger.connection import connect
from flows.ledger.erase import erase
from flows.ledger.ledger import Ledger
from flows.ledger.view import View
from flows.records import LimitTerms
from tests.harness.world import world

LIMIT = {"name": "summary", "requests": 7, "window_seconds": 1.0, "in_flight": 7, "grace_seconds": 0.2}


def terms(*windows: tuple[int, float]) -> LimitTerms:
    return LimitTerms("x", windows, in_flight=7, max_timeout_seconds=2.0)


SEVEN = terms((7, 1.0))


def test_deliveries_one_after_the_other_are_added_and_at_once_are_one() -> None:
    one = Sent(100.0, 110.0, 51, 0.1, {"rate": 8.0}, 51, 1, 9)
    later = Sent(1000.0, 1010.0, 61, 0.2, {"rate": 1.0, "pause": 2.0}, 61, 0, 9)
    beside = Sent(104.0, 112.0, 10)

    assert totals([one, later], SEVEN) | {"used_of_guaranteed": 0, "guaranteed_rate": 0} == {
        "sent": 112,
        "seconds": 20.0,
        "rate": 5.5,
        "round_trip_seconds": 0.1545,
        "used_of_limit": 0.7857,
        "used_of_guaranteed": 0,
        "guaranteed_rate": 0,
        "held_by": {"rate": 9.0, "pause": 2.0},
        "permits": 112,
        "permits_unused": 1,
        "limit_visits": 18,
    }
    both = totals([beside, one], SEVEN)
    assert (both["sent"], both["seconds"], both["rate"]) == (61, 12.0, 5.0)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 30)), min_size=1, max_size=5))
def test_no_rate_is_above_the_limit_nor_said_of_less_than_two_windows(spans: list[tuple[float, float]]) -> None:
    # The most that the limit allows in each stretch: the first seven at once, then seven a second.
    sent = [Sent(200 * at + first, 200 * at + first + s, 7 * (int(s) + 1)) for at, (first, s) in enumerate(spans)]

    found = totals(sent, SEVEN)

    assert float(found["rate"]) <= 7.0
    assert bool(found["rate"]) == (sum(seconds for _, seconds in spans) >= 2.0)
    assert float(found["used_of_limit"]) <= 1.0


def test_a_window_that_is_longer_than_the_run_says_nothing_about_its_pace() -> None:
    sent = [Sent(0.0, 20.0, 121)]

    assert totals(sent, terms((7, 1.0), (10_000, 86_400.0)))["used_of_limit"] == pytest.approx(6 / 7, abs=1e-4)
    assert totals(sent, terms())["rate"] == 6.0
    assert totals(sent, terms((200, 3600.0)))["rate"] == 0.0


def test_the_worst_window_of_all_processes_only_rises(redis_url: str) -> None:
    ledger, view = Ledger(connect(redis_url)), View(connect(redis_url))
    ledger.create("run", definition={}, by="me")
    for process, peak in (("one", 4), ("two", 6), ("one", 5)):
        ledger.pace("run", process, Sent(1.0, 2.0, peak).packed, peak)

    assert view.run("run").facts.peak == 6
    assert {name: Sent.unpacked(raw).requests for name, raw in view.paces("run").items()} == {"one": 5, "two": 6}
    ledger.pace("gone", "one", b"{}", 9)
    assert not connect(redis_url).exists("rowrelay:run:{gone}", "rowrelay:run:{gone}:paces")
    erase(ledger.client, "run")
    assert view.paces("run") == {}


def test_the_figures_of_a_run_are_of_all_that_was_sent_of_it(tmp_path: Path, redis_url: str) -> None:
    with world(tmp_path, redis_url, limit=LIMIT) as w:
        run = str(uuid4())
        w.control(faults={"unprocessable": 1.0})
        w.deliver(run, file=w.file(30))
        first = w.run(run)
        w.control(faults={})
        w.deliver(run, rows="failed", request="again")
        both = w.run(run)

        assert (first.facts.sent, both.facts.sent) == (30, 60)
        assert both.facts.seconds > first.facts.seconds > 2
        assert 0 < both.facts.rate <= 7
        assert 7 >= both.facts.peak >= first.facts.peak > 1


def test_one_row_sent_again_changes_nothing_of_how_fast_it_was() -> None:
    one = Sent(100.0, 110.0, 61)

    again = totals([one, Sent(1000.0, 1000.0, 1)], SEVEN)

    assert (again["sent"], again["seconds"], again["rate"]) == (62, 10.0, 6.0)


def test_what_a_killed_process_sent_is_counted(tmp_path: Path, redis_url: str) -> None:
    with world(tmp_path, redis_url, limit=LIMIT) as w:
        run = str(uuid4())
        engine = w.start(run, file=w.file(40))
        w.wait_for_rows(run, 20)
        engine.kill()
        engine.wait()
        w.deliver(run)

        found = w.run(run)
        arrived = w.report()["arrivals"]
        assert arrived - 10 <= found.facts.sent <= arrived  # it notes them once a second
        assert found.facts.rate <= 7


def test_a_run_of_a_version_that_kept_sums_only_goes_on_from_them(tmp_path: Path, redis_url: str) -> None:
    with world(tmp_path, redis_url, limit=LIMIT) as w:
        run = str(uuid4())
        w.control(faults={"unprocessable": 1.0})
        w.deliver(run, file=w.file(10))
        ledger, client = Ledger(connect(redis_url)), connect(redis_url)
        client.delete(f"rowrelay:run:{{{run}}}:paces")
        ledger.facts(run, sent=100, seconds=20.0, permits=110, peak=7)
        w.control(faults={})
        w.deliver(run, rows="failed", request="again")

        found = w.run(run)
        assert (found.facts.sent, found.facts.peak) == (110, 7)
        assert 120 <= found.facts.permits <= 140  # a slow machine lets some go stale
        assert 20 < found.facts.seconds < 40
        assert 2 < found.facts.rate <= 7
