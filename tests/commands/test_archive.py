"""A backup of the data folder, and the way back: all of it, and nothing goes out a second time."""

from __future__ import annotations

import io
import json
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments.commands import cli
from deployments.embedded import archive
from deployments.embedded.locks import Lock
from deployments.embedded.redis_server import RedisServer
from flows.errors import FileError, SettingError, StackError
from flows.ledger.connection import connect
from flows.ledger.ledger import Ledger
from flows.ledger.view import View
from tests.harness.wait import wait_until
from tests.harness.world import ROOT, World, world

LIMIT = {"name": "archive", "requests": 40, "window_seconds": 1, "in_flight": 4, "grace_seconds": 0.2}
SLOWLY = {"delay_min_seconds": 0.5, "delay_max_seconds": 0.9}  # a backup is made meanwhile
PROGRAM = [sys.executable, "-m", "deployments.commands"]


def nothing_told(done: int, total: int) -> None:
    assert 0 <= done <= total


@pytest.fixture
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A data folder of its own with the embedded servers, and an API."""
    for name in ("ROWRELAY_REDIS_URL", "PREFECT_API_URL", "POSTS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ROWRELAY_SEPARATE_STACK", "1")
    monkeypatch.setenv("ROWRELAY_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(ROOT)
    with world(tmp_path, "", limit=LIMIT, knobs=SLOWLY, name="archived") as w:
        monkeypatch.setenv("ROWRELAY_PIPELINES", str(w.pipeline))
        yield w


def rowrelay(*words: object, code: int = 0) -> dict[str, Any]:
    """What a command says in JSON."""
    done = subprocess.run(
        [*PROGRAM, *map(str, words), "--json"], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == code, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.timeout(2000)
def test_a_backup_made_while_a_run_goes_on_brings_back_all_and_sends_nothing_twice(laptop: World) -> None:
    rows, data, saved = 300, laptop.folder / "data", laptop.folder / "monday.tgz"
    stray = data / "inbox" / "posts" / "stray.csv"
    stray.parent.mkdir(parents=True)
    stray.write_text("userId,title,body\n")
    file = laptop.file(rows, bad=2)
    process = subprocess.Popen(
        [*PROGRAM, "send", str(file), "--pipeline", "archived", "--yes"], stdout=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: laptop.report()["arrivals"] >= 10, seconds=120, what="some rows")
        made = rowrelay("backup", saved)
        assert made["runs"] == 1
        assert stat.S_IMODE(saved.stat().st_mode) == 0o600
        assert process.wait(300) == 1  # rejected rows
    finally:
        process.kill()
    assert laptop.report()["arrivals"] == rows

    data.rename(laptop.folder / "lost")
    back = rowrelay("restore", saved)
    (run,) = rowrelay("runs")["runs"]
    counts = run["counts"]
    assert back["unknown"] == {run["run"]: counts["unknown"]}
    assert (counts["waiting"], counts["rejected"]) == (0, 2)
    assert counts["done"] + counts["unknown"] + counts["sending"] == rows
    assert back["inbox_files"] == 1
    assert (data / archive.ASIDE / "posts" / "stray.csv").read_text() == "userId,title,body\n"
    assert not stray.exists()

    lost = rowrelay("send", "--resume", "last", code=1)["counts"]["unknown"]
    assert lost == counts["unknown"] + counts["sending"] > 0
    assert laptop.report()["arrivals"] == rows
    again = rowrelay("send", "--resume", "last", "--rows", "unknown", code=1)
    assert again["counts"]["done"] == rows
    assert laptop.report()["arrivals"] == rows + lost


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of a data folder."""
    made = RedisServer(tmp_path / "data" / "redis").start()
    yield made
    made.stop()


def test_every_file_and_the_ledger_at_one_instant_come_back(tmp_path: Path, server: RedisServer) -> None:
    data, client = tmp_path / "data", connect(server.url)
    Ledger(client).create("r", definition={"name": "x"}, by="me", file="a.csv")
    kept = {"uploads/1/a.csv": "a", "spool/r/manifest.json": "{}", "journal/r.jsonl": "", "inbox/x/done/b.csv": "b"}
    left_out = {"logs/x.log": "x", "stack/stack.json": "{}", "scratch/x/y": "y", "tide.json": "{}"}
    for name, content in (kept | left_out | {"inbox/x/c.csv": "c"}).items():
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text(content)

    size = archive.write(tmp_path / "b.tgz", data, client, nothing_told)
    head, aside = archive.read(tmp_path / "b.tgz", tmp_path / "new", nothing_told)

    assert size == (tmp_path / "b.tgz").stat().st_size
    assert (head.format, aside) == (archive.FORMAT, 1)
    found = {path.relative_to(tmp_path / "new").as_posix() for path in (tmp_path / "new").rglob("*") if path.is_file()}
    assert {name for name in found if not name.startswith("redis/")} == {*kept, "inbox-restored/x/c.csv"}
    assert all(stat.S_IMODE((tmp_path / "new" / name).stat().st_mode) == 0o600 for name in found)
    assert not list((data / "redis").glob("*.rdb"))
    again = RedisServer(tmp_path / "new" / "redis").start()
    try:
        assert View(connect(again.url)).run("r").file == "a.csv"
        Ledger(connect(again.url)).facts("r", peak=3)
        again.stop()
        again.start()  # what is written from now on is kept beside the snapshot
        assert View(connect(again.url)).run("r").facts.peak == 3
    finally:
        again.stop()


def test_what_is_no_whole_backup_of_this_version_is_refused(tmp_path: Path, server: RedisServer) -> None:
    whole = tmp_path / "b.tgz"
    (tmp_path / "data" / "uploads").mkdir()
    (tmp_path / "data" / "uploads" / "a").write_bytes(bytes(range(256)) * 1000)
    archive.write(whole, tmp_path / "data", connect(server.url), nothing_told)

    def refused(content: bytes, match: str) -> None:
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(FileError, match=match):
            archive.read(tmp_path / "x", tmp_path / "new", nothing_told)

    raw = whole.read_bytes()
    for cut in (0, 5, len(raw) // 3, len(raw) - 9, len(raw) - 1):
        refused(raw[:cut], "no backup that Rowrelay made, or it was cut off")
    refused(b"userId,title\n1,x\n", "no backup")
    refused(packed({"a.txt": b"x"}), "no backup")
    head = {"program": "9.0", "made": ""}
    refused(packed({archive.HEAD: json.dumps({"format": 2, "ledger": 1, **head}).encode()}), r"newer version, 9\.0")
    refused(packed({archive.HEAD: json.dumps({"format": 1, "ledger": 99, **head}).encode()}), r"newer version, 9\.0")
    whole_head = {archive.HEAD: json.dumps({"format": 1, "ledger": 1, **head}).encode()}
    refused(packed({**whole_head, archive.RDB: b"x"}), "cut off")
    refused(packed({**whole_head, "../outside": b"x", archive.END: b""}), "no backup")
    assert not (tmp_path / "outside").exists()

    with pytest.raises(FileError, match="is there already"):
        archive.write(whole, tmp_path / "data", connect(server.url), nothing_told)
    with pytest.raises(FileError, match="cannot be written: No such file"):
        archive.write(tmp_path / "no" / "b.tgz", tmp_path / "data", connect(server.url), nothing_told)


def packed(content: dict[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archived:
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archived.addfile(entry, io.BytesIO(data))
    return raw.getvalue()


def test_only_an_empty_data_folder_that_nobody_uses_is_restored_into(tmp_path: Path) -> None:
    archive.check_empty(tmp_path / "not there")
    (tmp_path / "logs").mkdir()
    (tmp_path / "stack").mkdir()
    archive.check_empty(tmp_path)
    lock = Lock.take(tmp_path / "stack" / "supervisor.lock")
    assert lock is not None
    with pytest.raises(StackError, match="Rowrelay is running"):
        archive.check_empty(tmp_path)
    lock.release()
    (tmp_path / "uploads").mkdir()
    with pytest.raises(SettingError, match="not empty") as refused:
        archive.check_empty(tmp_path)
    assert f"mv {tmp_path} {tmp_path}.before" in refused.value.hint


def test_the_commands_say_in_words_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROWRELAY_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("ROWRELAY_REDIS_URL", raising=False)
    (tmp_path / "x.csv").write_text("a,b\n")

    assert cli.main(["restore", str(tmp_path / "x.csv")]) == 2
    assert "is no backup that Rowrelay made" in capfd.readouterr().err
    assert cli.main(["restore", str(tmp_path / "missing.tgz")]) == 2
    assert "missing.tgz: cannot be restored: No such file" in capfd.readouterr().err
    assert not (tmp_path / "data").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]
    monkeypatch.setenv("ROWRELAY_REDIS_URL", "redis://127.0.0.1:1/0")
    assert cli.main(["restore", str(tmp_path / "x.csv")]) == 2
    assert "ROWRELAY_REDIS_URL names a Redis that is not part of the data folder" in capfd.readouterr().err
