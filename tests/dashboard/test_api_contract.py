"""The OpenAPI document as a contract: what a generated client needs of it is there, and the API keeps to it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate
from starlette.testclient import TestClient

from dashboard import connections
from dashboard.api import schemas
from dashboard.api.problems import name_of
from dashboard.api.schemas_setup import LimitState
from deployments.commands.showing import as_object
from flows.errors import RowrelayError
from flows.ledger.keys import run_key
from flows.ledger.run import KINDS
from flows.limit.script import MICRO, NAMES, Keys
from flows.records import RowState, RunState
from flows.settings import Settings
from tests.dashboard.test_api import api, mixed, settings
from tests.harness.contract import document, hold, operation
from tests.harness.seeding import Seeded

__all__ = ["api", "mixed", "settings"]

OPERATIONS = {
    "upload_file", "list_files", "get_file", "look_at_file",
    "start_run", "list_runs", "get_run", "list_events", "get_chart", "cancel_run", "resume_run", "check_run",
    "undo_run",
    "mark_rows_done", "delete_run", "mend_rows", "list_mends",
    "preview_run", "list_rows", "list_groups", "get_row", "download_results", "download_results_as_lines",
    "download_results_as_csv", "download_rows_to_correct",
    "list_pipelines", "get_pipeline", "download_template", "list_limits", "open_limit",
    "list_schedules", "create_schedule", "get_schedule", "change_schedule", "delete_schedule",
    "get_status", "list_problems", "get_problem",
}  # fmt: skip


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document()["paths"].items():
        for method, each in item.items():
            yield method, path, each


def test_the_document_is_valid() -> None:
    validate(document())


def test_its_schemas_state_bounds_by_the_names_that_programs_know() -> None:
    assert document()["components"]["schemas"]["FileForm"]["properties"]["header_row"]["anyOf"][0]["minimum"] == 1
    assert not re.search(r'"(ge|gt|le|lt)":', json.dumps(document()))


def test_operations_go_by_the_names_that_a_client_calls_them() -> None:
    assert sorted(each["operationId"] for _, _, each in operations()) == sorted(OPERATIONS)


def test_every_operation_says_what_it_does_and_what_it_answers() -> None:
    tags = {tag["name"] for tag in document()["tags"]}
    for method, path, each in operations():
        what = f"{method} {path}"
        assert 3 < len(each["summary"]) < 130, what
        assert set(each["tags"]) <= tags, what
        (good,) = [status for status in each["responses"] if status.startswith("2")]
        answer = each["responses"][good]
        assert (good == "204") == ("content" not in answer), what
        for kind, content in answer.get("content", {}).items():
            assert content["schema"].get("$ref") if kind == "application/json" else content["schema"], what
        assert ("Location" in answer.get("headers", {})) == (good in ("201", "202")), what


def test_every_error_is_a_problem_and_those_are_told_that_can_occur() -> None:
    for method, path, each in operations():
        bad = {status: answer for status, answer in each["responses"].items() if not status.startswith("2")}
        expected = {"401", "421", "500", "503"} | ({"403"} if method not in ("get", "head") else set())
        expected |= {"404"} if "{" in path and (method, path) != ("put", "/files/{file}") else set()
        assert expected <= set(bad), (method, path)
        for answer in bad.values():
            assert answer["content"]["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}
            assert answer["description"].endswith(".")
    assert "HTTPValidationError" not in json.dumps(document())


def test_who_gets_in_and_how_is_declared() -> None:
    schemes = document()["components"]["securitySchemes"]
    assert {(each["type"], each.get("scheme") or each.get("name")) for each in schemes.values()} == {
        ("http", "bearer"), ("apiKey", "_streamlit_user"),
    }  # fmt: skip
    assert {name for way in document()["security"] for name in way} == set(schemes)


def test_a_list_is_a_page_of_one_form() -> None:
    schemas = document()["components"]["schemas"]
    listing = [each for _, _, each in operations() if each["operationId"].startswith("list_")]
    assert len(listing) == 10
    for each in listing:
        name = each["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        assert set(schemas[name]["required"]) >= {"items", "next"}
        asked = {parameter["name"] for parameter in each.get("parameters", ()) if parameter["in"] == "query"}
        assert {"cursor", "limit"} <= asked or not asked


def test_states_are_the_ones_that_there_are() -> None:
    assert {str(each) for each in schemas.ShownAs} == set(KINDS.values())
    assert {str(each) for each in schemas.RunStatus} == {"starting", *map(str, RunState)}
    assert list(schemas.Counts.model_fields) == [str(state) for state in RowState]
    assert {str(each) for each in LimitState} == {"open", "cooling down", "paused", "latched"}


def test_the_type_of_a_problem_leads_to_what_it_is(api: TestClient) -> None:
    problem = api.get("/runs/none").json()
    assert problem["type"] == "/api/problems/run-not-found"
    assert problem["title"] == "There is no such run."
    assert problem["detail"] == "There is no run 'none'."

    kind = api.get(problem["type"].removeprefix("/api")).json()
    assert (kind["type"], kind["title"], kind["status"]) == (problem["type"], problem["title"], 404)
    assert kind in api.get("/problems").json()["items"]
    assert api.get("/problems/none").status_code == 404


def test_no_two_kinds_of_errors_are_one_problem() -> None:
    def below(kind: type[RowrelayError]) -> Iterator[type[RowrelayError]]:
        for each in kind.__subclasses__():
            yield each
            yield from below(each)

    ours = {each for each in below(RowrelayError) if each.__module__.partition(".")[0] in ("flows", "dashboard")}
    names = [name_of(each) for each in ours]

    assert len(names) == len(set(names))
    assert {"run-busy", "spool-gone", "key-reused", "not-valid", "sign-in-needed"} <= set(names)


def test_what_was_made_is_where_the_answer_says(api: TestClient) -> None:
    made = api.put("/files/a b.csv", content=b"userId,title,body\n1,a,b\n")
    found = api.get(made.headers["location"]).json()

    assert (found["file"], found["name"], found["bytes"]) == (made.json()["file"], "a b.csv", 24)
    again = api.put("/files/a b.csv", content=b"x\n1\n")
    assert again.headers["location"] != made.headers["location"]
    for name in ("none.csv", "..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd"):
        assert api.get(f"/files/{name}").status_code == 404


def test_nothing_private_of_the_ledger_is_shown(api: TestClient, mixed: Seeded) -> None:
    mixed.ledger.facts(mixed.id, asked_key="of-the-ledger-only", spool="of-the-ledger-only", only_check=0)
    raw = mixed.ledger.client.hget(f"rowrelay:run:{{{mixed.id}}}", "asked_key")
    assert raw == b"of-the-ledger-only"

    run = api.get(f"/runs/{mixed.id}").json()

    assert set(run) == set(document()["components"]["schemas"]["Run"]["properties"])
    assert not set(run) & {"facts", "epoch", "asked", "asked_key", "spool", "serials", "halted", "owner", "lease"}
    assert "of-the-ledger-only" not in json.dumps(run)


def test_the_command_line_shows_a_run_as_the_api_does(api: TestClient, mixed: Seeded) -> None:
    run = mixed.delivery.view.run(mixed.id)
    mine = json.loads(json.dumps(as_object(run), default=str))
    told = api.get(f"/runs/{mixed.id}").json()

    assert mine.pop("run") == told["id"]
    assert mine.pop("file") == run.file != told.pop("file")  # the whole path is the business of its own machine
    for at in ("created", "ended"):
        assert re.sub(r"\D", "", mine.pop(at))[:14] == re.sub(r"\D", "", told.pop(at))[:14]
    assert mine == told


def test_the_command_line_calls_a_run_that_was_only_checked_as_the_api_does(api: TestClient, mixed: Seeded) -> None:
    mixed.ledger.client.hset(run_key(mixed.id), mapping={"state": RunState.CHECKING, "ended": ""})

    mine, told = as_object(mixed.delivery.view.run(mixed.id)), api.get(f"/runs/{mixed.id}").json()

    assert mine["shown_as"] == told["shown_as"] == "checked, not sent"
    assert mine["kind"] == told["kind"] == "checked"
    assert [each.value for each in schemas.RunKind] == list(KINDS)


def test_events_are_paged_from_where_one_has_got_to(api: TestClient, mixed: Seeded) -> None:
    for n in range(5):
        mixed.ledger.event(mixed.id, f"event {n}")
    every = [each["text"] for each in api.get(f"/runs/{mixed.id}/events").json()["items"]]

    first = api.get(f"/runs/{mixed.id}/events", params={"limit": 2}).json()
    mixed.ledger.event(mixed.id, "one more")
    rest = api.get(f"/runs/{mixed.id}/events", params={"limit": 200, "cursor": first["next"]}).json()

    assert [each["text"] for each in (*first["items"], *rest["items"])] == every
    assert rest["next"] is None


def test_a_chart_has_moments_with_all_their_counts(api: TestClient, mixed: Seeded) -> None:
    mixed.spread(rate=7.0, seconds=120)
    for span, most in (("seconds", 130), ("minutes", 4)):
        chart = api.get(f"/runs/{mixed.id}/chart", params={"span": span}).json()
        assert chart["span"] == span
        assert 0 < len(chart["moments"]) <= most
        assert sum(moment["sent"] for moment in chart["moments"]) >= 840
        assert [moment["at"] for moment in chart["moments"]] == sorted(moment["at"] for moment in chart["moments"])


def test_limits_say_how_they_stand(api: TestClient, settings: Settings) -> None:
    assert api.get("/limits").json() == {"items": [], "next": None}
    client, keys = connections.client(), Keys.of("posts")
    seconds, _ = client.time()
    client.sadd(NAMES, "posts")
    client.hset(keys.state, mapping={"sure": (seconds + 60) * MICRO, "sure_why": "new"})
    (limit,) = api.get("/limits").json()["items"]
    assert (limit["state"], limit["latched_at"], limit["paused_until"]) == ("cooling down", None, None)
    assert abs(datetime.fromisoformat(limit["cooling_down_until"]).timestamp() - seconds - 60) < 1
    assert limit["cooling_down_because"].startswith("this limit is new here")

    client.hset(keys.state, "latched", json.dumps({"reason": "HTTP 403", "run": "r1", "at": 1.5}))
    (limit,) = api.get("/limits").json()["items"]
    assert [limit[name] for name in ("state", "latched_because", "latched_by_run")] == ["latched", "HTTP 403", "r1"]
    assert datetime.fromisoformat(limit["latched_at"]).timestamp() == 1.5
    assert [api.post("/limits/posts/open").json() for _ in range(2)] == [{"opened": True}, {"opened": False}]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, {"items": []}, "application/json"),  # no `next`
        (200, {"items": [], "next": 7}, "application/json"),
        (418, {}, "application/json"),
        (200, {"items": [], "next": None}, "text/html"),
        (409, {"type": "x/run-busy", "title": "", "status": 409, "detail": ""}, "application/problem+json"),
        (422, {"type": "x/run-busy", "title": "", "status": 422, "detail": ""}, "application/problem+json"),
    ],
)
def test_an_answer_that_breaks_the_contract_is_noticed(status: int, body: dict[str, Any], kind: str) -> None:
    request = httpx.Request("GET", "http://127.0.0.1:8501/api/runs")
    answer = httpx.Response(status, json=body, headers={"content-type": kind}, request=request)

    with pytest.raises(AssertionError, match="list_runs"):
        hold(answer)


def test_an_operation_is_found_by_the_path_of_a_request() -> None:
    assert operation("GET", "/runs/x/rows/7") is not None
    assert operation("GET", "/files/20261130-1/a.csv") is not None
    assert operation("PATCH", "/runs/x") is None
