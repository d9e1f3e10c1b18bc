"""A check shows what would go out first, how many requests the file makes, and how long they take under the limit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from dashboard import preview
from flows.client.outlook import Number, number_of_requests
from flows.masking import DOTS
from flows.pipeline.definition import Definition
from flows.pipeline.pipelines import examples_folder
from flows.pipeline.reading import load
from flows.records import Row, RunState
from flows.settings import Settings
from tests.dashboard.test_api import api, settings
from tests.harness.command import Run, here, rowrelay
from tests.harness.pages import show, text
from tests.harness.seeding import Seeded, seed

__all__ = ["api", "here", "rowrelay", "settings"]


def write(path: Path, rows: int) -> Path:
    path.write_text("email,name\n" + "".join(f"u{row}@b.de,N{row}\n" for row in range(1, rows + 1)))
    return path


@pytest.fixture
def checked(here: Path, rowrelay: Run, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The JSON form of a check of so many rows."""
    monkeypatch.setenv("ROWRELAY_PIPELINES", str(examples_folder()))

    def run(pipeline: str, rows: int = 250) -> Any:
        write(here / "rows.csv", rows)
        code, out, _ = rowrelay("check", "rows.csv", "--pipeline", pipeline, "--json")
        assert code == 0
        return json.loads(out)

    return run


def test_the_first_parcel_is_shown_as_it_would_go_out(checked: Any) -> None:
    said = checked("items207")

    (first,) = said["first_requests"]
    assert first["rows"] == list(range(1, 101))
    assert first["body"].startswith('[{"email":"u1@b.de","name":"N1"},{"email":"u2@b.de"')
    assert said["requests"] == {"least": 3, "most": 3, "likely": 3}


def test_the_time_is_that_of_requests_and_not_of_rows(checked: Any) -> None:
    assert checked("items207", 1000)["sending_seconds"] == 0.0  # 10 requests, 10 a second
    assert checked("items207", 1001)["sending_seconds"] == 1.0
    assert checked("graphql", 101)["sending_seconds"] == 2.0  # 50 a second


def test_each_step_is_shown_with_dots_for_what_is_not_known_yet(checked: Any) -> None:
    said = checked("upsert", 10)

    assert [(each["step"], each["when"]) for each in said["first_requests"]] == [
        ("find", None),
        ("create", "find.found == `0`"),
        ("update", "find.found == `1`"),
    ]
    assert said["first_requests"][0]["url"].endswith("/contacts?email=u1%40b.de")
    assert said["first_requests"][2]["url"].endswith(f"/contacts/{DOTS}")
    assert said["requests"] == {"least": 10, "most": 30, "likely": 10}


def test_people_read_how_many_requests_there_are(
    here: Path, rowrelay: Run, checked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked("items207", 250)

    out = rowrelay("check", "rows.csv", "--pipeline", "items207")[1]

    assert "rows 1-100, in one request:" in out
    assert "Sending 250 rows in 3 requests takes at least" in out
    assert "step create, if find.found == `0`:" in rowrelay("check", "rows.csv", "--pipeline", "upsert")[1]


def test_how_many_fit_into_a_request_may_depend_on_the_rows() -> None:
    limit = {"name": "a", "requests": 7, "window_seconds": 1}
    base = {"name": "a", "columns": {"id": {"type": "int"}}, "request": {"url": "https://a.b/c"}, "limit": limit}
    plain = Definition.model_validate(base)
    whole = Definition.model_validate(base | {"batch": {"rows": 100}})
    bytes_ = Definition.model_validate(base | {"batch": {"rows": 100, "bytes": 1000}})

    assert number_of_requests(plain, 250) == Number(250, 250, 250)
    assert number_of_requests(whole, 250) == Number(3, 3, 3)
    assert number_of_requests(bytes_, 250, first=20) == Number(3, None, 13)
    assert [Number(1, 1, 1).words, Number(10, 30, 10).words, Number(3, None, 13).words] == [
        "1 request", "10 to 30 requests", "about 13 requests",
    ]  # fmt: skip
    assert number_of_requests(whole, 0) == Number(0, 0, 0)


def test_a_row_whose_steps_all_have_a_condition_is_likely_to_make_one_request() -> None:
    steps = [
        {"name": name, "when": f"row.kind == '{name}'", "request": {"url": f"https://a.b/{name}"}}
        for name in ("a", "b")
    ]
    columns = {"id": {"type": "int"}, "kind": {"type": "str"}}
    limit = {"name": "a", "requests": 7, "window_seconds": 1}
    branches = Definition.model_validate({"name": "a", "columns": columns, "steps": steps, "limit": limit})

    assert number_of_requests(branches, 250) == Number(0, 500, 250)


def seeded(settings: Settings, redis_url: str, folder: Path, name: str) -> Seeded:
    made = seed(settings, redis_url, write(folder / "rows.csv", 150), definition=load(examples_folder() / name))
    made.leave(RunState.CHECKING, "checked; nothing sent yet")
    return made


@pytest.mark.parametrize(
    ("name", "words", "number"),
    [
        ("items207.yaml", "Rows 1-100, in one request", {"least": 2, "most": 2, "likely": 2}),
        ("upsert.yaml", "Row 1, line 2, step find", {"least": 150, "most": 450, "likely": 150}),
        ("graphql.yaml", "Row 1, line 2", {"least": 150, "most": 150, "likely": 150}),
    ],
)
def test_the_check_page_and_http_show_the_same(
    api: TestClient, settings: Settings, redis_url: str, tmp_path: Path, name: str, words: str, number: Any
) -> None:
    made = seeded(settings, redis_url, tmp_path, name)

    said = api.get(f"/runs/{made.id}/preview").json()
    page = show("check", run=made.id)

    assert said["requests"][0]["title"] == words
    assert said["requests_to_send"] == number
    assert not page.exception
    assert words in [each.label for each in page.expander]
    assert ("2 requests" in text(page)) == (name == "items207.yaml")


def test_a_parcel_of_one_row_is_called_by_that_row(settings: Settings) -> None:
    made = load(examples_folder() / "items207.yaml")

    shown = preview.first_requests("run", made, [Row(1, 2, {"email": "a", "name": "b"})], settings)

    assert [each.title for each in shown] == ["Row 1, line 2"]
    assert preview.first_requests("run", made, [], settings) == []
