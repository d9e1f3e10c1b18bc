"""The Check page where the columns of a file are not called as the pipeline calls them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from uuid import uuid4

import pytest
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from dashboard import connections
from dashboard.api.app import make_api
from flows.delivery.check import check_file
from flows.errors import ColumnsDiffer
from flows.pipeline.reading import load
from flows.records import Reading, RunState
from tests.dashboard.test_dashboard_inbox import labels
from tests.dashboard.test_dashboard_refusals import ASKED, Answers, answers
from tests.harness.pages import show, text
from tests.harness.remembered import forget

__all__ = ["answers"]

YAML = """\
name: contacts
columns:
  email: {type: str, pattern: '[^@\\s]+@[^@\\s]+'}
  born: {type: date, format: DD.MM.YYYY, from: [Birthday]}
  note: {type: str, optional: true}
request: {url: "https://api.example.com/rows"}
limit: {name: own, requests: 7, window_seconds: 1}
"""
FILE = "Kontakt;geboren;note;Rest\na@b.de;01.02.1990;x;1\nc@d.de;31.12.1980;;2\ne@f.de;02.03.2000;y;3\n"


@pytest.fixture
def differs(answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A check that was refused for the names of the file's columns."""
    (tmp_path / "contacts.yaml").write_text(YAML)
    monkeypatch.setenv("ROWRELAY_PIPELINES", str(tmp_path))
    forget()
    settings, ledger = connections.settings(), connections.ledger()
    settings.uploads.mkdir(parents=True)
    (settings.uploads / "f.csv").write_text(FILE)
    definition = load(tmp_path / "contacts.yaml")
    ledger.create(
        "differs",
        definition=definition.resolved(),
        by="x",
        pipeline="contacts",
        file="f.csv",
        name="f.csv",
        only_check=True,
    )
    epoch = ledger.take("differs", "w", resume=False)
    with pytest.raises(ColumnsDiffer) as refused:
        check_file(settings.uploads / "f.csv", definition)
    ledger.facts("differs", header=refused.value.names, header_rows=refused.value.samples)
    ledger.end("differs", epoch, RunState.STOPPED, str(refused.value))
    forget()
    return "differs"


def choices(page: AppTest) -> dict[str, str | None]:
    return {each.label.removeprefix("Column of the file for "): each.value for each in page.selectbox}


def button(page: AppTest) -> object:
    return next(each for each in page.button if each.label == "Check with these columns")


def test_what_is_proposed_is_chosen_with_values_beside_it_and_what_is_left_over(differs: str) -> None:
    page = show("check", run=differs)

    assert choices(page) == {"email": "Kontakt", "born": "geboren", "note": "note"}
    said = text(page)
    assert "Its columns are not those of contacts." in said
    assert "Missing: email, born; unknown: Kontakt, geboren, Rest" in said
    assert "--map" not in said  # that is for the command line
    assert "a@b.de, c@d.de, e@f.de" in said
    assert "01.02.1990, 31.12.1980, 02.03.2000" in said
    assert "its 3 values fit" in said
    assert "Left over in the file, and not sent: Rest" in said
    assert page.code[0].value == "columns:\n  email: {…, from: [Kontakt]}\n  born: {…, from: [Birthday, geboren]}"


def test_nothing_can_be_checked_before_each_column_has_one_of_its_own(differs: str) -> None:
    page = show("check", run=differs)
    page.selectbox(f"map-{differs}-born").set_value("Kontakt").run()
    assert "Kontakt is chosen for email and for born. Choose it once." in text(page)
    assert button(page).disabled

    page.selectbox(f"map-{differs}-born").select_index(0).run()
    assert "Choose a column for born." in text(page)
    assert button(page).disabled


def begun(answers: Answers, pipeline: str = "contacts") -> str:
    """Prefect takes a run; returns its id."""
    flow, deployment = str(uuid4()), str(uuid4())
    answers["GET", f"/deployments/name/deliver/{pipeline}"] = (
        200, {"id": deployment, "flow_id": str(uuid4()), "name": pipeline},
    )  # fmt: skip
    answers["POST", f"/deployments/{deployment}/create_flow_run"] = (
        201, {"id": flow, "flow_id": str(uuid4()), "name": "x", "parameters": {}},
    )  # fmt: skip
    return flow


def test_the_button_checks_the_file_with_what_was_chosen(differs: str, answers: Answers) -> None:
    flow = begun(answers)
    connections.ledger().facts(differs, asked_encoding="cp1252", asked_apostrophes="keep")
    page = show("check", run=differs)
    page.selectbox(f"map-{differs}-note").set_value("Rest").run()

    button(page).click().run()

    (asked,) = [json.loads(body) for path, body in ASKED if path.endswith("/create_flow_run")]
    assert asked["parameters"]["map"] == {"Kontakt": "email", "geboren": "born", "Rest": "note"}
    assert asked["parameters"]["dry_run"] is True
    assert (asked["parameters"]["encoding"], asked["parameters"]["apostrophes"]) == ("cp1252", "keep")
    assert page.query_params["run"] == flow


def test_who_says_how_it_is_written_has_not_to_say_the_columns_again(differs: str, answers: Answers) -> None:
    begun(answers)
    readings = (Reading("cp1251", ("Kontakt", "a@b.de")), Reading("cp1252", ("Kontakt", "a@b.de")))
    connections.ledger().facts(
        differs, asked_map={"Rest": "note"}, asked_apostrophes="keep", readings=readings, header=(), header_rows=()
    )
    page = show("check", run=differs)

    page.button("reading-cp1251").click().run()

    (asked,) = [json.loads(body) for path, body in ASKED if path.endswith("/create_flow_run")]
    said = asked["parameters"]
    assert (said["encoding"], said["map"], said["apostrophes"]) == ("cp1251", {"Rest": "note"}, "keep")


def test_who_chose_before_finds_that_choice(differs: str) -> None:
    connections.ledger().facts(differs, asked_map={"Rest": "note"})
    forget()

    assert choices(show("check", run=differs))["note"] == "Rest"


def test_a_file_whose_columns_fit_is_not_asked_about(differs: str) -> None:
    assert "ROWRELAY_PIPELINES" in os.environ
    connections.ledger().facts(differs, header=())
    forget()

    page = show("check", run=differs)

    assert not [each for each in page.selectbox if each.label.startswith("Column of the file")]
    assert "Check with these columns" not in labels(page)


def test_a_mapping_over_http_is_what_the_run_is_begun_with(differs: str, answers: Answers) -> None:
    flow, deployment = str(uuid4()), str(uuid4())
    known = {"id": deployment, "flow_id": str(uuid4()), "name": "contacts"}
    answers["GET", "/deployments/name/deliver/contacts"] = (200, known)
    made = {"id": flow, "flow_id": str(uuid4()), "name": "x", "parameters": {}}
    answers["POST", f"/deployments/{deployment}/create_flow_run"] = (201, made)
    body = {"pipeline": "contacts", "file": "f.csv", "map": {"Kontakt": "email"}}

    with TestClient(make_api(), base_url="http://127.0.0.1:8501", raise_server_exceptions=False) as api:
        answer = api.post("/runs", json=body)
        refused = api.get(f"/runs/{differs}").json()

    assert (answer.status_code, answer.json()["id"]) == (202, flow)
    (asked,) = [json.loads(body) for path, body in ASKED if path.endswith("/create_flow_run")]
    assert asked["parameters"]["map"] == {"Kontakt": "email"}
    assert (refused["header"], refused["map"]) == (["Kontakt", "geboren", "note", "Rest"], {})
