"""Two machines that share a storage and no disk: an upload here is delivered there."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec
import pytest
from starlette.testclient import TestClient

from dashboard.api.app import make_api
from flows.intake.fate import Fate
from flows.records import RowState, RunState
from flows.settings import Settings
from flows.spool.spool import Spool
from flows.storage.located import opened
from tests.harness.flow_runs import LIMIT, QUICK, begun, ended
from tests.harness.forked import Forked
from tests.harness.inboxes import look, w_file
from tests.harness.proxy import Proxy
from tests.harness.remembered import forget
from tests.harness.s3 import bucket, s3_environment
from tests.harness.stack import RunningStack
from tests.harness.wait import wait_until
from tests.harness.world import World, world

__all__ = ["bucket", "s3_environment"]


@pytest.fixture
def flows(stack: RunningStack, tmp_path: Path) -> Iterator[World]:
    limit = LIMIT | {"name": "storage"}
    with world(tmp_path, stack.addresses.redis_url, limit=limit, knobs=QUICK, name="flowposts") as w:
        _ = w.pipeline
        yield w


@pytest.fixture
def dashboard(
    flows: World, stack: RunningStack, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    """The dashboard's API on the first machine."""
    for name, value in {
        **stack.environment,
        "ROWRELAY_DATA": str(tmp_path / "first"),
        "ROWRELAY_STORAGE": bucket,
        "ROWRELAY_PIPELINES": str(flows.pipeline),
    }.items():
        monkeypatch.setenv(name, value)
    forget()
    with TestClient(make_api(), base_url="http://127.0.0.1:8501", raise_server_exceptions=False) as client:
        yield client


def begun_on_second_machine(flows: World, **given: Any) -> Forked:
    """A run in a process with the first machine's environment and a data folder of its own."""
    second = {**os.environ, "ROWRELAY_DATA": str(flows.folder / "second")}
    return begun(flows, "flow_process", second, pipeline="flowposts", trusted=False, **given)


def test_an_upload_here_is_delivered_there_and_its_results_are_read_here(
    flows: World, dashboard: TestClient, bucket: str, tmp_path: Path
) -> None:
    body = flows.file(50, bad=1).read_bytes()

    upload = dashboard.put("/files/rows {1}.csv", content=body).json()
    found = ended(begun_on_second_machine(flows, file=upload["file"]))
    results = dashboard.get(f"/runs/{found['run']}/results.json").json()["result"]

    assert (found["name"], found["message"]) == ("Completed", "With errors: 1 rejected, 50 done of 51")
    assert [row["result"] for row in results] == ["done"] * 50 + ["rejected"]
    assert dashboard.get(f"/runs/{found['run']}/troubled.csv").text.count("\n") == 2
    assert fsspec.filesystem("s3").exists(f"{bucket}/uploads/{upload['file']}")
    for machine in ("first", "second"):
        left = [path.name for path in (tmp_path / machine).rglob("*") if path.is_file()]
        assert not [name for name in left if name.endswith((".csv", ".parquet", ".part"))], left

    assert dashboard.delete(f"/runs/{found['run']}").status_code == 204
    assert not fsspec.filesystem("s3").find(bucket + "/uploads")
    assert not fsspec.filesystem("s3").find(bucket + "/spool")


@pytest.mark.slow
def test_nobody_else_takes_up_a_run_whose_file_takes_long_to_arrive(
    flows: World, dashboard: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = dashboard.put("/files/far.csv", content=flows.file(20).read_bytes()).json()
    with Proxy(urlsplit(os.environ["AWS_ENDPOINT_URL"]).port or 0) as far:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{far.port}")
        far.set(jitter=(3.0, 3.0))  # each way: one question to the storage outlasts a lease
        process = begun_on_second_machine(flows, file=upload["file"])
        run = wait_until(
            lambda: next((run.id for run in flows.view.runs(0, 5) if run.file == upload["file"] and run.busy), ""),
            seconds=60,
            what="somebody to take it up",
        )

        seen = []
        while len(seen) < 80:
            seen.append(flows.view.run(run))
            time.sleep(0.1)
        far.set(jitter=(0.0, 0.0))

        assert {(each.state, each.busy) for each in seen} == {(RunState.CHECKING, True)}
        assert ended(process)["message"] == "20 done of 20"


def test_an_upload_that_is_refused_leaves_nothing_in_the_storage(
    dashboard: TestClient, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROWRELAY_MAX_UPLOAD_BYTES", "1000")
    forget()

    def chunks() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    assert dashboard.put("/files/big.csv", content=chunks()).status_code == 413
    assert dashboard.put("/files/empty.csv", content=b"").status_code == 400
    assert fsspec.filesystem("s3").find(bucket) == []
    assert not [path for path in (tmp_path / "first").rglob("*") if path.is_file()]


def test_an_inbox_in_a_bucket_is_emptied_by_a_machine_without_a_shared_disk(
    tmp_path: Path, redis_url: str, bucket: str
) -> None:
    fs = fsspec.filesystem("s3")
    with world(tmp_path, redis_url, limit=LIMIT | {"name": "s3-inbox"}, knobs=QUICK) as w:
        fs.pipe(bucket + "/in/good.csv", w_file(5))
        fs.pipe(bucket + "/in/mixed.csv", w_file(3) + b"x,,b\n")
        here = {"storage": bucket + "/storage", "inboxes": (bucket + "/in",)}

        assert look(w, bucket + "/in", **here) == {"good.csv": Fate.DELIVERED, "mixed.csv": Fate.TROUBLED}
        assert look(w, bucket + "/in", **here) == {}

        assert fs.exists(bucket + "/in/done/good.csv")
        assert json.loads(fs.cat_file(bucket + "/in/failed/mixed.csv.report.json"))["rejected"] == 1
        assert not fs.find(bucket + "/storage/uploads")
        (run,) = (run for run in w.view.runs(0, 10) if run.facts.name == "good.csv")
        assert (run.state, run.counts[RowState.DONE]) == (RunState.FINISHED, 5)
        assert run.file == bucket + "/in/done/good.csv"
        elsewhere = Settings(data=tmp_path / "elsewhere", storage=bucket + "/storage", inboxes=(bucket + "/in",))
        assert len(Spool(elsewhere.spool_url, run.id).read(0, 9)) == 5
        with opened(run.file, elsewhere, _definition(w)) as path:  # if the spool were lost
            assert path.read_bytes() == w_file(5)


def _definition(w: World) -> Any:
    from flows.pipeline.reading import load

    return load(w.pipeline)
