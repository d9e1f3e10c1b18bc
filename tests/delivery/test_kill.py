"""Processes are killed at random instants: every row still ends in exactly one known state, and none is sent twice.

The judge is the stand-in's own list of arrivals. `make prove` runs 30 kills, `make slow` a few.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.records import RowState, RunState
from tests.harness.wait import wait_until
from tests.harness.world import World, world

IN_FLIGHT, RATE = 20, 100
BLOCK = RATE // 50
LIMIT = {"name": "kill", "requests": RATE, "window_seconds": 1, "in_flight": IN_FLIGHT, "grace_seconds": 0.3}
SLOW = {"delay_min_seconds": 0.03, "delay_max_seconds": 0.15}
BRIEF = {"timeout_seconds": 1.0}  # what a dead engine had under way is settled when the next one begins


@contextmanager
def sums_watched(world: World, run: str) -> Iterator[list[str]]:
    """Look at the run all the time and note every moment at which its counts do not add up."""
    wrong: list[str] = []
    ended = threading.Event()

    def watch() -> None:
        view = world.view
        while not ended.wait(0.005):
            if view.client.exists(f"rowrelay:run:{{{run}}}"):
                seen = view.run(run)
                if sum(seen.counts.values()) != seen.total:
                    wrong.append(f"{seen.counts} of {seen.total}")

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield wrong
    finally:
        ended.set()
        watcher.join()


def kill_and_resume(w: World, *, rows: int, kills: int, seed: int) -> None:
    """Deliver a file through so many kills, and judge."""
    chance = random.Random(seed)
    file = w.file(rows, bad=3)
    unknown = 0
    with sums_watched(w, "r1") as wrong:
        for _ in range(kills):
            engine = w.start("r1", file=file)
            before = sum(w.run("r1").counts[s] for s in (RowState.DONE, RowState.FAILED)) if known(w) else 0
            wait_until(lambda: engine.poll() is not None or outcomes(w) > before, seconds=30, what="a first outcome")  # noqa: B023
            time.sleep(chance.uniform(0, 0.6))
            engine.kill()
            engine.wait()
            at_kill = w.run("r1")
            assert at_kill.counts[RowState.SENDING] <= IN_FLIGHT + BLOCK, f"seed {seed}"
            unknown = at_kill.counts[RowState.UNKNOWN]
            recorded = set(w.view.select("r1", [RowState.DONE], at_kill.total).tolist())
        ended = w.deliver("r1", file=file)
        assert recorded <= set(w.view.select("r1", [RowState.DONE], at_kill.total).tolist())
    assert wrong == []
    assert ended["state"] == RunState.FINISHED, f"seed {seed}: {ended}"
    assert ended["counts"]["rejected"] == 3
    assert ended["counts"]["waiting"] == ended["counts"]["sending"] == 0
    assert unknown <= kills * (IN_FLIGHT + BLOCK)
    judge(w, rows=rows, seed=seed)


def known(w: World) -> bool:
    return bool(w.view.client.exists("rowrelay:run:{r1}"))


def outcomes(w: World) -> int:
    return sum(w.run("r1").counts[s] for s in (RowState.DONE, RowState.FAILED)) if known(w) else 0


def judge(w: World, *, rows: int, seed: int) -> None:
    """What the receiver saw against what the ledger says."""
    report = w.report()
    assert report["over"] == 0, f"seed {seed}: {report}"
    arrivals = w.arrivals()
    # A request cut off by the kill arrives without its body; its key tells the row.
    rows_by_key = {arrival["key"]: int(arrival["tag"]) for arrival in arrivals if arrival["tag"]}
    arrived = set(rows_by_key.values())
    times = Counter(arrival["key"] for arrival in arrivals)
    done = set(w.view.select("r1", [RowState.DONE], rows + 3).tolist())
    unknown = set(w.view.select("r1", [RowState.UNKNOWN], rows + 3).tolist())
    assert done <= arrived, f"seed {seed}: done, but never arrived: {sorted(done - arrived)}"
    assert arrived <= done | unknown
    if not w.more.get("idempotent"):
        twice = [key for key, n in times.items() if n > 1]
        assert twice == [], f"seed {seed}: sent twice: rows {[rows_by_key.get(key) for key in twice]}"
    else:
        assert len(done) == rows
        assert report["keys_with_two_bodies"] == report["keys_acted_twice"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_killed_again_and_again_each_row_ends_in_one_state_and_none_is_sent_twice(
    tmp_path: Path, redis_url: str, seed: int
) -> None:
    with world(tmp_path, redis_url, limit=LIMIT, knobs=SLOW, request=BRIEF) as w:
        kill_and_resume(w, rows=500, kills=4, seed=seed)


@pytest.mark.slow
def test_an_idempotent_api_gets_every_row_and_each_key_with_one_body_only(tmp_path: Path, redis_url: str) -> None:
    knobs = {**SLOW, "idempotent": True}
    with world(tmp_path, redis_url, limit=LIMIT, knobs=knobs, request=BRIEF, idempotent=True) as w:
        kill_and_resume(w, rows=400, kills=3, seed=2)


@pytest.mark.prove
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("idempotent", [False, True])
def test_thirty_kills(tmp_path: Path, redis_url: str, idempotent: bool) -> None:
    seed = random.randrange(2**32)
    knobs = {**SLOW, "idempotent": idempotent}
    with world(tmp_path, redis_url, limit=LIMIT, knobs=knobs, request=BRIEF, idempotent=idempotent) as w:
        kill_and_resume(w, rows=4000, kills=30, seed=seed)
