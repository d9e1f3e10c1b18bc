"""The preloaded process: what a run is given there, how it ends, and who ends with whom. All parts are real."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import psutil
import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.runner._starter_engine import EngineCommandStarter

from deployments.registry.job import ENGINE
from deployments.runners import fork_server, prefect_starter, preloaded
from deployments.runners.drain import descendants, is_flow_run
from tests.harness.serving import ask, delivers, serving
from tests.harness.stack import RunningStack
from tests.harness.wait import wait_until
from tests.harness.world import world

FLOW = """
import os, signal, time
from pathlib import Path
from prefect import flow

@flow
def tells():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, lambda number, frame: os._exit(number))
    print("told", os.getpid(), os.getppid(), os.environ["ROWRELAY_TOLD"], Path.cwd(), flush=True)
    while not Path("end").exists():
        time.sleep(0.05)
    os._exit(int(Path("end").read_text()))
"""
BESIDE = """
import json, os, time
from prefect.settings import get_current_settings
from deployments.runners import fork_server
as_prefect_makes_it = {**os.environ, **get_current_settings().to_environment_variables(exclude_unset=True)}
with fork_server.beside(os.environ) as command:
    print(json.dumps([command, as_prefect_makes_it]), flush=True)
    time.sleep(600)
"""


class Preloading:
    """A process that has a preloaded one beside it, as a server or a worker has."""

    def __init__(self, stack: RunningStack) -> None:
        self.stack = stack
        self.parent = subprocess.Popen(
            [sys.executable, "-c", BESIDE],
            env={**os.environ, **stack.environment, "ROWRELAY_TOLD": "at first"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.parent.stdout is not None
        command, self.environment = json.loads(self.parent.stdout.readline())
        self.command = shlex.split(command)
        self.address = Path(self.command[-1])
        (self.pid,) = descendants(self.parent.pid)
        wait_until(self.address.exists, seconds=120, what="the preloaded process")

    def start(self, folder: Path, **variables: str) -> Run:
        return Run(self, folder, variables)

    def end(self) -> None:
        self.parent.kill()
        self.parent.wait()


class Run:
    """A flow run that says where it is, and ends when it is told to, or by a signal with that signal's number."""

    def __init__(self, beside: Preloading, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder = folder
        (folder / "tells.py").write_text(FLOW)
        flow = ask(beside.stack, "/flows/", {"name": "tells"}).json()["id"]
        made = ask(beside.stack, "/flow_runs/", {"flow_id": flow, "state": {"type": "PENDING"}})
        self.id = str(made.json()["id"])
        own = {"PREFECT__FLOW_RUN_ID": self.id, "PREFECT__FLOW_ENTRYPOINT": str(folder / "tells.py") + ":tells"}
        self.launcher = subprocess.Popen(
            beside.command,
            env={**beside.environment, **own, **variables},
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.launcher.stdout is not None
        told = next(line for line in self.launcher.stdout if line.startswith("told")).split()
        self.pid, self.parent, self.told, self.cwd = int(told[1]), int(told[2]), " ".join(told[3:-1]), Path(told[-1])

    @property
    def is_fresh(self) -> bool:
        return self.pid == self.launcher.pid

    def end(self, code: int = 0) -> int:
        (self.folder / "end").write_text(str(code))
        return self.launcher.wait(30)


@pytest.fixture(scope="module")
def preloading(stack: RunningStack) -> Iterator[Preloading]:
    made = Preloading(stack)
    yield made
    made.end()


def test_a_run_is_a_fork_with_the_streams_variables_and_folder_of_its_launcher_and_its_exit_code(
    preloading: Preloading, tmp_path: Path
) -> None:
    run = preloading.start(tmp_path, ROWRELAY_TOLD="its own")

    assert run.parent == preloading.pid
    assert (run.told, run.cwd) == ("its own", tmp_path)
    assert is_flow_run(run.pid)
    assert delivers(run.pid, run.id)
    assert not is_flow_run(preloading.pid)
    assert not is_flow_run(run.launcher.pid)
    assert run.end(7) == 7


def test_the_preloaded_process_has_one_thread_and_no_connection(preloading: Preloading, tmp_path: Path) -> None:
    process = psutil.Process(preloading.pid)

    assert process.num_threads() == 1
    assert process.net_connections() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_for_the_launcher_reaches_the_run(
    preloading: Preloading, tmp_path: Path, number: signal.Signals
) -> None:
    run = preloading.start(tmp_path)
    assert not run.is_fresh

    run.launcher.send_signal(number)

    assert run.launcher.wait(30) == number


def test_a_launcher_that_is_killed_takes_its_run_along_and_no_other(preloading: Preloading, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("killed", "other")]
    for folder in folders:
        folder.mkdir()
    run, other = (preloading.start(folder) for folder in folders)

    run.launcher.kill()

    wait_until(lambda: not psutil.pid_exists(run.pid), what="the end of the run")
    assert other.end(3) == 3


def test_a_run_that_is_killed_ends_its_launcher_by_the_same_signal(preloading: Preloading, tmp_path: Path) -> None:
    run = preloading.start(tmp_path)
    assert not run.is_fresh

    os.kill(run.pid, signal.SIGKILL)

    assert run.launcher.wait(30) == -signal.SIGKILL


@pytest.mark.parametrize("name", ["PREFECT_LOGGING_LEVEL", "TZ"])
def test_a_run_with_another_environment_is_a_fresh_python(preloading: Preloading, tmp_path: Path, name: str) -> None:
    run = preloading.start(tmp_path, **{name: {"TZ": "Asia/Tokyo"}.get(name, "WARNING")})

    assert run.is_fresh
    assert run.end(5) == 5


def test_runs_are_fresh_pythons_when_the_preloaded_process_is_gone(stack: RunningStack, tmp_path: Path) -> None:
    preloading = Preloading(stack)
    try:
        os.kill(preloading.pid, signal.SIGKILL)

        run = preloading.start(tmp_path)

        assert run.is_fresh
        assert run.end(5) == 5
    finally:
        preloading.end()


def test_it_ends_with_its_parent_by_kill_9_too_but_after_its_runs(stack: RunningStack, tmp_path: Path) -> None:
    preloading = Preloading(stack)
    run = preloading.start(tmp_path)
    assert not run.is_fresh

    preloading.end()

    assert run.end(7) == 7
    wait_until(lambda: not psutil.pid_exists(preloading.pid), what="its end")
    assert not preloading.address.parent.exists()


def test_nobody_else_may_ask_for_a_run(preloading: Preloading) -> None:
    assert preloading.address.parent.stat().st_mode & 0o777 == 0o700


def test_a_machine_that_cannot_do_it_starts_runs_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")

    with fork_server.beside(os.environ) as command:
        assert command == ""


@pytest.mark.parametrize(
    ("name", "fits"),
    [("PREFECT__FLOW_RUN_ID", True), ("ROWRELAY_DATA", True), ("PREFECT_API_URL", False), ("A", False)],
)
def test_only_what_is_read_when_a_run_begins_may_differ(name: str, fits: bool) -> None:
    assert preloaded.fits({"B": "1"}, {"B": "1", name: "2"}) is fits


@pytest.mark.parametrize("command", [None, ENGINE])
def test_prefect_starts_flow_runs_by_our_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str | None
) -> None:
    monkeypatch.setattr(EngineCommandStarter, "start", EngineCommandStarter.start)  # put back afterwards
    run = cast("FlowRun", SimpleNamespace(id="1"))

    prefect_starter.start_by(shlex.join([sys.executable, "-c", "open('ours', 'w')"]))
    anyio.run(EngineCommandStarter(command=command, cwd=tmp_path).start, run)

    assert (tmp_path / "ours").exists(), "Prefect's EngineCommandStarter no longer starts what its `_command` says."


@pytest.mark.slow
@pytest.mark.parametrize("way", ["serve", "worker"])
def test_a_server_and_a_worker_start_their_runs_in_it(stack: RunningStack, tmp_path: Path, way: str) -> None:
    limit: dict[str, Any] = {"name": "forks", "requests": 20, "window_seconds": 1, "in_flight": 5, "grace_seconds": 0.3}
    with (
        world(tmp_path, stack.addresses.redis_url, limit=limit, knobs={}, name="forkposts") as w,
        serving(w, stack, "forkposts") as here,
    ):
        if way == "worker":
            here.set_up("forks")
        process = here.serve() if way == "serve" else here.worker("forks")
        there = wait_until(lambda: preloaded_process(process.pid), seconds=60, what="the preloaded process")
        wait_until(Path(there.cmdline()[-1]).exists, seconds=120, what="it to be loaded")

        run = here.trigger(here.upload(200, f"{way}-forks.csv"))
        here.wait_for_rows(run, 10)

        assert psutil.Process(here.process_of(process, run)).ppid() == there.pid
        here.ask(f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})
        wait_until(lambda: here.state(run)["type"] == "CANCELLED", seconds=60, what="the end")


def preloaded_process(pid: int) -> psutil.Process | None:
    for each in descendants(pid):
        with suppress(psutil.NoSuchProcess):  # some end while they are looked at
            if fork_server.__name__ in (found := psutil.Process(each)).cmdline():
                return found
    return None
