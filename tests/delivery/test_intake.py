"""What keeps a file in the inbox and what puts it away: only what the file itself is to blame for, or its end."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from flows.errors import DefinitionError, SettingError
from flows.intake.fate import Fate
from flows.intake.origin import origin
from flows.intake.turn import turn
from flows.ledger.connection import connect
from flows.ledger.inbox import Claims
from flows.ledger.ledger import Ledger
from flows.ledger.run import Run
from flows.pipeline.reading import load
from flows.records import RowState, RunState
from flows.retention import delete_run
from tests.harness.inboxes import LIMIT, QUICK, inbox, intake, look, put, report, settings, w_file
from tests.harness.wait import wait_until
from tests.harness.world import World, world


@pytest.fixture
def here(tmp_path: Path, redis_url: str) -> Iterator[World]:
    with world(tmp_path, redis_url, limit=LIMIT, knobs=QUICK) as w:
        inbox(w).mkdir(parents=True)
        yield w


def only_run(w: World) -> Run:
    (run,) = w.view.runs(0, 10)
    return run


def lying(w: World) -> list[str]:
    return sorted(path.name for path in inbox(w).glob("*.csv"))


def note(w: World, **more: Any) -> tuple[Fate, str]:
    """How the last file of a look ended, and what was said of it."""
    made = intake(w, **more)
    made.look()
    return made.taken[-1].fate, made.taken[-1].note


# -- what the file is not to blame for -----------------------------------------------------------------------------


def test_an_api_that_fails_for_ever_empties_no_inbox(here: World) -> None:
    put(here, "a.csv", 300, age=90)
    put(here, "b.csv", 3, first=100)
    here.control(faults={"error": 1.0})

    assert look(here) == {"a.csv": Fate.STOPPED}
    assert look(here) == {"a.csv": Fate.STOPPED}
    lost = only_run(here).counts[RowState.UNKNOWN]
    fate, why = note(here)

    assert fate is Fate.STOPPED
    assert re.search(r"It is tried again in (1 min|5\d s);", why)
    assert only_run(here).counts[RowState.UNKNOWN] == lost >= 40, "every try costs rows, so it has to pause"
    assert lying(here) == ["a.csv", "b.csv"]
    assert not (inbox(here) / "failed").exists()


def test_a_file_goes_on_once_the_api_has_come_back(here: World) -> None:
    put(here, "a.csv", 90)
    here.control(faults={"error": 1.0})
    assert look(here) == {"a.csv": Fate.STOPPED}
    here.control(faults={})

    assert look(here) == {"a.csv": Fate.TROUBLED}

    run, path = only_run(here), inbox(here) / "failed" / "a.csv"
    assert run.counts[RowState.DONE] + run.counts[RowState.UNKNOWN] == 90
    assert report(path)["unknown"] == run.counts[RowState.UNKNOWN] >= 20
    beside = path.with_name("a.csv.troubled.csv").read_text().splitlines()
    assert len(beside) == 1 + run.counts[RowState.UNKNOWN]
    assert here.report()["arrivals"] == 90


def test_a_file_whose_run_was_deleted_half_way_is_not_sent_again(here: World) -> None:
    put(here, "a.csv", 90)
    here.control(faults={"error": 1.0})
    assert look(here) == {"a.csv": Fate.STOPPED}
    here.control(faults={})
    run, sent = only_run(here), here.report()["arrivals"]
    ledger = Ledger(here.view.client)

    delete_run(run.id, ledger, settings(here))

    assert look(here) == {"a.csv": Fate.SKIPPED}
    assert here.report()["arrivals"] == sent > 0
    assert (inbox(here) / "failed" / "a.csv").exists()
    assert run.id in report(inbox(here) / "failed" / "a.csv")["skipped"]


def test_a_file_that_was_delivered_and_stays_is_not_sent_again_when_its_run_is_deleted(here: World) -> None:
    put(here, "a.csv", 3)
    (inbox(here) / "done").symlink_to(os.devnull)
    assert look(here) == {"a.csv": Fate.STUCK, "done": Fate.LEFT}
    delete_run(only_run(here).id, Ledger(here.view.client), settings(here))
    (inbox(here) / "done").unlink()

    assert look(here) == {"a.csv": Fate.SKIPPED}
    assert (inbox(here) / "done" / "a.csv").exists()
    assert here.report()["arrivals"] == 3


def test_a_missing_secret_leaves_the_file_and_the_next_look_sends_it(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = {"headers": {"Authorization": "Bearer ${secret:INTAKE_TOKEN}"}}
    with world(tmp_path, redis_url, limit=LIMIT, knobs=QUICK, request=request) as w:
        inbox(w).mkdir(parents=True)
        put(w, "a.csv", 3)

        for _ in range(5):
            fate, why = note(w)
            assert (fate, "INTAKE_TOKEN is missing" in why) == (Fate.STOPPED, True)
        assert lying(w) == ["a.csv"]
        delete_run(only_run(w).id, Ledger(w.view.client), settings(w))  # nothing of it was sent
        monkeypatch.setenv("INTAKE_TOKEN", "token")

        assert look(w) == {"a.csv": Fate.DELIVERED}
        assert w.report()["arrivals"] == 3


@pytest.mark.parametrize("what", ["spool", "uploads"])
def test_a_storage_that_cannot_be_written_leaves_the_file(here: World, what: str) -> None:
    put(here, "a.csv", 3)
    storage = here.folder / "storage"
    storage.mkdir()
    (storage / what).write_text("a file is in the way")

    for _ in range(5):
        fate, why = note(here, storage=str(storage))
        assert fate is Fate.STOPPED
        assert "cannot be" in why

    assert lying(here) == ["a.csv"]
    (storage / what).unlink()
    assert look(here, storage=str(storage)) == {"a.csv": Fate.DELIVERED}


def test_a_definition_that_was_mended_counts_for_a_file_of_which_nothing_was_sent(here: World) -> None:
    put(here, "a.csv", 3)
    here.more = {"request": {"headers": {"X-Key": "${secret:NOT_THERE}"}}}
    assert look(here) == {"a.csv": Fate.STOPPED}
    before = only_run(here).id
    here.more = {}

    assert look(here) == {"a.csv": Fate.DELIVERED}
    assert only_run(here).id != before


def test_a_run_that_a_person_cancelled_is_put_away_with_what_waits(here: World) -> None:
    put(here, "a.csv", 90)
    here.control(faults={"error": 1.0})
    assert look(here) == {"a.csv": Fate.STOPPED}
    run = only_run(here)
    intake(here).ledger.cancel(run.id, "somebody")

    assert look(here) == {"a.csv": Fate.TROUBLED}

    found = report(inbox(here) / "failed" / "a.csv")
    assert (found["waiting"], found["unknown"]) == (run.counts[RowState.WAITING], run.counts[RowState.UNKNOWN])
    assert found["waiting"] > 0


# -- what cannot be read or moved -------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_moved_is_told_of_and_the_look_goes_on(here: World) -> None:
    put(here, "a.csv", 3, age=90)
    put(here, "b.csv", 3, bad=1, first=100)
    (inbox(here) / "done").symlink_to(os.devnull)

    assert look(here) == {"a.csv": Fate.STUCK, "b.csv": Fate.TROUBLED, "done": Fate.LEFT}
    assert look(here) == {"a.csv": Fate.STUCK, "done": Fate.LEFT}
    (inbox(here) / "done").unlink()
    assert look(here) == {"a.csv": Fate.DELIVERED}

    assert report(inbox(here) / "done" / "a.csv")["done"] == 3
    assert here.report()["arrivals"] == 6


def test_a_file_that_replaces_one_under_way_is_left_for_the_next_look_and_the_sent_one_is_kept(here: World) -> None:
    put(here, "a.csv", 3)
    made = intake(here)
    deliver = made._deliver

    def and_replace(run: str, name: str) -> Any:
        ended = deliver(run, name)
        put(here, "a.csv", 2, first=100)
        return ended

    made._deliver = and_replace
    made.look()

    assert [taken.fate for taken in made.taken] == [Fate.DELIVERED, Fate.LEFT]
    assert lying(here) == ["a.csv"]
    run = only_run(here)
    assert run.file == f"inbox/{run.id}/a.csv"
    kept = here.folder / "data" / "uploads" / run.file
    assert len(kept.read_text().splitlines()) == 1 + 3
    assert look(here) == {"a.csv": Fate.DELIVERED}
    assert here.report()["arrivals"] == 5


def test_a_file_that_is_too_large_is_put_into_failed_with_a_report(here: World) -> None:
    put(here, "large.csv", 500, age=90)
    put(here, "small.csv", 3, first=1000)

    assert look(here, max_upload_bytes=1000) == {"large.csv": Fate.REFUSED, "small.csv": Fate.DELIVERED}

    path = inbox(here) / "failed" / "large.csv"
    assert path.exists()
    assert "is larger than 1,000 bytes" in report(path)["reason"]


class Stubborn(MemoryFileSystem):
    """Holds files that nobody may read, though they may be moved."""

    protocol = "stubborn"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(str(path).replace("stubborn://", "memory://"))

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if "r" in mode and "locked" in path:
            raise PermissionError(13, "Permission denied", path)
        return super()._open(path, mode, **options)


def test_a_file_that_may_not_be_read_is_put_into_failed_with_a_report(here: World) -> None:
    fsspec.register_implementation("stubborn", Stubborn, clobber=True)
    fs = fsspec.filesystem("stubborn")
    fs.pipe("/box/locked.csv", w_file(2))
    fs.pipe("/box/open.csv", w_file(3))

    fates = look(here, "stubborn://box", inboxes=("stubborn://box",))

    assert fates == {"locked.csv": Fate.REFUSED, "open.csv": Fate.DELIVERED}
    assert fs.exists("/box/failed/locked.csv")
    assert b"Permission denied" in fs.cat_file("/box/failed/locked.csv.report.json")


class Rounding(MemoryFileSystem):
    """An object store that tells times to the microsecond in a list, and to the second of one object."""

    protocol = "oss"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(str(path).replace("oss://", "memory://"))

    def _told(self, entry: dict[str, Any], microsecond: int) -> dict[str, Any]:
        modified = datetime(2026, 1, 1, 0, 0, 0, microsecond, UTC)
        return {key: value for key, value in entry.items() if key != "created"} | {
            "ETag": f'"{hash(self.cat_file(entry["name"]))}"' if entry["type"] == "file" else "",
            "LastModified": modified,
        }

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        found = super().ls(path, detail=detail, **options)
        return [self._told(entry, 123456) for entry in found] if detail else found

    def info(self, path: str, **options: Any) -> Any:
        return self._told(super().info(path, **options), 0)


def test_an_object_store_that_rounds_its_times_gives_its_files_away(here: World) -> None:
    fsspec.register_implementation("oss", Rounding, clobber=True)
    fs = fsspec.filesystem("oss")
    fs.pipe("/box/a.csv", w_file(3))

    assert look(here, "oss://box", inboxes=("oss://box",)) == {"a.csv": Fate.DELIVERED}
    assert fs.exists("/box/done/a.csv")


# -- what somebody has begun by hand ----------------------------------------------------------------------------------


def by_hand(w: World, path: Path, run: str = "by-hand") -> None:
    copy = w.folder / "hand.csv"
    copy.write_bytes(path.read_bytes())
    w.deliver(run, file=copy)


def test_a_run_by_hand_that_sent_nothing_does_not_count(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = {"headers": {"Authorization": "Bearer ${secret:INTAKE_TOKEN}"}}
    with world(tmp_path, redis_url, limit=LIMIT, knobs=QUICK, request=request) as w:
        inbox(w).mkdir(parents=True)
        by_hand(w, put(w, "a.csv", 5))
        assert (w.run("by-hand").state, w.run("by-hand").total) == (RunState.STOPPED, 5)
        monkeypatch.setenv("INTAKE_TOKEN", "token")

        assert look(w) == {"a.csv": Fate.DELIVERED}
        assert w.report()["arrivals"] == 5


def test_a_run_by_hand_that_did_not_finish_puts_the_file_into_failed_with_its_counts(here: World) -> None:
    here.control(faults={"error": 1.0})
    by_hand(here, put(here, "a.csv", 60))
    here.control(faults={})
    sent = here.report()["arrivals"]

    assert look(here) == {"a.csv": Fate.SKIPPED}

    found = report(inbox(here) / "failed" / "a.csv")
    assert (found["run"], found["total"]) == ("by-hand", 60)
    assert found["unknown"] >= 20
    assert found["waiting"] > 0
    assert here.report()["arrivals"] == sent


# -- one look at a time -----------------------------------------------------------------------------------------------


def test_a_turn_is_had_by_one_at_a_time_and_other_folders_do_not_wait(redis_url: str) -> None:
    client = connect(redis_url)
    with turn(client, "posts", "/in") as first, turn(client, "posts", "/in") as second:
        assert first is not None
        assert second is None
        with turn(client, "posts", "/other") as other, turn(client, "orders", "/in") as of_another_pipeline:
            assert other is not None
            assert of_another_pipeline is not None
    with turn(client, "posts", "/in") as again:
        assert again is not None


def test_a_turn_is_kept_while_it_lasts_and_lost_if_another_has_it(redis_url: str) -> None:
    client = connect(redis_url)
    with turn(client, "posts", "/in", seconds=0.5) as ours:
        assert ours is not None
        (key,) = client.keys("rowrelay:inbox:posts:turn:*")
        for _ in range(3):
            lives = client.pttl(key)
            wait_until(lambda was=lives: client.pttl(key) > was - 50, what="the turn to be renewed")
        assert not ours.lost
        client.set(key, "somebody else")
        wait_until(lambda: ours.lost, what="the loss to be noticed")
    assert client.get(key) == b"somebody else", "a turn that was lost must not be given back"


def test_a_look_that_has_lost_its_turn_takes_no_further_file(here: World) -> None:
    put(here, "a.csv", 3, age=90)
    put(here, "b.csv", 3, first=100)
    made, left = intake(here), [True, False]

    assert not made.look(may_go_on=lambda: left.pop(0))

    assert [taken.name for taken in made.taken] == ["a.csv"]
    assert lying(here) == ["b.csv"]


def test_of_many_late_runs_with_the_same_parameters_one_begins(redis_url: str) -> None:
    claims = Claims(connect(redis_url), "posts")
    seconds, micros = claims.client.time()
    now = seconds + micros / 1e6
    assert claims.begin("file=a", now - 300, "run 0") == 0
    assert all(claims.begin("file=a", now - 300 + n, f"run {n}") >= now for n in range(1, 5))
    assert claims.begin("file=a", now - 300, "run 0") == 0, "the one that began may be started again"
    assert claims.begin("file=b", now - 300, "run 9") == 0, "other parameters are another thing"
    assert claims.begin("file=a", now + 60, "run 10") == 0, "what was due later is not late"


# -- secrets in an address --------------------------------------------------------------------------------------------


def test_a_secret_in_an_address_is_looked_up_late_and_shown_nowhere(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INBOX_TOKEN", "t0psecret")
    address = "http://127.0.0.1:9/list.csv?token=${secret:INBOX_TOKEN}"
    here.more = {"schedules": [{"interval_seconds": 60, "inbox": address}]}

    fate, why = note(here, folder=address)

    assert fate is Fate.STOPPED
    assert "t0psecret" not in why
    assert here.view.runs(0, 10) == []
    assert all(b"t0psecret" not in (here.view.client.dump(key) or b"") for key in here.view.client.keys("*"))
    monkeypatch.delenv("INBOX_TOKEN")
    with pytest.raises(SettingError, match="INBOX_TOKEN is missing"):
        origin(address, load(here.pipeline), settings(here))


def test_a_secret_goes_nowhere_but_to_the_address_that_it_was_stated_with(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHER", "t0psecret")
    for asked in ("http://127.0.0.1:9/in/${secret:OTHER}", "memory://${secret:OTHER}"):
        with pytest.raises(Exception, match="is no address that files may be taken from"):
            intake(here, asked, inboxes=("http://127.0.0.1:9/in", "memory://x"))


def test_a_plain_password_in_an_address_is_refused(here: World) -> None:
    here.more = {"schedules": [{"interval_seconds": 60, "inbox": "https://me:hunter2@example.com/list.csv"}]}
    with pytest.raises(DefinitionError, match="has a password in it"):
        load(here.pipeline)
