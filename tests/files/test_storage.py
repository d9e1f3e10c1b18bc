"""A storage that all machines reach: a folder or an S3 bucket, with a whole delivery over two that share no disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec
import pytest
from starlette.testclient import TestClient

from dashboard import connections
from dashboard.api.app import make_api
from flows.delivery.journal import Journal
from flows.errors import FileError, StorageError
from flows.intake.fate import Fate
from flows.intake.incoming import Folder
from flows.ledger.ledger import Answer
from flows.pipeline.pipelines import present
from flows.records import RowState, RunState
from flows.settings import Settings
from flows.spool.spool import Spool
from flows.storage.located import find, opened, stored
from flows.storage.storage import Storage
from tests.delivery.test_inbox import look, w_file
from tests.files.test_spool import numbers
from tests.harness.proxy import Proxy
from tests.harness.s3 import bucket, s3_environment
from tests.harness.stack import RunningStack
from tests.harness.wait import wait_until
from tests.harness.world import ROOT, World, world
from tests.prefect.test_deliver import LIMIT, QUICK, ended

__all__ = ["bucket", "s3_environment"]


@pytest.fixture(params=["local", "s3", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "s3":
        yield request.getfixturevalue("bucket") + "/storage"
    else:
        yield str(tmp_path / "storage") if request.param == "local" else "memory://storage"
    fsspec.filesystem("memory").store.clear()


def made(folder: Path, content: bytes = b"userId\n1\n") -> Path:
    path = folder / "made"
    path.write_bytes(content)
    return path


def test_what_is_put_is_moved_and_comes_back_as_it_was(url: str, tmp_path: Path) -> None:
    storage, content = Storage(url), os.urandom(3 << 20)
    source = made(tmp_path, content)

    storage.put(source, "20260101/füchse {1}.csv")

    assert not source.exists()
    assert storage.exists("20260101/füchse {1}.csv")
    assert storage.names("20260101") == ["20260101/füchse {1}.csv"]
    storage.fetch("20260101/füchse {1}.csv", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    storage.delete("20260101")
    assert not storage.exists("20260101/füchse {1}.csv")
    assert storage.names("20260101") == []
    storage.delete("20260101")


@pytest.mark.parametrize("name", ["../out.csv", "a/../../out.csv", "/etc/passwd", "", "a\n.csv"])
def test_a_name_cannot_lead_out_of_the_storage(url: str, tmp_path: Path, name: str) -> None:
    storage = Storage(url)
    assert not storage.exists(name)
    for act in (lambda: storage.put(made(tmp_path), name), lambda: storage.fetch(name, tmp_path / "x")):
        with pytest.raises(FileError, match="is no name of a stored file"):
            act()


def test_what_is_not_there_is_told(tmp_path: Path, s3_environment: dict[str, str]) -> None:
    with pytest.raises(FileError, match="there is no such file"):
        Storage(str(tmp_path)).fetch("a.csv", tmp_path / "x")
    for _ in range(2):  # a misspelt bucket must not be made
        with pytest.raises(StorageError, match="bucket does not exist"):
            Storage("s3://no-such-bucket-at-all/x").put(made(tmp_path), "a.csv")


@pytest.fixture
def s3_away(s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    kinds = type(fsspec.filesystem("s3"))
    kinds.clear_instance_cache()
    yield
    kinds.clear_instance_cache()


def test_a_storage_that_is_away_is_not_taken_for_an_empty_one(s3_away: None, tmp_path: Path) -> None:
    for ask in (
        lambda: Storage("s3://bucket/x").exists("a.csv"),
        lambda: Storage("s3://bucket/x").names("a"),
        lambda: Storage("s3://bucket/x").fetch("a.csv", tmp_path / "x"),
        lambda: Spool("s3://bucket/x", "run").exists(),
        lambda: Spool("s3://bucket/x", "run").delete(),
        lambda: Folder("s3://bucket/in").incoming(),
    ):
        with pytest.raises(StorageError, match="cannot be"):
            ask()


def test_an_upload_whose_process_was_killed_is_not_there(bucket: str, tmp_path: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(200 << 20)
    put = f"from pathlib import Path; from flows.storage.storage import Storage; print('go', flush=True);\
Storage({bucket!r}).put(Path({str(big)!r}), 'x/big.csv')"
    process = subprocess.Popen([sys.executable, "-c", put], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    wait_until(lambda: _under_way(bucket), seconds=30, what="the upload to begin")
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert Storage(bucket).names("x") == []
    assert big.exists()


def _under_way(bucket: str) -> bool:
    fs = fsspec.filesystem("s3")
    found = fs.call_s3("list_multipart_uploads", Bucket=bucket.removeprefix("s3://"))
    return bool(found.get("Uploads"))


def test_a_spool_is_written_read_and_removed_in_a_bucket(bucket: str) -> None:
    spool = Spool(bucket + "/spool", "run")
    spool.write(*numbers(0, 5))
    assert not Spool(bucket + "/spool", "run").exists()
    spool.finish(["n", "t"])

    assert len(Spool(bucket + "/spool", "run").read(0, 9)) == 5
    spool.delete()
    assert not Spool(bucket + "/spool", "run").exists()


def test_outcomes_that_redis_did_not_take_are_found_by_another_machine(bucket: str, tmp_path: Path) -> None:
    one = Answer(1, 1, 1, RowState.DONE, b"\x00", b"", 1000)
    two = Answer(2, 1, 2, RowState.FAILED, b"\x01", b"why", None)
    shared = Storage(bucket + "/journal")
    here = Journal(tmp_path / "here", "run", shared=shared)
    here.append([one])
    here.share()
    part = Journal(tmp_path / "here", "run", part="host-1", shared=shared)
    part.append([two])
    part.share()

    there = Journal(tmp_path / "there", "run", shared=shared)
    assert sorted(there.read(), key=lambda answer: answer.row) == [one, two]
    there.clear()
    assert Journal(tmp_path / "elsewhere", "run", shared=shared).read() == []


def test_a_mark_of_an_object_is_the_same_in_a_list_and_by_itself(bucket: str, tmp_path: Path) -> None:
    fs = fsspec.filesystem("s3")
    fs.pipe(bucket + "/in/a.csv", b"userId\n1\n")
    fs.pipe(bucket + "/in/", b"")  # as consoles make folders
    (arrival,) = Folder(bucket + "/in").incoming()
    Folder(bucket + "/in").copy(arrival, tmp_path / "copy", max_bytes=1000)  # raises Changed otherwise

    fs.pipe(bucket + "/in/a.csv", b"userId\n2\n")
    (changed,) = Folder(bucket + "/in").incoming()
    assert changed.mark != arrival.mark


def test_a_file_is_opened_where_it_lies_or_as_a_copy(url: str, tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data", storage=url)
    storage: Any = stored(settings)
    storage.put(made(tmp_path), "20260101/a.csv")

    find("20260101/a.csv", settings, "posts")
    with opened("20260101/a.csv", settings, present(settings)["posts"]) as path:
        assert path.read_bytes() == b"userId\n1\n"
        assert path.name == "a.csv"
    assert not list((tmp_path / "data").rglob("scratch/*"))
    for name in ("20260101/b.csv", "../data/x.csv"):
        with pytest.raises(FileError):
            find(name, settings, "posts")


# -- two machines that share no disk ----------------------------------------------------------------------------------


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
    connections.settings.cache_clear()
    with TestClient(make_api(), base_url="http://127.0.0.1:8501", raise_server_exceptions=False) as client:
        yield client
    connections.settings.cache_clear()


def begun_on_second_machine(tmp_path: Path, module: str, **given: Any) -> subprocess.Popen[str]:
    """A process with the first machine's environment and a data folder of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", module, json.dumps(given)],
        cwd=ROOT,
        env={**os.environ, "ROWRELAY_DATA": str(tmp_path / "second")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def on_second_machine(tmp_path: Path, module: str, **given: Any) -> dict[str, Any]:
    return ended(begun_on_second_machine(tmp_path, module, **given))


def test_an_upload_here_is_delivered_there_and_its_results_are_read_here(
    flows: World, dashboard: TestClient, bucket: str, tmp_path: Path
) -> None:
    body = flows.file(50, bad=1).read_bytes()

    upload = dashboard.put("/files/rows {1}.csv", content=body).json()
    found = on_second_machine(
        tmp_path, "tests.harness.flow_process", pipeline="flowposts", file=upload["file"], trusted=False
    )
    results = dashboard.get(f"/runs/{found['run']}/results.json").json()["result"]

    assert (found["name"], found["message"]) == ("CompletedWithErrors", "1 rejected, 50 done of 51")
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
        given = {"pipeline": "flowposts", "file": upload["file"], "trusted": False}
        process = begun_on_second_machine(tmp_path, "tests.harness.flow_process", **given)
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
    connections.settings.cache_clear()

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
        (run,) = (run for run in w.view.runs(0, 10) if run.facts["name"] == "good.csv")
        assert (run.state, run.counts[RowState.DONE]) == (RunState.FINISHED, 5)
        assert run.file == bucket + "/in/done/good.csv"
        elsewhere = Settings(data=tmp_path / "elsewhere", storage=bucket + "/storage", inboxes=(bucket + "/in",))
        assert len(Spool(elsewhere.spool_url, run.id).read(0, 9)) == 5
        with opened(run.file, elsewhere, _definition(w)) as path:  # if the spool were lost
            assert path.read_bytes() == w_file(5)


def _definition(w: World) -> Any:
    from flows.pipeline.reading import load

    return load(w.pipeline)
