"""Undoing a run at the stand-in: what it created is gone, what was there before stays, and nothing is undone twice."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.standin.apis import APIS
from deployments.standin.apis.api import ApiKnobs
from deployments.standin.server import serving
from flows.delivery.delivery import Delivery
from flows.delivery.earlier_run import undoing
from flows.delivery.order import Order
from flows.delivery.undoing import plan
from flows.delivery.undone import CannotUndo
from flows.errors import RunBusy
from flows.export.results import results
from flows.ledger.connection import connect
from flows.ledger.ledger import Ledger
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.pipeline.reading import load
from flows.records import RowState
from flows.retention import delete_run
from flows.settings import Settings
from flows.storage.located import opened
from tests.apis.plain import HERE
from tests.harness.limits import long_known

D, F, U, R = RowState.DONE, RowState.FAILED, RowState.UNKNOWN, RowState.REJECTED


@dataclass
class Office:
    """A stand-in of `upsert`, its pipeline, and a ledger."""

    url: str
    settings: Settings
    redis_url: str
    folder: Path

    @property
    def view(self) -> View:
        return View(connect(self.redis_url))

    @property
    def ledger(self) -> Ledger:
        return Ledger(connect(self.redis_url))

    def truth(self) -> dict[str, int]:
        """How many contacts each e-mail has at the API."""
        found: dict[str, Any] = httpx.get(f"{self.url}/truth", trust_env=False).json()
        return dict(found["there"])

    def send(self, emails: Sequence[str], run: str = "first") -> Run:
        """Send a file through the pipeline."""
        file = self.folder / f"{run}.csv"
        with file.open("w", encoding="utf-8", newline="") as out:
            csv.writer(out).writerows([("email", "name"), *((email, "Anna") for email in emails)])
        order = Order(load(HERE / "upsert.yaml"), str(file), trusted=True)
        return self.deliver(order, run)

    def undo(self, first: Run, run: str) -> Run:
        """Undo a run by another."""
        return self.deliver(undoing(first, run, self.ledger, self.view, self.settings), run)

    def deliver(self, order: Order, run: str) -> Run:
        """A delivery in this process."""
        order.store(self.ledger, run, by="test", only_check=False)
        delivery = Delivery(run, order.definition, self.settings, self.redis_url)
        delivery.take(resume=False)
        try:
            delivery.connect()
            if order.trusted:
                delivery.spooling.check(Path(order.file))
            else:
                with opened(order.file, self.settings, order.definition) as file:
                    delivery.spooling.check(file, said=order.said)
            delivery.open()
            with ThreadPoolExecutor(16) as pool:
                for chunks in delivery.rounds("unfinished"):
                    list(pool.map(delivery.send, chunks))
        finally:
            delivery.close()
        ended = delivery.end()
        delivery.release()
        return ended

    def results(self, run: Run) -> list[dict[str, Any]]:
        """What became of its rows."""
        spool = Delivery(run.id, load(HERE / "upsert.yaml"), self.settings, self.redis_url).spool
        return list(results(self.view, spool, run))


@pytest.fixture
def office(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    with serving(APIS["upsert"](ApiKnobs(wait_seconds=0.01))) as url:
        monkeypatch.setenv("UPSERT_URL", url)
        monkeypatch.setenv("UPSERT_REQUESTS", "200")
        monkeypatch.setenv("UPSERT_AFTER_SECONDS", "0")
        monkeypatch.setenv("ROWRELAY_PIPELINES", str(HERE))
        long_known(connect(redis_url), "upsert")
        yield Office(url, Settings(data=tmp_path / "data", give_up_seconds=20, pipelines=(HERE,)), redis_url, tmp_path)


NEW = [f"new-{n}@example.com" for n in range(1, 21)]
KNOWN = [f"known-{n}@example.com" for n in range(1, 6)]
PINNED = ["new-pinned-1@example.com", "new-pinned-2@example.com"]
BAD = ["new-bad-1@example.com"]


def test_what_a_run_created_is_gone_and_what_was_there_before_stays(office: Office) -> None:
    first = office.send([*NEW, *KNOWN, *PINNED, *BAD])
    assert (first.counts[D], first.counts[F]) == (27, 1)
    before = office.truth()

    ended = office.undo(first, "undo-1")

    assert {state: ended.counts[state] for state in (D, F, R)} == {D: 20, F: 2, R: 5}
    assert (ended.total, ended.skipped) == (27, 5)
    after = office.truth()
    assert [email for email in NEW if after[email]] == []
    assert {email: after[email] for email in (*KNOWN, *PINNED)} == {email: before[email] for email in (*KNOWN, *PINNED)}
    said = office.results(ended)
    assert [int(row["row_"]) for row in said] == list(range(1, 28))
    skipped = [row for row in said if row["result"] == "skipped"]
    assert {row["email"] for row in skipped} == set(KNOWN)
    assert {row["reason"] for row in skipped} == {"the run kept no createdId of it: nothing to undo"}
    failed = [row for row in said if row["result"] == F]
    assert {row["email"] for row in failed} == set(PINNED)


def test_a_row_that_was_only_updated_is_never_sent(office: Office) -> None:
    """It has no createdId: DELETE /contacts/ is no request for one contact."""
    first = office.send([*KNOWN, NEW[0]])

    ended = office.undo(first, "undo-1")

    assert (ended.facts.sent, ended.counts[D], ended.counts[R]) == (1, 1, 5)
    assert ended.ended_well


def test_a_run_says_by_which_it_was_undone_and_that_one_which_it_undoes(office: Office) -> None:
    first = office.send(NEW)

    ended = office.undo(first, "undo-1")

    first = office.view.run("first")
    assert first.undone == {"undo-1": 20}
    assert "Run undo-1 has undone 20 of its rows." in first.notices
    assert ended.facts.undoes == "first"
    assert any("undoes this run" in text for _, text in office.view.events("first"))
    assert first.counts[D] == 20  # what it did stays what it did


def test_nothing_is_undone_twice(office: Office) -> None:
    first = office.send([*NEW, *PINNED])
    office.undo(first, "undo-1")
    first = office.view.run("first")

    with pytest.raises(CannotUndo) as refused:
        plan(office.view, office.settings, first)
    assert "20 rows: run undo-1 has undone it" in refused.value.message
    assert "2 rows: run undo-1 undoes it, and has it as failed" in refused.value.message


def test_while_another_undoes_it_nobody_else_begins(office: Office) -> None:
    first = office.send(NEW[:2])
    undoing(first, "undo-1", office.ledger, office.view, office.settings)  # linked, and not begun

    with pytest.raises(RunBusy):
        undoing(first, "undo-2", office.ledger, office.view, office.settings)  # by what it knew before
    with pytest.raises(RunBusy):
        undoing(office.view.run("first"), "undo-2", office.ledger, office.view, office.settings)


def test_where_an_undo_was_deleted_nobody_guesses_what_it_undid(office: Office) -> None:
    first = office.send(NEW[:4])
    office.undo(first, "undo-1")
    delete_run("undo-1", office.ledger, office.settings, by="test")

    first = office.view.run("first")
    assert first.undone == {"undo-1": 4}
    with pytest.raises(CannotUndo, match="is deleted"):
        plan(office.view, office.settings, first)


def test_a_run_that_undoes_another_cannot_be_undone(office: Office) -> None:
    first = office.send(NEW[:2])
    ended = office.undo(first, "undo-1")

    with pytest.raises(CannotUndo, match="undoes another run"):
        plan(office.view, office.settings, ended)


def test_what_was_undone_counts_as_delivered_no_more(office: Office) -> None:
    first = office.send(NEW[:4])
    office.undo(first, "undo-1")

    again = office.send(NEW[:4], "again")

    assert again.facts.delivered == 0
    assert again.counts[D] == 4
    assert office.truth()[NEW[0]] == 1
