"""Runs in different processes take turns under one limit: a few rows do not wait behind many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.records import RowState
from tests.harness.wait import wait_until
from tests.harness.world import World, world

SLOW = {"delay_min_seconds": 0.05, "delay_max_seconds": 0.15}
# Whoever asks first gets the next slot: of fair throws forty in 120 or fewer come twice in ten thousand times, while
# behind the big file the share would be 0.02.
SHARE = 0.33
URGENT = 100_001  # the first `userId` of the run that comes later


def limit(requests: int, in_flight: int) -> dict[str, Any]:
    return {
        "name": "turns",
        "requests": requests,
        "window_seconds": 1,
        "in_flight": in_flight,
        "grace_seconds": 0.3,
    }


def share(w: World) -> float:
    """The share of the later run, at the receiver, from its first arrival to its last."""
    tags = [int(arrival["tag"]) for arrival in w.arrivals()]
    mine = [at for at, tag in enumerate(tags) if tag >= URGENT]
    return len(mine) / (mine[-1] - mine[0] + 1)


def test_forty_rows_do_not_wait_behind_a_big_file_of_another_process(tmp_path: Path, redis_url: str) -> None:
    with world(tmp_path, redis_url, limit=limit(7, 7), knobs=SLOW) as w:
        w.start("big", file=w.file(1000, name="big.csv"))
        wait_until(lambda: w.report()["arrivals"] > 14, seconds=40, what="the big run to send")

        ended = w.deliver("urgent", file=w.file(40, name="urgent.csv", first=URGENT))

        assert ended["counts"][RowState.DONE] == 40
        assert share(w) >= SHARE
        assert w.report()["over"] == 0


def test_forty_rows_do_not_wait_where_flights_bound_the_pace(tmp_path: Path, redis_url: str) -> None:
    """Few requests at once and slow answers: whoever ends a flight would take it again for ever."""
    slow = {"delay_min_seconds": 0.4, "delay_max_seconds": 0.6}
    with world(tmp_path, redis_url, limit=limit(50, 4), knobs=slow, request={"timeout_seconds": 2}) as w:
        w.start("big", file=w.file(1000, name="big.csv"))
        wait_until(lambda: w.report()["arrivals"] > 14, seconds=40, what="the big run to send")

        ended = w.deliver("urgent", file=w.file(40, name="urgent.csv", first=URGENT))

        assert ended["counts"][RowState.DONE] == 40
        assert share(w) >= SHARE


def test_runs_that_use_one_limit_with_different_numbers_are_both_told(tmp_path: Path, redis_url: str) -> None:
    with world(tmp_path, redis_url, limit=limit(30, 10), knobs={**SLOW, "requests": 20}) as w:
        first = w.start("first", file=w.file(150, name="first.csv"))
        wait_until(lambda: w.report()["arrivals"] > 5, seconds=40, what="the first run to send")
        w.limit = limit(20, 10)

        w.deliver("second", file=w.file(20, name="second.csv", first=URGENT))
        w.ended(first)

        for run in ("first", "second"):
            told = [text for _, text in w.view.events(run) if "with other numbers" in text]
            assert len(told) == 1
            assert "'turns'" in told[0]
