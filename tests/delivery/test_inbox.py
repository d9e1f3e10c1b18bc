"""Looks through an inbox with a real ledger, limiter and API; only Prefect is left out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from flows.errors import FileError
from flows.intake.fate import Fate
from flows.ledger.connection import connect
from flows.ledger.inbox import Claims
from flows.records import RowState, RunState
from tests.harness.inboxes import here, inbox, intake, look, looked, put, report, w_file
from tests.harness.wait import wait_until
from tests.harness.world import ROOT, World

__all__ = ["here"]


def test_an_empty_inbox_is_nothing_to_worry_about(here: World) -> None:
    assert look(here) == {}


def test_files_are_delivered_oldest_first_and_moved_with_a_report(here: World) -> None:
    put(here, "b.csv", 5, age=100, first=1)
    put(here, "a.csv", 5, age=50, first=101)

    assert look(here) == {"b.csv": Fate.DELIVERED, "a.csv": Fate.DELIVERED}

    tags = [int(arrival["tag"]) for arrival in here.arrivals()]
    assert sorted(tags) == [*range(1, 6), *range(101, 106)]
    assert max(tags[:5]) == 5
    assert not list(inbox(here).glob("*.csv"))
    found = report(inbox(here) / "done" / "a.csv")
    assert (found["total"], found["done"], found["state"]) == (5, 5, "finished")
    run = here.run(found["run"])
    assert (run.state, run.by, run.facts.name) == (RunState.FINISHED, "test", "a.csv")
    assert Path(run.file) == inbox(here) / "done" / "a.csv"
    assert not list((here.folder / "data" / "uploads" / "inbox").iterdir())


def test_a_file_with_bad_rows_goes_to_failed_with_those_rows_beside_it(here: World) -> None:
    put(here, "mixed.csv", 5, bad=2)

    assert look(here) == {"mixed.csv": Fate.TROUBLED}

    path = inbox(here) / "failed" / "mixed.csv"
    assert (report(path)["done"], report(path)["rejected"]) == (5, 2)
    troubled = path.with_name("mixed.csv.troubled.csv").read_text().splitlines()
    assert len(troubled) == 3
    assert "userId" in troubled[0]


def test_a_file_that_cannot_be_read_goes_to_failed_and_may_come_again(here: World) -> None:
    (inbox(here) / "odd.csv").write_text("")

    assert look(here) == {"odd.csv": Fate.REFUSED}
    assert "odd.csv" in report(inbox(here) / "failed" / "odd.csv")["reason"]

    (inbox(here) / "odd.csv").write_text("")
    assert look(here) == {"odd.csv": Fate.REFUSED}
    assert (inbox(here) / "failed" / "odd-2.csv").exists()


def test_the_same_content_under_another_name_is_skipped_and_said(here: World) -> None:
    content = put(here, "one.csv", 5).read_bytes()
    assert look(here) == {"one.csv": Fate.DELIVERED}
    (inbox(here) / "two.csv").write_bytes(content)

    assert look(here) == {"two.csv": Fate.SKIPPED}

    note = report(inbox(here) / "done" / "two.csv")["skipped"]
    assert "has the content of one.csv" in note
    assert here.report()["arrivals"] == 5


def test_what_somebody_has_delivered_by_hand_is_not_sent_again(here: World) -> None:
    path = put(here, "hand.csv", 5)
    by_hand = here.folder / "hand.csv"
    by_hand.write_bytes(path.read_bytes())
    here.deliver("by-hand", file=by_hand)

    assert look(here) == {"hand.csv": Fate.SKIPPED}
    assert here.report()["arrivals"] == 5


def test_rows_that_were_delivered_before_are_left_out_where_that_is_wished(here: World) -> None:
    here.more["key"] = ["userId"]
    put(here, "monday.csv", 3)
    assert look(here, skip_delivered=True) == {"monday.csv": Fate.DELIVERED}
    put(here, "tuesday.csv", 5, bad=1)

    (taken,) = looked(here, skip_delivered=True)

    assert (taken.fate, taken.note) == (Fate.TROUBLED, "1 rejected, 3 skipped, 2 done of 6")
    assert here.report()["arrivals"] == 5
    found = report(inbox(here) / "failed" / "tuesday.csv")
    assert (found["rejected"], found["skipped_rows"], found["done"]) == (4, 3, 2)
    assert len((inbox(here) / "failed" / "tuesday.csv.troubled.csv").read_text().splitlines()) == 2
    assert (here.run(found["run"]).skipped, here.run(found["run"]).facts.skip_delivered) == (3, True)

    put(here, "wednesday.csv", 4)  # nothing new in it: that is no fault
    assert [(each.fate, each.note) for each in looked(here, skip_delivered=True)] == [
        (Fate.DELIVERED, "4 skipped of 4")
    ]
    assert sorted(path.name for path in (inbox(here) / "done").glob("wed*")) == [
        "wednesday.csv", "wednesday.csv.report.json",
    ]  # fmt: skip
    put(here, "thursday.csv", 2)
    assert look(here) == {"thursday.csv": Fate.DELIVERED}  # by default the same keys may come every day
    assert here.report()["arrivals"] == 7


def test_unfinished_hidden_and_linked_files_and_folders_are_left_alone(here: World, tmp_path: Path) -> None:
    for name in ("a.csv.part", "b.TMP", ".hidden.csv", "~lock.csv", "c.csv~"):
        (inbox(here) / name).write_text("userId,title,body\n1,t,b\n")
    (inbox(here) / "more").mkdir()
    (tmp_path / "secret.csv").write_text("userId,title,body\n1,t,b\n")
    (inbox(here) / "link.csv").symlink_to(tmp_path / "secret.csv")

    assert look(here) == {"link.csv": Fate.LEFT}
    assert here.report()["arrivals"] == 0


def test_a_file_that_is_still_written_is_left_alone_and_a_fresh_one_is_waited_for(here: World) -> None:
    slow, ended = inbox(here) / "slow.csv", threading.Event()
    slow.write_text("userId,title,body\n")
    fresh = put(here, "fresh.csv", 3)
    os.utime(slow, (1, 1))  # a copying tool may set the time back while it writes

    def write() -> None:
        while not ended.wait(0.05):
            with slow.open("a") as file:
                file.write("1,t,b\n")
            os.utime(slow, (1, 1))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert look(here, settle_seconds=0.5) == {"fresh.csv": Fate.DELIVERED, "slow.csv": Fate.LEFT}
    finally:
        ended.set()
        writer.join()
    assert slow.exists()
    assert not fresh.exists()
    assert look(here) == {"slow.csv": Fate.DELIVERED}


def test_many_looks_at_once_deliver_every_file_once(here: World) -> None:
    for number in range(4):
        put(here, f"{number}.csv", 5, first=number * 10 + 1)

    with ThreadPoolExecutor(4) as pool:
        looks = list(pool.map(lambda _: look(here), range(4)))

    assert here.report()["arrivals"] == 20
    assert len({arrival["tag"] for arrival in here.arrivals()}) == 20
    assert sum(fates.get(f"{n}.csv") is Fate.DELIVERED for fates in looks for n in range(4)) >= 4
    wait_until(lambda: look(here) == {}, seconds=20, what="everything to be put away")
    assert len(list((inbox(here) / "done").glob("?.csv"))) == 4


def test_a_look_that_was_killed_is_carried_on_by_the_next_one(here: World) -> None:
    put(here, "long.csv", 600)
    _ = here.pipeline
    killed = subprocess.Popen(
        [sys.executable, "-m", "tests.harness.look_process", str(here.folder), here.redis_url], cwd=ROOT
    )
    here.engines.append(killed)  # type: ignore[arg-type]
    wait_until(lambda: here.report()["arrivals"] > 50, seconds=30, what="some rows")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    (taken,) = {run.id for run in here.view.runs(0, 10)}

    def carried_on() -> bool:
        return look(here) != {} and not list(inbox(here).glob("*.csv"))

    wait_until(carried_on, seconds=40, what="the next look to finish the file")

    run = here.run(taken)
    assert (run.state, run.total) == (RunState.FINISHED, 600)
    assert run.counts[RowState.DONE] + run.counts[RowState.UNKNOWN] == 600
    tags = [arrival["tag"] for arrival in here.arrivals()]
    assert len(tags) == len(set(tags))


def test_a_ban_ends_the_look_and_leaves_the_files_where_they_are(here: World) -> None:
    put(here, "a.csv", 30, age=90)
    put(here, "b.csv", 3, first=100)
    here.control(ban=True)

    fates = look(here)

    assert fates == {"a.csv": Fate.STOPPED}
    assert sorted(path.name for path in inbox(here).glob("*.csv")) == ["a.csv", "b.csv"]


def test_folders_outside_and_unnamed_addresses_are_refused(here: World, tmp_path: Path) -> None:
    for folder in ("/etc", "../..", str(tmp_path), "s3://bucket/x", "http://127.0.0.1:9/x", "file:///etc", "nowhere"):
        with pytest.raises(FileError):
            intake(here, folder)
    assert intake(here, str(tmp_path / "data" / "inbox")).origin.url
    (tmp_path / "other").mkdir()
    assert intake(here, str(tmp_path / "other"), folders=(tmp_path / "other",)).origin.url
    with pytest.raises(FileError):
        intake(here, "http://127.0.0.1:9/xy", inboxes=("http://127.0.0.1:9/x",))


def test_a_folder_that_fsspec_reaches_is_emptied_in_the_same_way(here: World) -> None:
    import fsspec

    fs = fsspec.filesystem("memory")
    fs.pipe("/arrivals/x.csv", w_file(4))
    fs.pipe("/arrivals/y.csv", w_file(2) + b"bad,,\n")

    fates = look(here, "memory://arrivals", inboxes=("memory://arrivals",))

    assert fates == {"x.csv": Fate.DELIVERED, "y.csv": Fate.TROUBLED}
    assert sorted(fs.ls("/arrivals/done", detail=False)) == ["/arrivals/done/x.csv", "/arrivals/done/x.csv.report.json"]
    assert fs.exists("/arrivals/failed/y.csv.troubled.csv")
    fs.rm("/arrivals", recursive=True)


@pytest.fixture
def web() -> Iterator[tuple[str, Callable[[bytes], None]]]:
    content = [b""]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if content[0] else 404)
            self.end_headers()
            self.wfile.write(content[0])

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/list.csv", lambda data: content.__setitem__(0, data)
    server.shutdown()


def test_a_file_at_an_address_is_taken_whenever_its_content_is_new(
    here: World, web: tuple[str, Callable[[bytes], None]]
) -> None:
    url, publish = web
    assert look(here, url, inboxes=(url,)) == {"list.csv": Fate.STOPPED}  # 404
    publish(w_file(3))
    assert look(here, url, inboxes=(url,)) == {"list.csv": Fate.DELIVERED}
    assert look(here, url, inboxes=(url,)) == {"list.csv": Fate.SKIPPED}
    publish(w_file(5))
    assert look(here, url, inboxes=(url,)) == {"list.csv": Fate.DELIVERED}
    assert here.report()["arrivals"] == 8
    assert len(list((inbox(here) / "done").glob("*.report.json"))) == 2


def test_one_of_many_that_claim_a_content_gets_it(redis_url: str) -> None:
    claims = Claims(connect(redis_url), "posts")
    with ThreadPoolExecutor(8) as pool:
        got = set(pool.map(lambda n: claims.take("digest", f"run-{n}"), range(50)))
    (winner,) = got

    claims.release("digest", "somebody else")
    assert claims.holder("digest") == winner
    claims.release("digest", winner)
    assert claims.holder("digest") == ""
