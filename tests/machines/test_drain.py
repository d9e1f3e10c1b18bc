"""Processes that end while they deliver: told to, killed, or with their machine. Who comes next goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from deployments.runners.drain import descendants
from flows.records import RowState, RunState
from tests.harness.serving import Serving, environment_of, serving
from tests.harness.stack import RunningStack
from tests.harness.wait import wait_until
from tests.harness.world import World, world

LIMIT: dict[str, Any] = {"name": "hands", "requests": 100, "window_seconds": 1, "in_flight": 10, "grace_seconds": 0.3}
SLOW = {"delay_min_seconds": 0.05, "delay_max_seconds": 0.2}
NAME = "handposts"


@pytest.fixture
def scene(stack: RunningStack, tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, stack.addresses.redis_url, limit=LIMIT, knobs=SLOW, name=NAME) as w:
        yield w


def all_done_once(scene: World, here: Serving, run: str, rows: int) -> None:
    wait_until(
        lambda: (found := here.run(run)) and found.state is RunState.FINISHED,
        seconds=90,
        what="the end",
    )
    assert {state: count for state, count in scene.run(run).counts.items() if count} == {RowState.DONE: rows}
    tags = [arrival["tag"] for arrival in scene.arrivals()]
    assert len(tags) == len(set(tags)) == rows
    assert scene.report()["over"] == 0


@pytest.mark.slow
def test_a_run_whose_server_is_told_to_end_is_finished_by_the_next_one(scene: World, stack: RunningStack) -> None:
    with serving(scene, stack, NAME) as here:
        first = here.serve()
        run = here.trigger(here.upload(600, "hands.csv"))
        here.wait_for_rows(run, 40)

        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 0, here.text()

        left = here.run(run)
        assert left is not None
        assert (left.state, left.busy) == (RunState.SENDING, False)
        assert left.counts[RowState.SENDING] == left.counts[RowState.UNKNOWN] == 0
        assert left.counts[RowState.WAITING] > 0
        assert (here.state(run)["type"], here.state(run)["name"]) == ("SCHEDULED", "HandedOver")

        here.serve()
        all_done_once(scene, here, run, 600)
        wait_until(lambda: here.state(run)["type"] == "COMPLETED", seconds=20, what="Prefect to say so")


@pytest.mark.slow
def test_a_run_whose_worker_is_told_to_end_is_finished_by_another_worker(scene: World, stack: RunningStack) -> None:
    with serving(scene, stack, NAME) as here:
        here.set_up("hands")
        workers = [here.worker("hands"), here.worker("hands")]
        run = here.trigger(here.upload(900, "workers.csv"))
        here.wait_for_rows(run, 40)
        (busy,) = [worker for worker in workers if here.flow_runs_of(worker)]
        assert b"PREFECT_WORKER_QUERY_SECONDS=0.5\0" in environment_of(descendants(busy.pid)[0])

        busy.send_signal(signal.SIGTERM)
        assert busy.wait(90) == 0, here.text()

        all_done_once(scene, here, run, 900)
        assert "HandedOver" in names(here, run)


@pytest.mark.slow
def test_sigterm_hands_a_run_over_unless_the_run_is_being_cancelled(scene: World, stack: RunningStack) -> None:
    with serving(scene, stack, NAME) as here:
        serve = here.serve()
        run = here.trigger(here.upload(900, "signals.csv"))
        here.wait_for_rows(run, 20)

        os.kill(here.process_of(serve, run), signal.SIGTERM)  # as the machine does to everything when it is shut down

        wait_until(lambda: "HandedOver" in names(here, run), seconds=30, what="the run to be handed over")
        done = scene.run(run).counts[RowState.DONE]
        here.wait_for_rows(run, done + 20)  # the same server has taken it up again
        here.ask(f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})

        wait_until(lambda: here.state(run)["type"] == "CANCELLED", seconds=40, what="the end")
        assert scene.run(run).state is RunState.CANCELLED
        assert names(here, run).count("HandedOver") == 1
        assert scene.run(run).counts[RowState.UNKNOWN] == 0


def names(here: Serving, run: str) -> list[str]:
    return [str(state["name"]) for state in here.states(run)]


@pytest.mark.slow
def test_a_run_whose_process_is_killed_goes_on_by_itself_until_it_has_died_too_often(
    scene: World, stack: RunningStack
) -> None:
    with serving(scene, stack, NAME, ROWRELAY_AUTO_RESUME="2") as here:
        serve = here.serve()
        run = here.trigger(here.upload(400, "killed.csv"))
        here.wait_for_rows(run, 40)

        kill_flow_run(here, serve, run)  # some rows are under way then
        here.wait_for_rows(run, 100)
        scene.control(delay_min_seconds=0.45, delay_max_seconds=0.48)  # the next kills come before any answer
        deaths = 1
        while deaths < 4:
            before = here.run(run)
            assert before is not None
            kill_flow_run(here, serve, run)
            deaths += 1
            if deaths < 4:
                wait_until(lambda: busy(here, run), seconds=60, what="the run to be taken up")
        told = wait_until(lambda: given_up(here, run), seconds=150, what="the end of it")

        assert "died" in told
        tags = [arrival["tag"] for arrival in scene.arrivals()]
        assert len(tags) == len(set(tags))
        assert scene.run(run).total == sum(scene.run(run).counts.values()) == 400


def busy(here: Serving, run: str) -> bool:
    found = here.run(run)
    return found is not None and found.busy and found.state is RunState.SENDING


def given_up(here: Serving, run: str) -> str:
    query = {"flows": {"name": {"any_": ["recover"]}}, "flow_runs": {"state": {"type": {"any_": ["FAILED"]}}}}
    told = [str(found["state"]["message"]) for found in here.ask("/flow_runs/filter", query).json()]
    return next((text for text in told if run in text), "")


def kill_flow_run(here: Serving, serve: subprocess.Popen[bytes], run: str) -> None:
    os.kill(wait_until(lambda: here.process_of(serve, run), seconds=60, what="the flow run's process"), signal.SIGKILL)


@pytest.mark.prove
@pytest.mark.timeout(400)
@pytest.mark.parametrize("way", ["serve", "worker"])
def test_a_run_whose_machine_dies_is_marked_within_90_seconds_and_finished(
    scene: World, stack: RunningStack, way: str
) -> None:
    with serving(scene, stack, NAME) as here:
        if way == "worker":
            here.set_up("machines")
        machine = here.serve if way == "serve" else lambda: here.worker("machines")
        first = machine()
        run = here.trigger(here.upload(3000, f"machine-{way}.csv"))
        here.wait_for_rows(run, 200)
        here.kill(first)
        died = time.time()
        machine()  # another one: nothing that it does at its start may touch the run

        crashed = wait_until(
            lambda: next((s for s in here.states(run) if s["type"] == "CRASHED"), None), seconds=120, what="the mark"
        )
        assert crashed is not None
        assert datetime.fromisoformat(crashed["timestamp"]).timestamp() - died < 90

        wait_until(lambda: (found := here.run(run)) and found.state is RunState.FINISHED, seconds=120, what="the end")
        counts = scene.run(run).counts
        assert counts[RowState.DONE] + counts[RowState.UNKNOWN] == 3000
        assert counts[RowState.UNKNOWN] <= 30  # what was under way
        tags = [arrival["tag"] for arrival in scene.arrivals()]
        assert len(tags) == len(set(tags))


@pytest.mark.slow
def test_what_a_backup_would_go_on_with_is_cancelled_and_its_waiting_rows_become_unknown(
    scene: World, stack: RunningStack
) -> None:
    with serving(scene, stack, NAME) as here:
        first = here.serve()
        run = here.trigger(here.upload(600, "restored.csv"))
        here.wait_for_rows(run, 40)
        here.kill(first)
        scheduled = here.trigger(here.upload(5, "scheduled.csv"))
        wait_until(lambda: not busy(here, run), what="the lease of the dead to end")
        before, sent = scene.run(run).counts, len(scene.arrivals())
        assert before[RowState.WAITING] > 0

        restored = here.start("restored", "--yes")
        assert restored.wait(60) == 0, here.text()

        assert {here.state(each)["type"] for each in (run, scheduled)} == {"CANCELLED"}
        counts = scene.run(run).counts
        assert (counts[RowState.WAITING], counts[RowState.UNKNOWN]) == (0, before[RowState.WAITING])
        assert counts[RowState.DONE] == before[RowState.DONE]
        here.serve()
        after = here.trigger(here.upload(5, "after.csv"))
        wait_until(lambda: (found := here.run(after)) and found.state is RunState.FINISHED, seconds=60, what="the end")
        assert len(scene.arrivals()) == sent + 5
