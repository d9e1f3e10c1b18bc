"""The flow in a real Prefect: names, states, artifacts, retries, and runs that others start."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.ledger.connection import connect
from flows.ledger.view import View
from flows.records import RowState, RunState
from tests.harness.flow_runs import LIMIT, QUICK, ended, environment, start
from tests.harness.serving import ask
from tests.harness.stack import RunningStack
from tests.harness.wait import wait_until
from tests.harness.world import ROOT, World, world

PARAMETERS = ("pipeline", "file", "rows", "resume", "dry_run", "skip_delivered")


@pytest.fixture
def flows(stack: RunningStack, tmp_path: Path) -> Iterator[World]:
    """A world whose pipeline `posts` the flow finds instead of the shipped one's address."""
    with world(tmp_path, stack.addresses.redis_url, limit=LIMIT, knobs=QUICK, name="flowposts") as w:
        _ = w.pipeline
        yield w


def post(stack: RunningStack, path: str, **body: Any) -> httpx.Response:
    return ask(stack, path, body)


def api(stack: RunningStack, path: str, **body: Any) -> Any:
    return post(stack, path, **body).raise_for_status().json()


def test_a_run_that_went_well_is_completed_with_named_task_runs_and_artifacts(
    flows: World, stack: RunningStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROWRELAY_DASHBOARD_URL", "http://dash.example")
    found = ended(start(flows, stack, file=flows.file(250)))

    assert (found["type"], found["name"], found["message"]) == ("COMPLETED", "Completed", "250 done of 250")
    run = View(connect(stack.addresses.redis_url)).run(found["run"])
    assert (run.state, run.counts[RowState.DONE], run.by) == (RunState.FINISHED, 250, "test")

    flow_run = httpx.get(f"{stack.addresses.prefect_api_url}/flow_runs/{found['run']}").json()
    assert flow_run["name"] == "flowposts · rows.csv"
    tasks = wait_until(
        lambda: len(t := api(stack, "/task_runs/filter", flow_runs={"id": {"any_": [found["run"]]}})) == 3 and t,
        seconds=30,
        what="three task runs on record",
    )
    assert sorted(task["name"] for task in tasks) == ["rows 1-100", "rows 101-200", "rows 201-250"]
    artifacts = api(stack, "/artifacts/filter", artifacts={"flow_run_id": {"any_": [found["run"]]}})
    kinds = {artifact["type"] for artifact in artifacts}
    assert {"progress", "table"} <= kinds
    told = {artifact["key"]: artifact["description"] for artifact in artifacts if artifact["type"] != "progress"}
    assert told == {
        f"results-flowposts-{found['run'][:8]}": "What became of the rows of rows.csv: finished",
        f"dashboard-flowposts-{found['run'][:8]}": "Run of rows.csv on the dashboard",
    }
    (table,) = [json.loads(artifact["data"]) for artifact in artifacts if artifact["type"] == "table"]
    assert {"row": "", "state": "done", "rows": 250, "status": "", "reason": ""} in table


class Chunk:
    """What waiting needs of a task run."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[[Any], None]] = []
        self.asked = 0

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        self.callbacks.append(fn)

    def result(self) -> dict[str, int]:
        self.asked += 1
        return {}


class Told:
    """A delivery and a report on it."""

    view, interrupted = None, False

    def __init__(self) -> None:
        self.progressed = 0

    def progress(self, view: object) -> None:
        self.progressed += 1


@pytest.mark.slow
def test_waiting_for_a_long_run_leaves_nothing_more_in_its_chunks_the_longer_it_takes() -> None:
    from flows.flow_runs.mapping import (  # it brings Prefect along, which the other tests run elsewhere
        PROGRESS_SECONDS,
        wait,
    )

    chunks, told = [Chunk() for _ in range(3)], Told()
    waiting = threading.Thread(target=wait, args=(chunks, told, told))
    waiting.start()
    wait_until(lambda: told.progressed >= 2, seconds=15, what="two reports")

    assert [len(chunk.callbacks) for chunk in chunks] == [1, 1, 1]
    for chunk in chunks:
        chunk.callbacks[0](chunk)
    waiting.join(PROGRESS_SECONDS)
    assert not waiting.is_alive()
    assert [chunk.asked for chunk in chunks] == [1, 1, 1]


def test_rejected_rows_end_under_a_name_that_prefects_pages_show_with_errors_among_the_tags(
    flows: World, stack: RunningStack
) -> None:
    found = ended(start(flows, stack, file=flows.file(20, bad=2)))

    assert (found["type"], found["name"], found["tags"]) == ("COMPLETED", "Completed", ["with errors"])
    assert found["message"] == "With errors: 2 rejected, 20 done of 22"


def test_a_mistake_of_ours_ends_the_run_with_a_reason(flows: World, stack: RunningStack) -> None:
    """The run and Prefect say the same, and it can be resumed."""
    found = ended(start(flows, stack, file=flows.file(20), broken="planned"))

    run = flows.run(found["run"])
    assert (found["type"], run.state) == ("FAILED", RunState.STOPPED)
    assert "no " in found["message"]
    assert run.reason.startswith("Internal error: KeyError(")
    assert "The log of the process" in run.reason
    assert not run.busy

    resumed = ended(start(flows, stack, resume=found["run"]))
    assert resumed["type"] == "COMPLETED"
    assert flows.run(found["run"]).counts[RowState.DONE] == 20


def test_a_file_that_cannot_be_read_fails_with_the_reason_and_sends_nothing(flows: World, stack: RunningStack) -> None:
    (flows.folder / "empty.csv").write_text("")

    found = ended(start(flows, stack, file=flows.folder / "empty.csv"))

    assert found["type"] == "FAILED"
    assert "empty.csv" in found["message"]
    assert flows.report()["arrivals"] == 0


def test_a_file_outside_the_allowed_folders_is_refused(flows: World, stack: RunningStack) -> None:
    found = ended(start(flows, stack, file=flows.file(5), trusted=False))

    assert found["type"] == "FAILED"
    assert "outside the folders" in found["message"]
    assert flows.report()["arrivals"] == 0


def test_a_dry_run_checks_and_sends_nothing_and_can_be_sent_afterwards(flows: World, stack: RunningStack) -> None:
    checked = ended(start(flows, stack, file=flows.file(30, bad=1), dry_run=True))
    assert (checked["name"], checked["tags"], flows.report()["arrivals"]) == ("Completed", ["checked"], 0)

    sent = ended(start(flows, stack, resume=checked["run"][:10]))

    assert checked["title"] == "flowposts · rows.csv · check"
    assert sent["title"] == "flowposts · rows.csv"  # the check was not the sending
    assert (sent["run"], sent["message"]) == (checked["run"], "With errors: 1 rejected, 30 done of 31")
    assert flows.report()["arrivals"] == 30


def test_a_corrected_whole_file_can_leave_out_what_was_delivered(flows: World, stack: RunningStack) -> None:
    flows.more |= {"name": "keyedflow", "key": ["userId"]}
    given = {"pipeline": "keyedflow", "file": flows.file(20)}
    assert ended(start(flows, stack, **given))["message"] == "20 done of 20"
    flows.file(25)

    found = ended(start(flows, stack, **given, skip_delivered=True))

    assert (found["type"], found["name"]) == ("COMPLETED", "Completed")
    assert found["message"] == "20 skipped, 5 done of 25"
    assert flows.report()["arrivals"] == 25


@pytest.mark.slow
def test_a_resumed_run_keeps_to_the_definition_it_began_with(flows: World, stack: RunningStack) -> None:
    """A changed pipeline does not change it, and a changed record of it is not believed."""
    view = View(connect(stack.addresses.redis_url))
    first, second = (ended(start(flows, stack, file=flows.file(5), dry_run=True))["run"] for _ in range(2))
    flows.more["request"] = {"headers": {"X-New": "yes"}}

    found = ended(start(flows, stack, resume=first))

    assert found["message"] == "5 done of 5"
    assert any("the run keeps to its own" in text for _, text in view.events(first))

    key = f"rowrelay:run:{{{second}}}:definition"
    stored = json.loads(view.client.get(key))
    view.client.set(key, json.dumps(stored | {"request": stored["request"] | {"method": "PUT"}}))

    found = ended(start(flows, stack, resume=second))

    assert found["type"] == "FAILED"
    assert "is not the one it began with" in found["message"]
    assert flows.report()["arrivals"] == 5


def test_nothing_can_be_left_out_without_a_key(flows: World, stack: RunningStack) -> None:
    found = ended(start(flows, stack, file=flows.file(5), skip_delivered=True))

    assert found["type"] == "FAILED"
    assert "has no `key`" in found["message"]
    assert flows.report()["arrivals"] == 0


@pytest.mark.slow
def test_a_definition_that_has_become_wrong_stops_new_runs_of_it_and_no_run_that_is_resumed(
    flows: World, stack: RunningStack
) -> None:
    checked = ended(start(flows, stack, file=flows.file(30), dry_run=True))
    flows.more["limmit"] = 7

    refused = ended(start(flows, stack, file=flows.file(30)))
    assert refused["type"] == "FAILED"
    assert "posts.yaml" in refused["message"]
    assert "limmit" in refused["message"]

    sent = ended(start(flows, stack, resume=checked["run"]))
    assert sent["message"] == "30 done of 30"


def test_sigterm_ends_as_cancelled_and_keeps_what_is_finished(flows: World, stack: RunningStack) -> None:
    process = start(flows, stack, file=flows.file(2000))
    view = View(connect(stack.addresses.redis_url))
    wait_until(
        lambda: (
            (runs := view.runs(0, 1))
            and runs[0].file == str(flows.folder / "rows.csv")
            and runs[0].counts[RowState.DONE] > 20
        ),
        seconds=60,
        what="some rows",
    )
    process.send_signal(signal.SIGTERM)
    found = ended(process)

    run = view.run(found["run"])
    assert (found["type"], run.state) == ("CANCELLED", RunState.CANCELLED)
    assert run.counts[RowState.SENDING] == run.counts[RowState.UNKNOWN] == 0
    assert run.counts[RowState.DONE] == flows.report()["arrivals"]


@contextmanager
def served(w: World, stack: RunningStack) -> Iterator[None]:
    """`rowrelay serve` for the length of the block."""
    log = (w.folder / "serve.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "deployments.commands", "serve"],
        cwd=ROOT,
        env=environment(w, stack),
        stdout=log,
        stderr=log,
    )
    try:

        def there() -> bool:
            answer = httpx.get(f"{stack.addresses.prefect_api_url}/deployments/name/deliver/flowposts")
            return answer.status_code == 200 or process.poll() is not None

        wait_until(there, seconds=60, what="the deployment")
        assert process.poll() is None, (w.folder / "serve.log").read_text()[-2000:]
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        log.close()


@pytest.mark.slow
def test_a_run_triggered_from_outside_is_delivered_and_cancelled_and_retried(flows: World, stack: RunningStack) -> None:
    view = View(connect(stack.addresses.redis_url))
    uploads = stack.settings.uploads
    uploads.mkdir(parents=True, exist_ok=True)
    flows.file(1500).rename(uploads / "outside.csv")
    with served(flows, stack):
        deployment = httpx.get(f"{stack.addresses.prefect_api_url}/deployments/name/deliver/flowposts").json()
        schema = deployment["parameter_openapi_schema"]["properties"]
        assert schema["rows"]["enum"] == ["unfinished", "failed", "unknown", "reconcile", "accepted"]
        assert all(schema[name]["description"] for name in PARAMETERS)

        path = f"/deployments/{deployment['id']}/create_flow_run"
        refused = post(stack, path, parameters={"file": "outside.csv", "rows": "everything"})
        assert refused.status_code == 409

        flow_run = api(
            stack,
            path,
            parameters={"pipeline": "flowposts", "file": "outside.csv"},
            tags=["by:dashboard"],
        )["id"]
        wait_until(
            lambda: (
                view.client.exists(f"rowrelay:run:{{{flow_run}}}") and view.run(flow_run).counts[RowState.DONE] > 20
            ),
            seconds=60,
            what="some rows",
        )
        assert view.run(flow_run).by == "dashboard"
        api(stack, f"/flow_runs/{flow_run}/set_state", state={"type": "CANCELLING"})
        wait_until(lambda: view.run(flow_run).state is RunState.CANCELLED, seconds=40, what="the end")
        sent = flows.report()["arrivals"]
        assert view.run(flow_run).counts[RowState.DONE] == sent < 1500

        def state() -> str:
            return str(httpx.get(f"{stack.addresses.prefect_api_url}/flow_runs/{flow_run}").json()["state"]["type"])

        wait_until(lambda: state() == "CANCELLED", seconds=40, what="Prefect to say so")
        time.sleep(0.5)
        api(stack, f"/flow_runs/{flow_run}/set_state", state={"type": "SCHEDULED", "name": "AwaitingRetry"}, force=True)
        wait_until(
            lambda: view.run(flow_run).counts[RowState.DONE] == 1500,
            seconds=90,
            what="Prefect's retry to finish the run",
        )
        assert flows.report()["keys_repeated"] == 0
