"""Results say in which request a row went, and at which place in it, where many rows travel in one."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from dashboard.rows.book import Rowbook
from flows.export.forms import FORMS
from flows.export.layout import layout_of
from flows.export.results import results
from flows.ledger import keys
from flows.ledger.moves import Answer, Claim
from flows.ledger.parcels import in_words
from flows.pipeline.reading import from_resolved
from flows.records import RowState
from flows.settings import Settings
from tests.harness.command import Run, here, rowrelay
from tests.harness.sent import POSTS, Sent, sent

__all__ = ["here", "rowrelay"]

ROWS = "userId,title,price\n1,first,1\n0,bad,1\n3,third,3\n4,fourth,4\n5,fifth,5\n6,sixth,6\n"
BATCHED = POSTS + "batch: {rows: 3}\n"


def end(made: Sent, rows: tuple[int, ...], serial: int, state: RowState = RowState.DONE) -> None:
    """Claim a parcel and record the same outcome for each of its rows."""
    why, _ = made.ledger.claim(made.id, made.epoch, [Claim(rows, serial)], patience_seconds=5, idempotency_seconds=0)
    assert why == "ok"
    tail, detail = keys.pack(
        ("postId", "tags"), status=200, took_seconds=0.1, kept={"postId": 7}, reason="", excerpt=""
    )
    made.ledger.answer(made.id, [Answer(row, made.epoch, serial, state, tail, detail, None) for row in rows])


@pytest.fixture
def travelled(here: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Sent:
    """Rows 1, 3 and 4 went together, then 5 went alone; 2 is rejected and 6 waits."""
    monkeypatch.setenv("ROWRELAY_REDIS_URL", redis_url)
    monkeypatch.setenv("ROWRELAY_STORAGE", str(here))
    made = sent(redis_url, here, text=ROWS, yaml=BATCHED)
    end(made, (1, 3, 4), 1)
    end(made, (5,), 2)
    return made


def told(made: Sent) -> dict[int, Any]:
    return {row["row"]: row for row in results(made.view, made.spool, made.run)}


def test_each_row_that_went_out_has_its_parcel_and_its_position_from_0(travelled: Sent) -> None:
    rows = told(travelled)

    where = {number: (row.get("parcel"), row.get("position")) for number, row in rows.items()}
    first, second = f"{travelled.epoch}-1", f"{travelled.epoch}-2"
    assert where == {1: (first, 0), 2: (None, None), 3: (first, 1), 4: (first, 2), 5: (second, 0), 6: (None, None)}


def test_a_row_that_went_again_alone_is_told_by_its_latest_request(travelled: Sent) -> None:
    end(travelled, (6,), 3, RowState.WAITING)
    end(travelled, (6,), 4)

    assert told(travelled)[6]["parcel"] == f"{travelled.epoch}-4"


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_them(travelled: Sent, form: str) -> None:
    layout = layout_of(travelled.view, travelled.run)
    made = b"".join(FORMS[form](results(travelled.view, travelled.spool, travelled.run), layout)).decode("utf-8-sig")

    if form == "csv":
        assert layout.header[-4:] == ("parcel", "position", "status", "reason")
        rows: list[Any] = list(csv.DictReader(io.StringIO(made)))
    else:
        rows = json.loads(made)["result"] if form == "json" else [json.loads(line) for line in made.splitlines()]
    assert (rows[3]["parcel"], str(rows[3]["position"])) == (f"{travelled.epoch}-1", "2")


def test_without_a_batch_there_are_no_such_columns(here: Path, redis_url: str) -> None:
    made = sent(redis_url, here, text=ROWS)
    end(made, (1,), 1)

    assert "parcel" not in layout_of(made.view, made.run).header
    assert "parcel" not in told(made)[1]


def test_a_column_of_the_same_name_gets_an_underscore(here: Path, redis_url: str) -> None:
    text, yaml = "userId,title,parcel\n1,first,mine\n", BATCHED.replace("price: {type: decimal", "parcel: {type: str")
    made = sent(redis_url, here, text=text, yaml=yaml)
    end(made, (1,), 1)

    assert (told(made)[1]["parcel_"], told(made)[1]["parcel"]) == ("mine", f"{made.epoch}-1")


def test_one_row_is_shown_with_those_that_travelled_with_it(travelled: Sent, rowrelay: Run) -> None:
    out = rowrelay("show", "last", "--row", 3)[1]

    assert f"{travelled.epoch}-1, position 1 (counted from 0)" in out
    assert "1, 3-4" in out
    said = json.loads(rowrelay("show", "last", "--row", 3, "--json")[1])
    assert (said["parcel"], said["position"], said["parcel_rows"]) == (f"{travelled.epoch}-1", 1, [1, 3, 4])


def test_the_rows_of_the_pages_and_of_http_have_them(travelled: Sent) -> None:
    definition = from_resolved(travelled.view.definition(travelled.id))
    book = Rowbook(travelled.view, travelled.run, definition, Settings())

    assert [book.travelled_with(row) for row in (4, 5)] == [[1, 3, 4], [5]]


@pytest.mark.parametrize(
    ("rows", "words"), [([1], "1"), ([4, 3, 1], "1, 3-4"), (range(1, 101), "1-100"), ([], ""), ([1, 3, 5], "1, 3, …")]
)
def test_rows_in_words(rows: Any, words: str) -> None:
    assert in_words(rows, most=2) == words
