"""An API in trouble, by whole deliveries over real sockets: an outage touches few rows, a blip stops nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from flows.records import RowState, RunState
from tests.harness.world import world

LIMIT = {"name": "api", "requests": 600, "window_seconds": 1.0, "in_flight": 60}
KNOBS = {"requests": None, "ban_after": None, "delay_min_seconds": 0.1, "delay_max_seconds": 0.12}


def test_an_outage_that_shows_itself_in_many_ways_stops_the_run_and_touches_few_rows(
    tmp_path: Path, redis_url: str
) -> None:
    faults = {"error": 0.3, "bad_gateway": 0.2, "gateway_timeout": 0.2, "reset": 0.2, "hang": 0.1}
    request = {"timeout_seconds": 2.0}
    with world(tmp_path, redis_url, limit=LIMIT, knobs=KNOBS, request=request) as w:
        engine = w.start("r1", file=w.file(1000))
        w.wait_for_rows("r1", 50)
        w.control(faults=faults)
        ended = w.ended(engine)

        assert ended["state"] == RunState.STOPPED
        assert 20 <= ended["counts"]["unknown"] <= LIMIT["in_flight"] + 20
        assert "requests in a row failed: " in ended["reason"]
        assert all(f"{kind} ×" in ended["reason"] for kind in ("500", "502"))
        assert any("one request at a time" in text for _, text in w.view.events("r1"))

        w.control(faults={})
        assert w.deliver("r1")["counts"]["waiting"] == 0


@pytest.mark.parametrize(("fault", "seconds"), [("error", 0.1), ("reset", 1.5)])
def test_a_blip_with_sixty_under_way_does_not_stop_the_run(
    tmp_path: Path, redis_url: str, fault: str, seconds: float
) -> None:
    with world(tmp_path, redis_url, limit=LIMIT, knobs=KNOBS, request={"timeout_seconds": 5.0}) as w:
        engine = w.start("r1", file=w.file(1500))
        w.wait_for_rows("r1", 300)
        w.control(faults={fault: 1.0})
        threading.Event().wait(seconds)  # how long the trouble lasts is what is tried
        w.control(faults={})
        ended = w.ended(engine)

        assert (ended["state"], ended["reason"]) == (RunState.FINISHED, "")
        assert w.run("r1").counts[RowState.UNKNOWN] <= LIMIT["in_flight"] + 20


def test_where_a_third_of_the_requests_fails_for_ever_the_run_goes_on(tmp_path: Path, redis_url: str) -> None:
    with world(tmp_path, redis_url, limit=LIMIT, knobs={**KNOBS, "faults": {"error": 0.3}}) as w:
        ended = w.deliver("r1", file=w.file(600))

        assert ended["state"] == RunState.FINISHED
        assert ended["counts"]["done"] + ended["counts"]["unknown"] == 600
        assert ended["counts"]["unknown"] > LIMIT["in_flight"]
