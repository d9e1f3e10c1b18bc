"""The end of a run's life."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from flows.deliver import _known
from flows.delivery.journal import Journal
from flows.errors import RunDeleted
from flows.ledger import keys
from flows.ledger.connection import connect
from flows.ledger.ledger import Ledger
from flows.ledger.moves import Answer
from flows.ledger.view import View
from flows.records import RowState, RunState
from flows.retention import delete_run, purge
from flows.settings import Settings

DAY = 86_400


def made(ledger: Ledger, run: str, *, state: RunState | None) -> None:
    ledger.create(run, definition={}, by="test", pipeline="posts", file="f.csv")
    epoch = ledger.take(run, "me", resume=False)
    if state:
        ledger.end(run, epoch, state)


def test_ended_runs_go_when_the_retention_is_over_and_others_stay(redis_url: str, tmp_path: Path) -> None:
    client = connect(redis_url)
    ledger, view, settings = Ledger(client), View(client), Settings(data=tmp_path, retention_days=30)
    made(ledger, "ended", state=RunState.FINISHED)
    made(ledger, "under way", state=None)

    assert purge(ledger, view, settings) == []
    assert purge(ledger, view, settings, now=time.time() + 29 * DAY) == []
    assert purge(ledger, view, settings, now=time.time() + 31 * DAY) == ["ended"]
    assert [run.id for run in view.runs()] == ["under way"]


def made_old(redis_url: str, run: str, days: float) -> None:
    """Let a run have been created, ended and held so long ago."""
    client, then = connect(redis_url), time.time() - days * DAY
    key = keys.run_key(run)
    for name in ("created", "ended", "lease"):
        if client.hget(key, name):
            client.hset(key, name, round(then * 1000) if name != "lease" or client.hget(key, name) != b"0" else 0)
    client.zadd(keys.RUNS, {run: then})


def test_many_old_runs_that_must_stay_do_not_keep_others_from_going(redis_url: str, tmp_path: Path) -> None:
    client = connect(redis_url)
    ledger, view, settings = Ledger(client), View(client), Settings(data=tmp_path, retention_days=30)
    for n in range(130):
        made(ledger, f"live-{n}", state=None)
        client.zadd(keys.RUNS, {f"live-{n}": time.time() - 90 * DAY})
    made(ledger, "ended", state=RunState.FINISHED)
    made_old(redis_url, "ended", 60)

    assert purge(ledger, view, settings) == ["ended"]
    assert view.count() == 130


def test_a_run_that_was_only_checked_or_left_behind_goes_too(redis_url: str, tmp_path: Path) -> None:
    client = connect(redis_url)
    ledger, view, settings = Ledger(client), View(client), Settings(data=tmp_path, retention_days=30)
    made(ledger, "checked", state=RunState.CHECKING)
    made(ledger, "left-behind", state=None)
    made(ledger, "resumed-lately", state=None)
    for run in ("checked", "left-behind", "resumed-lately"):
        made_old(redis_url, run, 60)
    client.hset(keys.run_key("resumed-lately"), "lease", round((time.time() - DAY) * 1000))

    assert sorted(purge(ledger, view, settings)) == ["checked", "left-behind"]
    assert [run.id for run in view.runs()] == ["resumed-lately"]


def test_a_storage_that_fails_is_logged_and_the_run_is_there_to_be_tried_again(
    redis_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(redis_url)
    ledger, view = Ledger(client), View(client)
    for run in ("bad/name", "good"):  # no spool can have the first name
        made(ledger, run, state=RunState.FINISHED)
        made_old(redis_url, run, 60)

    assert purge(ledger, view, Settings(data=tmp_path, retention_days=30)) == ["good"]
    assert [run.id for run in view.runs()] == ["bad/name"]
    assert "bad/name could not be deleted" in caplog.text


def test_the_uploaded_file_goes_with_the_last_run_that_has_it(redis_url: str, tmp_path: Path) -> None:
    ledger, settings = Ledger(connect(redis_url)), Settings(data=tmp_path)
    upload = settings.uploads / "a1b2" / "f.csv"
    upload.parent.mkdir(parents=True)
    upload.write_text("x")
    for run in ("r1", "r2"):
        ledger.create(run, definition={}, by="test", pipeline="posts", file="a1b2/f.csv")

    delete_run("r1", ledger, settings)
    assert upload.exists()
    delete_run("r2", ledger, settings)
    assert not upload.parent.exists()


def test_a_file_that_is_no_upload_is_never_removed(redis_url: str, tmp_path: Path) -> None:
    ledger, settings = Ledger(connect(redis_url)), Settings(data=tmp_path / "data")
    (settings.uploads).mkdir(parents=True)
    for run, name in enumerate(("../../mine/f.csv", str(tmp_path / "mine" / "f.csv"), "f.csv", "")):
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / "f.csv").write_text("x")
        ledger.create(f"r{run}", definition={}, by="test", pipeline="posts", file=name)

        delete_run(f"r{run}", ledger, settings)

        assert (tmp_path / "mine" / "f.csv").exists()
        assert settings.uploads.is_dir()


def test_an_upload_that_no_run_has_goes_when_runs_of_its_age_would(redis_url: str, tmp_path: Path) -> None:
    """Not before: a run that waits in Prefect has a file, and the ledger does not know of it yet."""
    client = connect(redis_url)
    ledger, view, settings = Ledger(client), View(client), Settings(data=tmp_path, retention_days=30)
    old, young = time.time() - 31 * DAY, time.time() - 29 * DAY
    for name in ("stray", "kept", "young", "inbox"):
        (settings.uploads / name).mkdir(parents=True)
        (settings.uploads / name / "f.csv").write_text("x")
        at = young if name == "young" else old
        os.utime(settings.uploads / name, (at, at))
    ledger.create("r1", definition={}, by="test", pipeline="posts", file="kept/f.csv")

    purge(ledger, view, settings)

    assert sorted(each.name for each in settings.uploads.iterdir() if each.is_dir()) == ["inbox", "kept", "young"]


def test_spool_and_journal_go_with_the_run(redis_url: str, tmp_path: Path) -> None:
    ledger, settings = Ledger(connect(redis_url)), Settings(data=tmp_path)
    made(ledger, "r1", state=RunState.STOPPED)
    (tmp_path / "spool" / "r1").mkdir(parents=True)
    (tmp_path / "spool" / "r1" / "part").write_text("x")
    Journal(tmp_path / "journal", "r1").append([Answer(1, 1, 1, RowState.DONE, b"", b"", None)])

    delete_run("r1", ledger, settings)

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_deleted_run_that_prefect_begins_once_more_is_not_sent_anew(redis_url: str, tmp_path: Path) -> None:
    """A Retry in Prefect's pages; what expired by itself says so as well."""
    ledger, view, settings = Ledger(connect(redis_url)), View(connect(redis_url)), Settings(data=tmp_path)
    for run in ("by-hand", "expired"):
        made(ledger, run, state=RunState.FINISHED)
    delete_run("by-hand", ledger, settings, by="ops")
    assert purge(ledger, view, settings, now=time.time() + 91 * DAY) == ["expired"]

    for run, who in (("by-hand", "ops"), ("expired", "Rowrelay, which keeps runs for 90 days")):
        with pytest.raises(RunDeleted, match=f"Run {run} was deleted on .* by {who}"):
            _known(view, run)
