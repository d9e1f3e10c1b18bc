"""Mending on the page of a check, and what went wrong by reason on the page of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import connections
from dashboard.parts.send.mend import changes_of
from dashboard.rows.question import Found
from flows.ledger.keys import Record
from flows.records import RowState, RunState
from flows.settings import Settings
from tests.harness.mended import PEOPLE, ROWS, Checked, checked
from tests.harness.pages import settings, show, text
from tests.harness.remembered import forget

__all__ = ["settings"]


@pytest.fixture
def people(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checked:
    (tmp_path / "people.yaml").write_text(PEOPLE)
    monkeypatch.setenv("ROWRELAY_PIPELINES", str(tmp_path / "people.yaml"))
    forget()
    return checked(connections.settings())


def button(page: AppTest, label: str) -> object:
    (found,) = [each for each in page.button if each.label.startswith(label)]
    return found


def send_labels(page: AppTest) -> list[str]:
    return [each.label for each in page.button if each.label.startswith("Send ")]


def test_a_group_is_mended_with_one_text_and_taken_back_with_a_click(people: Checked) -> None:
    page = show("check", run=people.id)
    assert send_labels(page) == ["Send 2 good rows"]
    assert "<strong>2 rows</strong>: <strong>Germany</strong> in country" in text(page)

    (box,) = [each for each in page.text_input if each.label == "What group 1 becomes"]
    box.set_value("DE")
    button(page, "Apply").click()  # type: ignore[attr-defined]
    page.run()

    assert not page.exception
    assert people.numbers()[0] == [1, 2, 8]
    assert send_labels(page) == ["Send 3 good rows"]
    assert "1 row is ready to send now." in text(page)
    assert "1 of the changed rows is still rejected." in text(page)
    assert [each.value for each in page.code] == ["columns:\n  country:\n    map:\n      Germany: DE\n    other: keep"]

    assert "as it was before its rows were mended here" in text(page)
    assert not [each for each in page.button if each.label == "Put it into the inbox"]
    button(page, "Undo the last change (2 rows)").click()  # type: ignore[attr-defined]
    page.run()
    assert people.numbers()[0] == [1, 8]
    assert send_labels(page) == ["Send 2 good rows"]
    assert not [each for each in page.button if each.label.startswith("Undo")]


def test_what_was_likely_meant_is_taken_at_once_and_what_is_not_ticked_is_left_to_the_person(people: Checked) -> None:
    dates = [f"{n:02}.01.2026" for n in range(10, 30)]
    rows = [f"{n},p{n}@x,{'DE' if n % 2 else 'de'},{n}.0,{date}" for n, date in enumerate(dates, 1)]
    run = checked(people.settings, [*rows, "99,z@x,Germany,7,x"])
    page = show("check", run=run.id)
    said = text(page)
    assert "<strong>age</strong>: 20 cells" in said
    assert "<code>1.0</code> → <code>1</code>" in said
    assert "and 17 more values" in said
    assert "<code>de</code> → <code>DE</code>" in said
    assert [each.label for each in page.text_input] == ["What group 1 becomes"]  # Germany, of which nobody can tell

    page.checkbox[0].uncheck().run()
    assert "Take this: 10 cells" in [each.label for each in page.button]
    assert len(page.text_input) == 10  # the ages, ten at a time
    page.checkbox[0].check().run()
    button(page, "Take these: 30 cells").click()  # type: ignore[attr-defined]
    page.run()

    assert not page.exception
    assert send_labels(page) == ["Send 20 good rows"]
    assert "20 rows are ready to send now." in text(page)
    assert "Likely meant" not in text(page)


def test_rows_of_a_group_are_skipped_and_what_does_not_fit_is_said(people: Checked) -> None:
    page = show("check", run=people.id)
    choices = [each for each in page.button_group if str(each.key).startswith("or-")]
    choices[1].select("skip these rows")
    button(page, "Apply").click()  # type: ignore[attr-defined]
    page.run()

    assert "1 row is skipped." in text(page)
    assert [each.row for each in people.rejected() if each.skipped_by_hand] == [4]
    button(page, "Apply").click()  # type: ignore[attr-defined]
    page.run()
    assert "Nothing was changed." in text(page)


def test_a_check_without_rejected_rows_has_nothing_to_mend(people: Checked) -> None:
    run = checked(people.settings, [ROWS[0]])

    page = show("check", run=run.id)

    assert "Mend" not in [each.value for each in page.header]


def test_cells_that_were_typed_over_become_changes() -> None:
    rows = [
        Found(Record(row, RowState.REJECTED), row + 1, {"E-mail": f"{row}@x", "country": "Germany"}) for row in (4, 9)
    ]
    edited = {1: {"a:email": "new@x", "a:country": None}, 0: {"a:country": "Germany"}}

    assert changes_of(edited, rows, {"email": "E-mail", "country": "country"}) == [
        {"row": 9, "column": "email", "becomes": "new@x"},
        {"row": 9, "column": "country", "becomes": ""},
    ]


def test_what_failed_is_shown_by_reason_and_a_click_shows_its_rows(people: Checked) -> None:
    from flows.ledger import keys
    from flows.ledger.moves import Answer, Claim

    epoch = people.ledger.take(people.id, "sender", resume=True)
    people.ledger.open(people.id, epoch)
    for row in (1, 8):
        people.ledger.claim(people.id, epoch, [Claim((row,), row)], patience_seconds=5, idempotency_seconds=0)
        tail, detail = keys.pack((), status=409, took_seconds=0.1, kept={}, reason="<taken>", excerpt="")
        people.ledger.answer(people.id, [Answer(row, epoch, row, RowState.FAILED, tail, detail, None)])
    people.ledger.end(people.id, epoch, RunState.FINISHED)

    page = show("run", id=people.id)

    link = f'<a href="run?id={people.id}&amp;state=failed&amp;reason=%3Ctaken%3E#rows"'
    assert link in text(page)
    assert "2 rows</a> &lt;taken&gt;" in text(page)
    assert f'href="api/runs/{people.id}/troubled.csv?state=failed&amp;reason=%3Ctaken%3E" download' in text(page)
    assert [each.label for each in page.button if str(each.key).startswith("again-")] == ["Send again"]
    page.button("again-failed-0").click().run()
    assert "2 rows that the API refused are sent again as they are." in text(page)
    assert "Only those with this reason: <taken>" in text(page)
    assert "country: must be one of DE, FR (found &#x27;Germany&#x27;)" in text(page)
    page = show("run", id=people.id, state="failed", reason="<taken>")
    assert "Only rows with this reason: " in text(page)
    assert len(page.dataframe[0].value) == 2
    page = show("run", id=people.id, reason="country: must be one of DE, FR (found 'Germany')")
    assert list(page.dataframe[0].value["row"]) == [2, 4]
    button(page, "Show all rows").click()  # type: ignore[attr-defined]
    page.run()
    assert len(page.dataframe[0].value) == 8
