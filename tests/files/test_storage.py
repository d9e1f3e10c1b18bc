"""A storage that all machines reach: a folder or an S3 bucket, with a whole delivery over two that share no disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from flows.delivery.journal import Journal
from flows.errors import FileError, StorageError
from flows.intake.folder import Folder
from flows.ledger.moves import Answer
from flows.pipeline.pipelines import present
from flows.records import RowState
from flows.settings import Settings
from flows.spool.spool import Spool
from flows.storage.located import find, opened, stored
from flows.storage.storage import Storage
from tests.harness.s3 import bucket, s3_environment
from tests.harness.spooled import numbers
from tests.harness.wait import wait_until
from tests.harness.world import ROOT

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
    writer = spool.writer()
    writer.write(*numbers(0, 5))
    assert not Spool(bucket + "/spool", "run").exists()
    writer.finish(["n", "t"])

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
