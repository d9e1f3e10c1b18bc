"""Rejected rows are mended before anything is sent: by value, by row, skipped, taken back."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.standin import Knobs, StandIn, serving
from flows.delivery.changes import CannotMend, ChangesRefused, as_map, read
from flows.delivery.delivery import Delivery
from flows.delivery.mending import mend
from flows.delivery.recheck import Recheck
from flows.errors import RunBusy, StackError
from flows.export.correctable import troubled_csv
from flows.export.forms import FORMS
from flows.export.layout import layout_of
from flows.export.results import results
from flows.ledger.connection import connect
from flows.ledger.ledger import Ledger
from flows.ledger.mends import Mend, in_effect
from flows.ledger.moves import Claim
from flows.origin import Origin
from flows.pipeline.reading import from_resolved
from flows.records import RowState, RunState
from flows.settings import Settings
from tests.harness.browser import ROOT
from tests.harness.mended import HEADER, PEOPLE, ROWS, Checked, checked
from tests.harness.rows import outcome

GERMANY = {"column": "country", "value": "Germany", "becomes": "DE"}
ACCEPTED, REJECTED = [1, 8], [2, 3, 4, 5, 6, 7]


@pytest.fixture
def settings(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("ROWRELAY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ROWRELAY_REDIS_URL", redis_url)
    monkeypatch.setenv("ROWRELAY_PIPELINES", str(tmp_path / "people.yaml"))
    return Settings.read()


@pytest.fixture
def people(settings: Settings) -> Checked:
    return checked(settings)


def test_one_decision_mends_all_rows_that_share_the_value_and_leaves_the_others(people: Checked) -> None:
    assert people.numbers() == (ACCEPTED, REJECTED)

    made = people.mend(GERMANY)

    assert (made.number, made.matched, made.changed, made.accepted, made.skipped) == (1, [2], 2, 1, 0)
    assert people.numbers() == ([1, 2, 8], [3, 4, 5, 6, 7])  # row 4 has a wrong age, too
    mended = people.accepted()[1]
    assert (mended.row, mended.line, mended.changed) == (2, 3, {"country": "Germany"})
    assert mended.values == {"id": 2, "email": "b@x", "country": "DE", "age": 31}
    left = people.rejected()[1]
    assert (left.row, left.cells, left.changed) == (4, ("4", "d@x", "DE", "old", "four"), {"country": "Germany"})
    assert [why.column for why in left.reasons] == ["age"]
    assert people.view.events(people.id)[0][1] == ("ada changed 2 rejected rows, of which 1 can be sent (document 1)")


def test_only_cells_that_were_refused_are_changed_by_their_value(people: Checked) -> None:
    people.mend({"column": "email", "value": "a@x", "becomes": "e@x"})

    assert [(row.row, row.values["email"]) for row in people.accepted()] == [(1, "a@x"), (5, "e@x"), (8, "h@x")]
    with pytest.raises(ChangesRefused, match="No rejected row has any of these values"):
        people.mend({"column": "email", "value": "f@x", "becomes": "other"})  # row 6 is wrong for its country
    assert people.run.facts.mends == 1


def test_values_stay_unique_over_the_whole_file(people: Checked) -> None:
    made = people.mend(
        {"row": 2, "column": "email", "becomes": "h@x"},  # an accepted row holds it
        {"row": 2, "column": "country", "becomes": "DE"},
        {"row": 6, "column": "country", "becomes": "DE"},
        {"row": 6, "column": "email", "becomes": "new@x"},
        {"row": 4, "column": "email", "becomes": "new@x"},  # comes before row 6
        {"row": 4, "column": "country", "becomes": "FR"},
        {"row": 4, "column": "age", "becomes": "4"},
    )

    assert made.accepted == 1
    assert people.numbers()[0] == [1, 4, 8]
    reasons = {row.row: [str(why) for why in row.reasons] for row in people.rejected()}
    assert reasons[2] == ["email: must be unique, but line 9 holds it already (found 'h@x')"]
    assert reasons[6] == ["email: must be unique, but line 5 holds it already (found 'new@x')"]
    made = people.mend({"row": 2, "column": "email", "becomes": "new@x"})  # a mended row holds it
    assert made.accepted == 0


def test_a_row_that_is_skipped_stays_rejected_and_says_who_said_so(people: Checked) -> None:
    made = people.mend({"column": "age", "value": "n/a", "skip": True}, {"row": 7, "skip": True}, GERMANY)

    assert (made.matched, made.changed, made.accepted, made.skipped) == ([1, 1, 2], 2, 1, 2)
    assert people.numbers() == ([1, 2, 8], [3, 4, 5, 6, 7])
    row = people.rejected()[0]
    assert [str(why) for why in row.reasons] == ["skipped by ada", "age: must be a whole number (found 'n/a')"]
    assert (row.skipped, row.skipped_by_hand) == (False, True)
    assert people.run.wrong == 5
    assert not people.run.ended_well
    with pytest.raises(ChangesRefused):
        people.mend({"column": "age", "value": "n/a", "becomes": ""})  # it was decided
    assert people.mend({"row": 3, "column": "age", "becomes": ""}).accepted == 1  # and is again, by its number


def test_undo_takes_back_the_last_document_alone(people: Checked) -> None:
    before = people.accepted(), people.rejected(), people.run.facts.rows_held
    people.mend(GERMANY)
    between = people.accepted(), people.rejected(), people.run.facts.rows_held
    people.mend({"column": "country", "value": "Spain", "becomes": "FR"})
    assert people.numbers()[0] == [1, 2, 6, 8]

    for number, why in ((1, "not the last"), (9, "no document 9")):
        with pytest.raises(ChangesRefused, match=why):
            people.mend(undo=number)
    made = people.mend(undo=2)

    assert (made.number, made.undo) == (3, 2)
    assert (people.accepted(), people.rejected(), people.run.facts.rows_held) == between
    for number, why in ((2, "taken back already"), (3, "took back another one")):
        with pytest.raises(ChangesRefused, match=why):
            people.mend(undo=number)
    people.mend(undo=1)
    assert (people.accepted(), people.rejected(), people.run.facts.rows_held) == before
    assert people.numbers() == (ACCEPTED, REJECTED)
    assert people.run.facts.mends == people.run.facts.mended_rows == 0
    with pytest.raises(ChangesRefused, match="taken back already"):
        people.mend(undo=1)
    assert people.mend(GERMANY).number == 5


def test_what_is_mended_twice_remembers_what_stood_in_the_file(people: Checked) -> None:
    people.mend({"row": 4, "column": "age", "becomes": "older"})
    people.mend({"row": 4, "column": "age", "becomes": "4"}, GERMANY)

    (row,) = (row for row in people.accepted() if row.row == 4)
    assert row.changed == {"age": "old", "country": "Germany"}


def test_the_first_samples_and_the_file_follow(people: Checked) -> None:
    file = Path(people.run.file).read_bytes()
    people.mend(GERMANY)

    assert [row.row for row in people.view.samples(people.id)] == [3, 4, 5, 6, 7]
    assert Path(people.run.file).read_bytes() == file


def test_results_say_what_was_changed_and_are_as_ever_where_nothing_was(people: Checked) -> None:
    def exported(form: str) -> bytes:
        run = people.run
        return b"".join(FORMS[form](results(people.view, people.spool, run), layout_of(people.view, run)))

    plain = {form: exported(form) for form in FORMS}
    assert all(b"changed" not in text for text in plain.values())
    people.mend(GERMANY)

    items = {each["row"]: each for each in json.loads(exported("json"))["result"]}
    assert items[2]["changed"] == items[4]["changed"] == {"country": "Germany"}
    assert [row for row, each in items.items() if "changed" in each] == [2, 4]
    assert (items[2]["result"], items[2]["country"]) == ("waiting", "DE")
    first, second, *_ = exported("csv").decode("utf-8-sig").splitlines()
    assert first == "row,line,id,email,country,age,result,changed,status,reason"
    assert second.endswith(",waiting,,,")
    assert '"{""country"":""Germany""}"' in exported("csv").decode()
    people.mend(undo=1)
    assert {form: exported(form) for form in FORMS} == plain


def test_rows_to_correct_have_the_mended_cells_and_all_others(people: Checked) -> None:
    people.mend(GERMANY)
    people.mend({"column": "age", "value": "old", "becomes": "older"})

    text = b"".join(troubled_csv(people.view, people.spool, people.run)).decode("utf-8-sig")

    assert "4,d@x,DE,older,four" in text


def test_mended_rows_are_given_back_with_the_cells_that_the_pipeline_does_not_use(people: Checked) -> None:
    people.mend(GERMANY)

    states = frozenset({RowState.WAITING})
    text = b"".join(troubled_csv(people.view, people.spool, people.run, states=states)).decode("utf-8-sig")

    assert [line.rsplit(",", 1)[1] for line in text.splitlines()] == ["extra", "one", "two", "eight"]


def test_a_run_that_was_begun_or_stopped_is_not_mended(people: Checked) -> None:
    run = people.run
    epoch = people.ledger.take(people.id, "sender", resume=True)
    with pytest.raises(RunBusy, match="The run is being delivered"):
        people.mend(GERMANY)
    people.ledger.end(people.id, epoch, RunState.STOPPED, "the API has shut us out")
    with pytest.raises(CannotMend, match="The run is stopped: only a run that was checked and not sent is mended"):
        people.mend(GERMANY)

    people.ledger.end(people.id, epoch, RunState.CHECKING)
    with pytest.raises(RunBusy, match="mended or begun this run meanwhile"):  # as it stood when it was looked at
        people.ledger.mend(people.id, run.facts.epoch, Mend(number=1, at=0, by="x"), _bits(people), [])
    assert people.numbers() == (ACCEPTED, REJECTED)


def _bits(people: Checked) -> Any:
    return people.view.bits(people.id, RowState.REJECTED, people.run.total)


def test_of_two_who_mend_at_once_one_is_told_so(people: Checked) -> None:
    stale = people.run
    people.mend(GERMANY)

    with pytest.raises(RunBusy, match="mended or begun"):
        people.ledger.mend(people.id, stale.facts.epoch, Mend(number=1, at=0, by="x"), _bits(people), [])


def test_who_looked_at_the_run_before_another_mended_it_takes_nothing_back(people: Checked) -> None:
    stale, document = people.run, read({"changes": [{"row": 4, "column": "age", "becomes": "4"}]})
    people.mend(GERMANY)

    made = mend(stale, document, ledger=people.ledger, view=people.view, settings=people.settings, by="x")

    assert (made.number, made.accepted) == (2, 1)
    assert people.numbers()[0] == [1, 2, 4, 8]


def test_of_a_mending_that_the_ledger_did_not_take_nothing_is_left(people: Checked) -> None:
    files = sorted(path.name for path in Path(people.spool.folder).iterdir())
    nobody = Ledger(connect("redis://127.0.0.1:9"))

    with pytest.raises(StackError):
        mend(
            people.run, read({"changes": [GERMANY]}), ledger=nobody, view=people.view, settings=people.settings, by="x"
        )

    assert sorted(path.name for path in Path(people.spool.folder).iterdir()) == files
    assert people.numbers() == (ACCEPTED, REJECTED)


def test_rows_that_were_mended_are_counted_over_all_documents(people: Checked) -> None:
    people.mend(GERMANY)
    people.mend({"row": 4, "column": "age", "becomes": "4"})

    assert people.numbers()[0] == [1, 2, 4, 8]
    assert people.run.facts.mended_rows == 2


def test_a_mending_that_was_cut_off_has_changed_nothing(people: Checked) -> None:
    definition = from_resolved(people.view.definition(people.id))
    bits = people.view.bitmap(people.id, RowState.REJECTED, people.run.total)
    done = Recheck(people.spool, definition, read({"changes": [GERMANY]}), "ada", bits, None, skips=False, asked_map={})

    done.run(people.settings.data)  # all files are written; the ledger was not told

    assert people.numbers() == (ACCEPTED, REJECTED)
    people.mend(GERMANY)
    assert people.numbers() == ([1, 2, 8], [3, 4, 5, 6, 7])


def test_a_value_that_is_taken_is_named_by_its_place_in_a_workbook(people: Checked) -> None:
    definition = from_resolved(people.view.definition(people.id))
    bits = people.view.bitmap(people.id, RowState.REJECTED, people.run.total)
    changes = [{"row": 2, "column": "email", "becomes": "h@x"}, {"row": 2, "column": "country", "becomes": "DE"}]
    done = Recheck(
        people.spool, definition, read({"changes": changes}), "ada", bits, None,
        skips=False, asked_map={}, origin=Origin("xlsx", "Data"),
    )  # fmt: skip

    done.run(people.settings.data)

    said = {each.row: [str(why) for why in each.reasons] for each in done.samples}
    assert said[2] == ["email: must be unique, but Data!B9 holds it already (found 'h@x')"]


def test_a_spool_that_is_gone_is_made_anew_and_mended_as_it_was(people: Checked, redis_url: str) -> None:
    people.mend({"column": "age", "value": "n/a", "skip": True})
    people.mend(GERMANY, {"column": "age", "value": "old", "becomes": "44"})
    people.mend({"column": "country", "value": "Spain", "becomes": "FR"})
    people.mend(undo=3)
    before = people.accepted(), people.rejected()
    shutil.rmtree(people.spool.folder)
    definition = from_resolved(people.view.definition(people.id))
    delivery = Delivery(people.id, definition, people.settings, redis_url)
    delivery.take(resume=True)

    assert not delivery.spooling.is_whole()
    delivery.spooling.make_anew(Path(people.run.file))

    assert delivery.spooling.is_whole()
    delivery.release()
    assert (people.accepted(), people.rejected()) == before


def test_delivered_before_counts_for_mended_rows_too(settings: Settings) -> None:
    keyed = PEOPLE.replace("request:", "key: [id]\nrequest:")
    first = checked(settings, ["2,b@x,DE,31,two"], yaml=keyed)
    epoch = first.ledger.take(first.id, "x", resume=True)
    first.ledger.open(first.id, epoch)
    first.ledger.claim(first.id, epoch, [Claim((1,), 1)], patience_seconds=5, idempotency_seconds=0)
    first.ledger.answer(first.id, [outcome(1, epoch, 1, RowState.DONE)])
    first.ledger.end(first.id, epoch, RunState.FINISHED)

    second = checked(settings, yaml=keyed, skip_delivered=True)
    second.ledger.facts(second.id, skip_delivered=True)
    made = second.mend(GERMANY)

    assert (made.changed, made.accepted) == (2, 0)
    assert second.rejected()[0].skipped
    assert (second.run.skipped, second.run.facts.delivered, second.run.facts.delivered_in) == (1, 1, {first.id: 1})
    second.mend(undo=1)
    assert (second.run.skipped, second.run.facts.delivered, second.run.facts.delivered_in) == (0, 0, {})


def test_a_cell_that_is_asked_about_stays_so_until_it_is_touched(settings: Settings) -> None:
    run = checked(settings, ["1,'+49,Germany,1,x", *ROWS[1:]])
    assert "begins with an apostrophe" in str(run.rejected()[0].reasons[0])

    run.mend({"row": 1, "column": "country", "becomes": "DE"})
    assert [why.column for why in run.rejected()[0].reasons] == ["email"]
    run.mend({"column": "email", "value": "'+49", "becomes": "+49"})

    assert run.accepted()[0].values["email"] == "+49"


def test_many_mendings_keep_the_order_of_the_file(settings: Settings) -> None:
    lines = [f"{n},p{n}@x,{('DE', 'A', 'B', 'C')[n % 4]},{n},x{n}" for n in range(1, 2001)]
    run = checked(settings, lines, header=HEADER)

    for value in "CAB":
        run.mend({"column": "country", "value": value, "becomes": "FR"})
        run.numbers()

    assert [row.values["email"] for row in run.accepted()] == [f"p{n}@x" for n in range(1, 2001)]
    assert [row.row for row in run.spool.read(700, 720)] == list(range(701, 721))
    assert [row.row for some in run.spool.walk(["email"]) for row in some] == list(range(1, 2001))
    assert list(run.spool.unused([0, 1, 2, 1999])) == [["x1"], ["x2"], ["x3"], ["x2000"]]


MENDER = """
import sys, time
from deployments.standin import Knobs, StandIn, serving
from flows.delivery.changes import read
from flows.delivery.mending import mend
from flows.ledger.connection import connect
from flows.ledger.ledger import Ledger
from flows.ledger.view import View
from flows.settings import Settings
settings = Settings.read()
client = connect(settings.redis_address)
view, ledger = View(client), Ledger(client)
change = {"column": "country", "value": "Germany", "becomes": "DE"}
print("ready", flush=True)
for _ in range(100):
    made = mend(view.run(sys.argv[1]), read({"changes": [change]}), ledger=ledger, view=view, settings=settings, by="x")
    mend(view.run(sys.argv[1]), read({"undo": made.number}), ledger=ledger, view=view, settings=settings, by="x")
"""


def test_a_process_that_is_killed_while_it_mends_has_done_all_of_it_or_nothing(settings: Settings) -> None:
    lines = [f"{n},p{n}@x,{'Germany' if n % 2 else 'DE'},{n},x" for n in range(1, 2001)]
    run = checked(settings, lines)
    states = []
    for trial in range(4):
        process = subprocess.Popen([sys.executable, "-c", MENDER, run.id], stdout=subprocess.PIPE, cwd=ROOT)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.05 + 0.057 * trial)
        process.kill()
        process.wait()

        accepted, _ = run.numbers()
        states.append(len(accepted))
        assert {row.values["country"] for row in run.accepted()} == {"DE"}
        if len(accepted) == 2000:  # begin again where all began
            run.mend(undo=run.view.mends(run.id)[-1].number)
    assert set(states) <= {1000, 2000}


def test_a_mended_run_is_sent_in_the_order_of_the_file(settings: Settings, redis_url: str) -> None:
    """Each row goes out with its own number and its mended values, between those that were good from the start."""
    lines = [f"{n},p{n}@x,{('DE', 'Germany', 'Spain')[n % 3]},{n},x" for n in range(1, 31)]
    with serving(StandIn(Knobs(requests=None))) as url:
        text = PEOPLE.replace("http://127.0.0.1:9/people", f"{url}/posts").replace("requests: 7,", "requests: 500,")
        run = checked(settings, lines, yaml=text)
        run.mend(GERMANY)
        run.mend({"row": 2, "column": "country", "becomes": "FR"}, {"row": 29, "column": "country", "becomes": "FR"})
        assert len(run.numbers()[0]) == 22

        definition = from_resolved(run.view.definition(run.id))
        delivery = Delivery(run.id, definition, settings, redis_url)
        delivery.take(resume=True)
        with closing(delivery):
            delivery.connect()
            assert delivery.spooling.is_whole()
            delivery.open()
            for chunks in delivery.rounds("unfinished"):
                for chunk in chunks:
                    delivery.send(chunk)
        ended = delivery.end()
        delivery.release()

    assert (ended.counts[RowState.DONE], ended.counts[RowState.REJECTED]) == (22, 8)
    items = list(results(run.view, run.spool, ended, states={RowState.DONE}))
    assert [each["age"] for each in items] == [each["row"] for each in items]
    assert [each["row"] for each in items if "changed" in each] == sorted([*range(1, 31, 3), 2, 29])
    with pytest.raises(CannotMend, match="were sent already"):
        run.mend(undo=2)


def test_the_lines_that_keep_what_was_done_do_the_same_to_the_next_file(people: Checked, settings: Settings) -> None:
    people.mend(
        GERMANY, {"column": "age", "value": "n/a", "becomes": ""}, {"column": "age", "value": "old", "skip": True}
    )
    kept = as_map(from_resolved(people.view.definition(people.id)), in_effect(people.view.mends(people.id)))

    assert kept == (
        "columns:\n  country:\n    map:\n      Germany: DE\n    other: keep\n"
        "  age:\n    map:\n      n/a: null\n    other: keep\n"
    )
    lines = yaml.safe_load(kept)["columns"]
    changed = yaml.safe_load(PEOPLE)
    for name, more in lines.items():
        changed["columns"][name] |= more
    again = checked(settings, yaml=yaml.safe_dump(changed, sort_keys=False))

    rows = {row.row: row.values for row in again.accepted()}
    assert (rows[2]["country"], rows[3]["age"], rows[1]["country"]) == ("DE", None, "DE")
    assert again.numbers()[0] == [1, 2, 3, 8]
