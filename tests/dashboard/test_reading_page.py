"""To read a file otherwise than it was read, on the page of its check: with a look at the first rows before."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from streamlit.testing.v1 import AppTest

from dashboard import connections
from dashboard.parts.send.remember import lines_of
from flows.delivery.delivery import Delivery
from flows.errors import RowrelayError
from flows.pipeline.definition import Definition
from flows.pipeline.file_form import FileForm
from flows.pipeline.reading import load
from flows.records import RunState
from tests.dashboard.test_mapping_page import ASKED, Answers, answers, begun
from tests.harness.pages import settings, show, text
from tests.harness.remembered import forget
from tests.harness.workbooks import xlsx

__all__ = ["answers", "settings"]

YAML = """
name: orders
columns:
  number: {type: int}
  city: {type: str}
request: {url: "https://api.example.com/rows"}
limit: {name: own, requests: 7, window_seconds: 1}
"""
Checked = Callable[..., str]


@pytest.fixture
def checked(answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checked:
    """Checks a file as the flow does, and leaves the run as it is then; returns its id."""
    (tmp_path / "orders.yaml").write_text(YAML)
    monkeypatch.setenv("ROWRELAY_PIPELINES", str(tmp_path / "orders.yaml"))
    forget()

    def check(content: bytes, name: str = "f.csv", **said: object) -> str:
        here, definition = connections.settings(), load(tmp_path / "orders.yaml")
        (here.uploads / "up").mkdir(parents=True)
        (here.uploads / "up" / name).write_bytes(content)
        run = str(uuid4())
        delivery = Delivery(run, definition, here, here.redis_address)
        ledger = connections.ledger()
        ledger.create(run, definition=definition.resolved(), by="x", pipeline="orders", file=f"up/{name}",
                      name=name, only_check=True, asked_form=dict(said) or None)  # fmt: skip
        delivery.take(resume=False, only_check=True)
        try:
            delivery.spooling.check(here.uploads / "up" / name, said=FileForm(**said))  # type: ignore[arg-type]
            delivery.put_down("checked; nothing sent yet")
        except RowrelayError as exc:
            ledger.end(run, delivery.lease.epoch, RunState.STOPPED, str(exc))
        finally:
            delivery.release()
        return run

    return check


def labels(page: AppTest) -> list[str]:
    return [each.label for each in page.button]


def test_a_file_with_a_title_above_its_header_is_read_from_the_row_that_a_person_names(
    checked: Checked, answers: Answers
) -> None:
    run = checked(b"Report of May\n\nnumber;city\n1;Berlin\n2;Bonn\n")
    page = show("check", run=run)

    assert "The first row does not name the columns of orders." in text(page)
    assert "As they stand in the file" in text(page)
    assert list(page.dataframe[-1].value["row"]) == [1, 2, 3, 4, 5]
    page.number_input(f"header_row-{run}").set_value(3).run()
    assert "as Unicode (UTF-8), utf-8, with a semicolon between the cells, under row 3" in text(page)
    (rows,) = [each.value for each in page.dataframe if list(each.value.columns) == ["number", "city"]]
    assert rows.to_numpy().tolist() == [["1", "Berlin"], ["2", "Bonn"]]
    flow = begun(answers, "orders")
    page.button("read-so").click().run()

    (asked,) = [json.loads(body) for path, body in ASKED if path.endswith("/create_flow_run")]
    assert asked["parameters"]["source"] == {"header_row": 3}
    assert page.query_params["run"] == flow


def test_of_several_sheets_a_person_takes_one_by_its_first_rows(
    checked: Checked, answers: Answers, tmp_path: Path
) -> None:
    rows = [["number", "city"], [1, "Bonn"]]
    book = xlsx(tmp_path / "b.xlsx", {"Notes": [["Call Ada"]], "Orders": rows, "Old": rows}, hidden=["Old"])
    run = checked(book.read_bytes(), "b.xlsx")
    page = show("check", run=run)
    assert "has several sheets with content: Notes, Orders" in text(page)
    assert "Say which one: “Sheet: Orders” under “Read it otherwise”." in text(page)
    assert "<strong>Notes</strong>" in text(page)
    assert [label for label in labels(page) if label.startswith("Take sheet")] == ["Take sheet 1", "Take sheet 2"]
    begun(answers, "orders")

    page.button("sheet-1").click().run()

    (asked,) = [json.loads(body) for path, body in ASKED if path.endswith("/create_flow_run")]
    assert asked["parameters"]["source"] == {"sheet": "Orders"}


def test_merged_cells_are_filled_where_a_person_says_so(checked: Checked, answers: Answers, tmp_path: Path) -> None:
    rows = [["number", "city"], [1, "Bonn"], [2, None]]
    run = checked(xlsx(tmp_path / "b.xlsx", {"Sheet1": rows}, merged=["B2:B3"]).read_bytes(), "b.xlsx")
    page = show("check", run=run)
    assert "has merged cells in sheet" in text(page)
    assert "or say “Merged cells: Each gets the value that they show” under “Read it otherwise”" in text(page)
    begun(answers, "orders")

    page.selectbox(f"merged-{run}").set_value("fill").run()
    assert page.dataframe[-1].value.to_numpy().tolist() == [["1", "Bonn"], ["2", "Bonn"]]
    page.button("read-so").click().run()

    (asked,) = [json.loads(body) for path, body in ASKED if path.endswith("/create_flow_run")]
    assert asked["parameters"]["source"] == {"merged": "fill"}


def test_what_cannot_be_read_so_is_said_and_not_checked(checked: Checked) -> None:
    run = checked(b"Report of May\n\nnumber;city\n1;Berlin\n")
    page = show("check", run=run)

    page.number_input(f"header_row-{run}").set_value(40).run()

    assert "its header was said to stand in line 40" in text(page)
    assert page.button("read-so").disabled


def test_a_file_that_was_read_well_can_be_read_otherwise_as_well(checked: Checked) -> None:
    run = checked("number;city\n1;K\u00f6ln\n".encode("cp1252"), encoding="cp1250")
    page = show("check", run=run)
    assert "Read it otherwise" in [each.label for each in page.expander]
    assert "Check it so" not in labels(page)  # it is closed, and costs nothing
    assert [each.value for each in page.code if each.value.startswith("source:")] == ["source: {encoding: cp1250}"]


def test_of_several_lists_in_json_a_person_takes_one(checked: Checked, answers: Answers) -> None:
    run = checked(
        b'{"old": [{"number": 1, "city": "Bonn"}], "data": {"new": [{"number": 2, "city": "Ulm"}]}}', "f.json"
    )
    page = show("check", run=run)
    assert "Say which one: “Where its rows are: old” under “Read it otherwise”." in text(page)
    begun(answers, "orders")

    page.selectbox(f"path-{run}").set_value("data.new").run()
    assert page.dataframe[-1].value.to_numpy().tolist() == [["2", "Ulm"]]
    page.button("read-so").click().run()

    (asked,) = [json.loads(body) for path, body in ASKED if path.endswith("/create_flow_run")]
    assert asked["parameters"]["source"] == {"path": "data.new"}


def test_a_total_is_told_of_with_the_control_that_leaves_it_out(checked: Checked) -> None:
    page = show("check", run=checked(b"number;city\n1;Bonn\nTotal;x\n"))

    assert "if it is a total and no row, say “Rows at the end that are none: 1” under “Read it otherwise”" in text(page)
    assert "--" not in text(page)


def test_what_is_to_be_remembered_goes_with_what_the_definition_says() -> None:
    definition = Definition.model_validate(yaml.safe_load(YAML) | {"source": {"delimiter": "|"}})

    assert lines_of(definition, FileForm(), {}) == ""
    assert lines_of(definition, FileForm(encoding="cp1251", header_row=3), {"Stadt": "city", "x": ""}) == (
        'source: {encoding: cp1251, delimiter: "|", header_row: 3}\ncolumns:\n  city: {…, from: [Stadt]}'
    )
