"""An answer that is pasted on a page means what `rowrelay answer` says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.api.schemas_setup import PipelineDetail
from flows.pipeline.definition import Definition
from flows.pipeline.pipelines import examples_folder
from flows.pipeline.reading import load
from flows.records import RunState
from flows.settings import Settings
from tests.harness.pages import settings, show, text
from tests.harness.remembered import forget
from tests.harness.seeding import seed

__all__ = ["settings"]

ITEMS = {"results": [{"status": 201, "id": 5}, {"status": 422, "error": {"message": "bad name"}}]}


@pytest.fixture(autouse=True)
def _examples(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWRELAY_PIPELINES", str(examples_folder()))
    forget()


def pasted(page: AppTest, body: Any, *, status: int = 200, headers: str = "", of: str = "") -> AppTest:
    """The page, once the answer was pasted."""
    page.session_state["answer"] = True  # opened
    page.run()
    assert not page.exception
    page.number_input(key="answer_status").set_value(status)
    page.text_area(key="answer_body").set_value(json.dumps(body))
    page.text_area(key="answer_headers").set_value(headers)
    if of:
        page.selectbox(key="answer_of").set_value(of)
    page.run()
    assert not page.exception
    return page


def test_the_send_page_says_which_rule_decides_and_what_happens_to_the_limit(settings: Settings) -> None:
    throttled = {"errors": [{"extensions": {"code": "THROTTLED", "retryAfter": 7}}]}

    page = pasted(show("send", pipeline="graphql"), throttled)

    assert "rule 1 of answers (line" in text(page)
    assert "everybody under the limit graphql waits 7 s" in text(page)
    assert list(page.dataframe[-1].value["becomes"]) == ["goes out again; this was no attempt"]


def test_what_a_batch_says_of_single_rows_is_told_where_the_rows_are_known(
    settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("email,name\na@b.de,A\nc@d.de,C\n")
    made = seed(settings, redis_url, tmp_path / "rows.csv", definition=load(examples_folder() / "items207.yaml"))
    made.leave(RunState.CHECKING, "checked; nothing sent yet")

    without = pasted(show("send", pipeline="items207"), ITEMS, status=207)
    page = pasted(show("check", run=made.id), ITEMS, status=207)

    assert "nobody has said which rows travelled" in text(without)
    told = page.dataframe[-1].value
    assert list(told["row"]) == ["1", "2"]
    assert list(told["becomes"]) == ["done", "failed"]
    assert list(told["kept"]) == ["contactId = 5", "contactId = null"]
    assert list(told["by"]) == ["rule 4 of batch.answers", "rule 3 of batch.answers"]


def test_steps_and_questions_are_chosen(settings: Settings) -> None:
    page = pasted(show("send", pipeline="upsert"), {"items": []}, of="step find")
    assert "step find is done; step create comes next" in text(page)

    page = pasted(show("send", pipeline="upsert"), {"items": []}, of="the question about an unknown row")
    assert list(page.dataframe[-1].value["becomes"]) == ["is not there, so it goes out"]


def test_headers_count_and_what_is_none_is_said(settings: Settings) -> None:
    page = pasted(show("send", pipeline="graphql"), {}, status=429, headers="Retry-After: 30")
    assert "waits 30 s" in text(page)

    page = pasted(show("send", pipeline="graphql"), {}, headers="Retry-After")
    assert "has no colon" in text(page)


def test_a_definition_over_http_comes_with_what_is_to_be_known_of_it(settings: Settings, tmp_path: Path) -> None:
    text = (examples_folder() / "upsert.yaml").read_text()
    unkeyed = load_text(tmp_path, text.replace("key: [email]\n", ""))

    assert PipelineDetail.of(load(examples_folder() / "upsert.yaml")).advice == []
    (said,) = PipelineDetail.of(unkeyed).advice
    assert said.startswith("create and update: a step that writes on a condition")


def load_text(folder: Path, text: str) -> Definition:
    (folder / "made.yaml").write_text(text)
    return load(folder / "made.yaml")
