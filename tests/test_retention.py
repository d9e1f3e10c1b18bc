"""The end of a run's life."""

from __future__ import annotations

import time
from pathlib import Path

from flows.connection import connect
from flows.journal import Journal
from flows.ledger import Answer, Ledger
from flows.ledger_view import View
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


def test_spool_and_journal_go_with_the_run(redis_url: str, tmp_path: Path) -> None:
    ledger, settings = Ledger(connect(redis_url)), Settings(data=tmp_path)
    made(ledger, "r1", state=RunState.STOPPED)
    (tmp_path / "spool" / "r1").mkdir(parents=True)
    (tmp_path / "spool" / "r1" / "part").write_text("x")
    Journal(tmp_path / "journal", "r1").append([Answer(1, 1, 1, RowState.DONE, b"", b"", None)])

    delete_run("r1", ledger, settings)

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
