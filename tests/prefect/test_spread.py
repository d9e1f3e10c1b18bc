"""The chunks of one run over the processes of a Dask cluster: one limit, one ledger, every row once."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from deployments.embedded.redis_server import free_port
from flows.deliver import deliver
from flows.delivery.delivery import Delivery
from flows.delivery.plan import Portion
from flows.delivery.spread import Share, runner, send_here, send_portion
from flows.errors import SettingError, Stopped
from flows.ledger.connection import connect
from flows.limit.status import status
from flows.pipeline.reading import load
from flows.records import RowState, RunState
from flows.settings import Settings
from tests.harness.flow_runs import QUICK, ended, environment, start
from tests.harness.stack import RunningStack
from tests.harness.wait import wait_until
from tests.harness.world import World, world

LIMIT: dict[str, Any] = {"name": "dask", "requests": 100, "window_seconds": 1, "in_flight": 50, "grace_seconds": 0.3}


@pytest.fixture
def flows(stack: RunningStack, tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, stack.addresses.redis_url, limit=LIMIT, knobs=QUICK, name="flowposts") as w:
        _ = w.pipeline
        yield w


@pytest.fixture
def cluster(flows: World, stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A scheduler and two workers, started as an operator would, each with the settings of any other worker."""
    address = f"tcp://127.0.0.1:{free_port()}"
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    shared = environment(flows, stack)
    with ExitStack() as undo:

        def launch(*words: str) -> subprocess.Popen[Any]:
            process = subprocess.Popen([*dask, *words], cwd=flows.folder, env=shared, **quiet)  # type: ignore[call-overload]
            undo.callback(process.wait, 20)
            undo.callback(process.terminate)
            return process

        host, port = "127.0.0.1", address.rsplit(":", 1)[1]
        launch("scheduler", "--host", host, "--port", port, "--dashboard-address", f"{host}:0")
        options = ["--nthreads", "8", "--no-nanny", "--no-dashboard"]
        for _ in range(2):
            launch("worker", address, "--host", host, *options)
        monkeypatch.setenv("ROWRELAY_TASK_RUNNER", "dask")
        monkeypatch.setenv("ROWRELAY_DASK_ADDRESS", address)
        yield


@pytest.mark.slow
def test_a_run_is_spread_over_the_processes_of_a_cluster_under_one_limit(
    flows: World, stack: RunningStack, cluster: None
) -> None:
    flows.more["request"] = {"timeout_seconds": 5.0}  # two more processes start up beside it
    process = start(flows, stack, file=flows.file(900, bad=1))
    client = connect(stack.addresses.redis_url)
    # The process of the run is an asker, too, but sends nothing itself.
    wait_until(lambda: status(client, "dask").askers >= 3, seconds=60, what="both workers to ask for permits")
    found = ended(process)

    assert (found["name"], found["message"]) == ("Completed", "With errors: 1 rejected, 900 done of 901")
    run, report = flows.run(found["run"]), flows.report()
    assert (run.state, run.counts[RowState.DONE]) == (RunState.FINISHED, 900)
    assert (report["arrivals"], report["over"]) == (900, 0)
    assert len({arrival["tag"] for arrival in flows.arrivals()}) == 900


@pytest.mark.slow
def test_a_stop_in_one_process_ends_the_run_everywhere(flows: World, stack: RunningStack, cluster: None) -> None:
    flows.control(faults={"error": 1.0})

    found = ended(start(flows, stack, file=flows.file(2000)))

    assert found["type"] == "FAILED"
    assert "requests in a row failed: 500 ×" in found["message"]
    run = flows.run(found["run"])
    assert run.state is RunState.STOPPED
    assert run.counts[RowState.WAITING] > 1000
    assert run.counts[RowState.WAITING] + run.counts[RowState.UNKNOWN] == 2000


def test_a_process_that_is_idle_gives_its_connections_and_threads_back(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not when a collector of garbage comes round: it has been told to look less often."""
    monkeypatch.setenv("ROWRELAY_REDIS_URL", redis_url)
    monkeypatch.setenv("ROWRELAY_DATA", str(tmp_path / "data"))
    client = connect(redis_url)
    with world(tmp_path, redis_url, limit=LIMIT, knobs=QUICK) as w:
        definition = load(w.pipeline)
        holder = Delivery("r1", definition, Settings.read(), redis_url)
        holder.ledger.create("r1", definition=definition.resolved(), by="test", pipeline="posts", file="rows.csv")
        holder.take(resume=False)
        holder.spooling.check(w.file(5))
        holder.ledger.open("r1", holder.lease.epoch)
        holder.release()
        gc.collect()
        before = len(client.client_list())
        gc.disable()
        try:
            sent = send_here(Portion("all", ((0, 5),), False), Share("r1", holder.lease.epoch, definition.resolved()))
            wait_until(lambda: len(client.client_list()) <= before, seconds=40, what="the connections to be closed")
        finally:
            gc.enable()

    assert sent == {"done": 5}


def test_what_goes_over_to_another_process_can_go() -> None:
    for each in (deliver, send_portion, Stopped("why", hint="what to do")):
        assert cloudpickle.loads(cloudpickle.dumps(each))


def test_without_the_package_the_setting_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "prefect_dask", None)

    with pytest.raises(SettingError, match="prefect-dask is not installed") as caught:
        runner(Settings(data=tmp_path, task_runner="dask"))
    assert "rowrelay[dask]" in caught.value.hint


def test_an_unknown_task_runner_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWRELAY_TASK_RUNNER", "ray")
    with pytest.raises(SettingError, match="ROWRELAY_TASK_RUNNER"):
        Settings.read()
