"""A corrected whole file is sent again: what earlier runs delivered is found by its key, and left out on request."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from deployments.commands import cli
from flows.delivery.check import CheckResult, check_file
from flows.delivery.delivered import DeliveredIndex, told
from flows.delivery.delivery import Delivery
from flows.errors import FileError
from flows.export.correctable import troubled_csv
from flows.export.results import results
from flows.ledger.connection import connect
from flows.ledger.view import View
from flows.pipeline.definition import Definition
from flows.pipeline.reading import load
from flows.records import RowState, RunState
from flows.retention import delete_run
from flows.settings import Settings
from flows.spool.spool import Spool
from tests.harness.seeding import Seeded, seed
from tests.harness.world import world

D, F, U = RowState.DONE, RowState.FAILED, RowState.UNKNOWN
LIMIT: dict[str, Any] = {"name": "keyed", "requests": 50, "window_seconds": 1, "in_flight": 10, "grace_seconds": 0.3}
QUICK = {"delay_min_seconds": 0.01, "delay_max_seconds": 0.03}
KEYED = """
name: orders
columns:
  id:    {type: int}
  part:  {type: decimal}
  title: {type: str, blank: false}
key: [id, part]
request: {url: "http://127.0.0.1:9/orders"}
limit: {name: orders, requests: 7, window_seconds: 1}
"""


@pytest.fixture
def settings(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("ROWRELAY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ROWRELAY_REDIS_URL", redis_url)
    (tmp_path / "orders.yaml").write_text(KEYED)
    monkeypatch.setenv("ROWRELAY_PIPELINES", str(tmp_path / "orders.yaml"))
    return Settings.read()


@pytest.fixture
def definition(settings: Settings) -> Definition:
    return load(settings.pipelines[0])


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(("id,part,title", *lines)) + "\n")
    return path


@pytest.fixture
def earlier(settings: Settings, redis_url: str, definition: Definition, tmp_path: Path) -> Seeded:
    """A run of five orders: done, rejected, done, failed, unknown."""
    file = write(tmp_path / "first.csv", "1,1,a", "2,1,", "3,1.0,c", "4,1,d", "5,1,e")
    run = seed(settings, redis_url, file, definition=definition)
    run.outcomes(D, [1, 3])
    run.outcomes(F, [4])
    run.outcomes(U, [5])
    run.leave(RunState.FINISHED)
    return run


CORRECTED = ("1,1,a", "2,1,b", "3,1,c", "4,1,d", "5,1,e", "6,1,f", "1,2,other part")


def again(settings: Settings, definition: Definition, file: Path, **wish: bool) -> tuple[CheckResult, DeliveredIndex]:
    view = View(connect(settings.redis_address))
    with DeliveredIndex(file.parent, definition.key) as index:
        index.take(view, settings.spool_url, definition.name)
        return check_file(file, definition, delivered=index, **wish), index


def test_rows_that_were_delivered_are_counted_by_run_however_their_key_is_written(
    settings: Settings, definition: Definition, earlier: Seeded, tmp_path: Path
) -> None:
    result, index = again(settings, definition, write(tmp_path / "all.csv", *CORRECTED))

    assert (result.rows, result.accepted, result.rejected, result.skipped) == (7, 7, 0, 0)
    assert result.delivered == {earlier.id: 2}  # rows 1 and 3: its part is written 1.0 there and 1 here
    assert result.unsure == 1
    words = list(told(result, index.unread))
    assert words[0].startswith(f"2 rows were delivered before (run {earlier.id[:8]}: 2).")
    assert "1 more rows were sent before without an answer" in words[1]


def test_left_out_rows_are_rejections_that_say_as_what_they_were_delivered(
    settings: Settings, definition: Definition, earlier: Seeded, tmp_path: Path
) -> None:
    file = write(tmp_path / "all.csv", *CORRECTED, "8,1,")
    heard = []
    view = View(earlier.ledger.client)
    with DeliveredIndex(tmp_path, definition.key) as index:
        index.take(view, settings.spool_url, definition.name)
        result = check_file(file, definition, delivered=index, skip_delivered=True, on_rejections=heard.extend)

    assert [(item.row, item.skipped) for item in heard] == [(1, True), (3, True), (8, False)]
    assert [str(item.reasons[0]) for item in heard[:2]] == [
        f"delivered before as row {row} of run {earlier.id}" for row in (1, 3)
    ]
    assert (result.accepted, result.rejected, result.skipped) == (5, 3, 2)
    assert [item.row for item in result.samples] == [8]  # what is wrong, not what is left out
    assert [row.row for row in result.first] == [2, 4, 5, 6, 7]


def test_a_row_without_a_whole_key_is_never_taken_for_delivered(
    settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "orders.yaml"
    path.write_text(KEYED.replace("{type: decimal}", "{type: decimal, optional: true}"))
    definition, file = load(path), write(tmp_path / "first.csv", "1,,a")
    seed(settings, redis_url, file, definition=definition).outcomes(D, [1])

    assert again(settings, definition, file)[0].delivered == {}


def test_only_runs_of_the_same_pipeline_that_are_still_known_count(
    settings: Settings, redis_url: str, definition: Definition, earlier: Seeded, tmp_path: Path
) -> None:
    file = write(tmp_path / "all.csv", *CORRECTED)
    (tmp_path / "others.yaml").write_text(KEYED.replace("name: orders\ncolumns", "name: others\ncolumns"))
    assert again(settings, load(tmp_path / "others.yaml"), file)[0].delivered == {}

    newer = seed(settings, redis_url, write(tmp_path / "second.csv", "3,1,c", "6,1,f"), definition=definition)
    newer.outcomes(D, [1, 2])
    assert again(settings, definition, file)[0].delivered == {newer.id: 2, earlier.id: 1}

    delete_run(earlier.id, earlier.ledger, settings)
    assert again(settings, definition, file)[0].delivered == {newer.id: 2}


def test_a_run_whose_rows_cannot_be_looked_at_is_named(
    settings: Settings, definition: Definition, earlier: Seeded, tmp_path: Path
) -> None:
    Spool(settings.spool_url, earlier.id).delete()

    result, index = again(settings, definition, write(tmp_path / "all.csv", *CORRECTED))

    assert result.delivered == {}
    assert list(told(result, index.unread)) == [
        f"Whether run {earlier.id[:8]} delivered some of the rows cannot be told:"
        f" {settings.spool_url}/{earlier.id}: the spool of this run is gone."
    ]


def test_an_earlier_run_without_the_key_columns_is_named(settings: Settings, redis_url: str, tmp_path: Path) -> None:
    path, file = tmp_path / "orders.yaml", write(tmp_path / "first.csv", "1,1,a")
    path.write_text(KEYED.replace("  part:  {type: decimal}\n", "").replace("[id, part]", "[id]"))
    seed(settings, redis_url, file, definition=load(path)).outcomes(D, [1])
    path.write_text(KEYED)

    _, index = again(settings, load(path), file)

    assert "its rows have no column 'part'" in next(iter(index.unread.values()))


def test_check_tells_what_was_delivered_before(
    earlier: Seeded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "all.csv", *CORRECTED)

    assert cli.main(["check", str(file), "--pipeline", "orders"]) == 0
    said = capsys.readouterr().out
    assert f"2 rows were delivered before (run {earlier.id[:8]}: 2)." in said
    assert "--skip-delivered" in said
    assert cli.main(["check", str(file), "--pipeline", "orders", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["delivered_before"]
    assert (found["looked_up"], found["rows"], found["runs"], found["unsure"]) == (True, 2, {earlier.id: 2}, 1)


def test_check_says_when_no_ledger_can_be_asked(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "all.csv", *CORRECTED)
    monkeypatch.delenv("ROWRELAY_REDIS_URL")

    assert cli.main(["check", str(file), "--pipeline", "orders"]) == 0
    assert "is not known: there is no ledger here yet" in capsys.readouterr().out
    assert not (tmp_path / "data").exists()

    monkeypatch.setenv("ROWRELAY_REDIS_URL", "redis://127.0.0.1:1/0")
    assert cli.main(["check", str(file), "--pipeline", "orders"]) == 0
    assert "could not be looked up: Redis at redis://127.0.0.1:1/0 cannot be used" in capsys.readouterr().out


def test_a_corrected_file_sends_what_is_new_and_every_row_is_accounted_for(tmp_path: Path, redis_url: str) -> None:
    with world(tmp_path, redis_url, limit=LIMIT, knobs=QUICK, key=["userId"]) as w:
        first = w.deliver("r1", file=w.file(30, bad=3))
        assert first["counts"]["done"] == 30
        corrected = w.file(33, bad=1, name="corrected.csv")

        ended = w.deliver("r2", file=corrected, skip_delivered=True)

        assert ended["state"] == RunState.FINISHED
        assert ended["counts"] == {
            "rejected": 31,
            "waiting": 0,
            "sending": 0,
            "accepted": 0,
            "done": 3,
            "failed": 0,
            "unknown": 0,
        }
        run = w.run("r2")
        assert (run.skipped, run.shown_counts["rejected"], run.total) == (30, 1, 34)
        assert run.facts.delivered_in == {"r1": 30}
        assert sorted(int(arrival["tag"]) for arrival in w.arrivals()) == list(range(1, 34))
        assert any(
            "30 rows were delivered before (run r1: 30). They are left out." in t for _, t in w.view.events("r2")
        )
        assert len(w.view.samples("r2")) == 1

        spool = Spool(str(tmp_path / "data" / "spool"), "r2")
        rows = list(results(w.view, spool, run, states=[RowState.REJECTED]))
        assert [row["reason"] for row in rows[:30]] == [f"delivered before as row {n} of run r1" for n in range(1, 31)]
        assert [row["userId"] for row in rows[:30]] == [str(n) for n in range(1, 31)]
        to_mend = b"".join(troubled_csv(w.view, spool, run)).decode().splitlines()
        assert len(to_mend) == 2  # the header and the one row that is wrong


def test_without_the_wish_all_is_sent_again_and_the_run_says_so(tmp_path: Path, redis_url: str) -> None:
    with world(tmp_path, redis_url, limit=LIMIT, knobs=QUICK, key=["userId"]) as w:
        first = w.deliver("r1", file=w.file(10))
        assert first["counts"]["done"] == 10

        ended = w.deliver("r2", file=w.file(12, name="more.csv"))

        assert (ended["counts"]["done"], w.run("r2").skipped, w.report()["arrivals"]) == (12, 0, 22)
        assert int(ended["facts"]["delivered"]) == 10
        assert any("10 rows were delivered before" in text for _, text in w.view.events("r2"))


def test_a_lost_spool_is_made_again_without_asking_what_was_delivered(
    settings: Settings, definition: Definition, earlier: Seeded, redis_url: str, tmp_path: Path
) -> None:
    """The runs that delivered the rows may be gone by then; the ledger knows which rows were left out."""
    file = write(tmp_path / "all.csv", *CORRECTED)
    delivery = Delivery("later", definition, settings, redis_url)
    delivery.ledger.create("later", definition=definition.resolved(), by="test", pipeline="orders", file=str(file))
    delivery.take(resume=False)
    assert delivery.spooling.check(file, skip_delivered=True).skipped == 2
    before = [row.row for row in delivery.spool.read(0, 99)]
    delete_run(earlier.id, earlier.ledger, settings)
    shutil.rmtree(delivery.spool.folder)
    delivery.put_down("checked")
    delivery = Delivery("later", definition, settings, redis_url)
    delivery.take(resume=True)

    delivery.spooling.make_anew(file)

    assert delivery.spooling.is_whole()
    assert [row.row for row in delivery.spool.read(0, 99)] == before == [2, 4, 5, 6, 7]


def test_a_spool_is_not_made_again_if_other_rows_are_rejected_now(
    settings: Settings, redis_url: str, definition: Definition, tmp_path: Path
) -> None:
    file = write(tmp_path / "rows.csv", "1,1,a", "2,1,", "3,1,c")
    run = seed(settings, redis_url, file, definition=definition)
    stricter = load_with(
        tmp_path, KEYED.replace("{type: str, blank: false}", "{type: str, min_length: 0, one_of: ['', c]}")
    )
    run.delivery.spool.delete()
    delivery = Delivery(run.id, stricter, settings, redis_url)

    with pytest.raises(FileError, match="row 1 was accepted then and is not now"):
        delivery.spooling.make_anew(file)

    assert not delivery.spool.exists()


def load_with(folder: Path, text: str) -> Definition:
    (folder / "changed.yaml").write_text(text)
    return load(folder / "changed.yaml")


def test_a_spool_that_its_check_did_not_write_is_refused(
    settings: Settings, redis_url: str, definition: Definition, tmp_path: Path
) -> None:
    run = seed(settings, redis_url, write(tmp_path / "rows.csv", "1,1,a"), definition=definition)
    assert Delivery(run.id, definition, settings, redis_url).spooling.is_whole()
    check_file(write(tmp_path / "rows.csv", "1,1,other"), definition, Spool(settings.spool_url, run.id))

    with pytest.raises(FileError, match="not the one that its check wrote") as caught:
        Delivery(run.id, definition, settings, redis_url).spooling.is_whole()

    assert run.id in caught.value.file
    assert "Delete this folder and resume" in caught.value.hint
