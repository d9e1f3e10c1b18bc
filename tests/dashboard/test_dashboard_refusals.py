"""What the dashboard makes of a Prefect that says no, or that does not know what it is asked about."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from dashboard import connections
from dashboard.api.app import make_api
from dashboard.prefect_api import health, server
from dashboard.prefect_api.server import NotInPrefect, PrefectRefused
from flows.errors import StackError
from flows.ledger.erase import erase
from flows.pipeline.pipelines import shipped
from tests.harness.pages import show, text
from tests.harness.prefect_at import prefect_at
from tests.harness.remembered import forget

OURS = str(uuid4())
Answers = dict[tuple[str, str], tuple[int, object]]
ASKED: list[tuple[str, bytes]] = []  # paths and bodies, of the test that runs


@pytest.fixture
def answers(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    """What a server that takes Prefect's place answers, by method and path; 404 for everything else."""
    ASKED.clear()
    given: Answers = {("GET", f"/flows/{OURS}"): (200, {"id": OURS, "name": "deliver"})}

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            said = self.rfile.read(int(self.headers.get("content-length") or 0))
            ASKED.append((self.path.removeprefix("/api"), said))
            status, body = given.get((self.command, self.path.removeprefix("/api")), (404, {"detail": "Not Found"}))
            content = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("ROWRELAY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ROWRELAY_REDIS_URL", redis_url)
    with prefect_at(f"http://127.0.0.1:{server.server_port}/api"):
        yield given
    server.shutdown()
    server.server_close()


def begun(run: str) -> dict[str, object]:
    """A flow run that nobody has begun, as Prefect tells it."""
    return {
        "id": run, "flow_id": OURS, "state": {"type": "SCHEDULED", "name": "Scheduled"},
        "parameters": {"pipeline": "posts", "file": "f.csv"},
    }  # fmt: skip


def test_a_flow_run_that_prefect_does_not_know_is_none(answers: Answers) -> None:
    run = str(uuid4())
    assert server.flow_run(run) is None

    answers["GET", f"/flow_runs/{run}"] = (200, begun(run))
    found = server.flow_run(run)
    assert found is not None
    assert found.state == "Scheduled"


@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_no_is_not_taken_for_there_is_none(answers: Answers, status: int) -> None:
    answers["GET", "/flow_runs/x"] = (status, {"detail": "not like this"})

    with pytest.raises(PrefectRefused, match="Prefect refused: not like this") as refused:
        server.flow_run("x")

    assert not isinstance(refused.value, NotInPrefect)


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_server_in_trouble_is_not_taken_for_a_no(answers: Answers, status: int) -> None:
    answers["GET", "/flow_runs/x"] = (status, {"detail": "?"})

    with pytest.raises(StackError, match=f"answered {status}"):
        server.flow_run("x")


@pytest.mark.parametrize(
    ("status", "shown", "says"),
    [(404, 404, "Prefect has no such thing"), (409, 400, "Prefect refused"), (500, 503, "answered 500")],
)
def test_what_prefect_says_to_a_cancel_is_passed_on(answers: Answers, status: int, shown: int, says: str) -> None:
    run = str(uuid4())
    answers["GET", f"/flow_runs/{run}"] = (200, begun(run))
    answers["POST", f"/flow_runs/{run}/set_state"] = (status, {"detail": "gone"})  # it went meanwhile

    with TestClient(make_api(), base_url="http://127.0.0.1:8501", raise_server_exceptions=False) as api:
        answer = api.post(f"/runs/{run}/cancel")

    assert (answer.status_code, answer.headers["content-type"]) == (shown, "application/problem+json")
    assert says in answer.json()["detail"]


def test_a_schedule_that_is_removed_meanwhile_is_not_there(answers: Answers) -> None:
    stated = [{"id": "s", "schedule": {"cron": "0 6 * * *"}}]
    deployment = {"id": "d", "flow_id": "f", "name": "posts", "schedules": stated}
    answers["POST", "/deployments/filter"] = (200, [deployment])
    answers["POST", "/flows/filter"] = (200, [{"id": "f", "name": "deliver"}])
    answers["POST", "/flow_runs/filter"] = (200, [])

    with TestClient(make_api(), base_url="http://127.0.0.1:8501", raise_server_exceptions=False) as api:
        assert api.delete("/schedules/other").status_code == 404
        assert api.delete("/schedules/s").status_code == 404
        answers["DELETE", "/deployments/d/schedules/s"] = (204, None)
        assert api.delete("/schedules/s").status_code == 204


GUARDED = """
name: guarded
columns: {note: {type: str}}
request: {url: "http://127.0.0.1:9/notes", headers: {Authorization: "Bearer ${secret:CRM_TOKEN}"}}
limit: {name: guarded, requests: 7, window_seconds: 1}
"""


@pytest.fixture
def guarded(answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline without its secret, with a schedule; Prefect still has the deployment of one that is gone."""
    (tmp_path / "guarded.yaml").write_text(GUARDED)
    monkeypatch.setenv("ROWRELAY_PIPELINES", str(tmp_path / "guarded.yaml"))
    forget()
    stated = [{"id": "s", "active": True, "schedule": {"cron": "0 7 * * *", "timezone": "Europe/Berlin"}}]
    places = [
        {"id": name, "flow_id": "f", "name": name, "status": "READY", "schedules": stated if name == "guarded" else []}
        for name in ("guarded", "slowcust")
    ]
    answers["POST", "/deployments/filter"] = (200, places)
    answers["POST", "/flows/filter"] = (200, [{"id": "f", "name": "deliver"}])
    answers["POST", "/flow_runs/filter"] = (200, [])


def test_a_pipeline_without_its_secret_is_told_before_anybody_waits_for_it(guarded: None) -> None:
    says = "the secret CRM_TOKEN is missing"

    status, schedules = text(show("status")), text(show("schedules"))

    assert f"guarded can send nothing: {says}" in status
    assert f"It will send nothing: {says}" in schedules
    assert "Next (Europe/Berlin)" in schedules  # by whose clock the rule says 07:00
    with TestClient(make_api(), base_url="http://127.0.0.1:8501", raise_server_exceptions=False) as api:
        name = api.put("/files/n.csv", content=b"note\nx\n").json()["file"]
        refused = api.post("/runs", json={"pipeline": "guarded", "file": name})
    assert (refused.status_code, refused.json()["type"]) == (409, "/api/problems/secret-missing")
    assert "needs the secret CRM_TOKEN" in refused.json()["detail"]
    assert "set the environment variable CRM_TOKEN" in refused.json()["hint"]


def test_a_runner_serves_no_pipeline_that_is_gone(guarded: None) -> None:
    assert health._runner(True).says == "serves guarded"


def test_what_else_runs_in_the_same_prefect_is_nobodys_business(answers: Answers) -> None:
    run, other = str(uuid4()), str(uuid4())
    answers["GET", f"/flow_runs/{run}"] = (200, begun(run) | {"flow_id": other, "parameters": FOREIGN})
    answers["GET", f"/flows/{other}"] = (200, {"id": other, "name": "train-model"})
    answers["POST", f"/flow_runs/{run}/set_state"] = (200, {})

    with TestClient(make_api(), base_url="http://127.0.0.1:8501", raise_server_exceptions=False) as api:
        for answer in (api.get(f"/runs/{run}"), api.post(f"/runs/{run}/cancel"), api.get(f"/runs/{run}/rows")):
            assert (answer.status_code, answer.json()["detail"][:7]) == (
                404,
                "No run " if "cancel" in str(answer.url) else "There i",
            )


FOREIGN = {"pipeline": "posts", "file": "f.csv", "dry_run": True, "resume": ""}
ENDED = {  # how a flow run ended that the ledger does not know, and what that says of the run
    "cancelled before it began": (
        "CANCELLED",
        "Cancelled",
        "",
        200,
        "cancelled",
        "The run was cancelled before it began.",
    ),
    "failed before it began": (
        "FAILED",
        "Failed",
        "no such pipeline",
        200,
        "stopped",
        "The run did not begin: Failed.",
    ),
    "crashed before it began": ("CRASHED", "Crashed", "no worker", 200, "stopped", "The run did not begin: Crashed."),
    "came too late": (
        "COMPLETED",
        "Completed",
        "Skipped: an hour late",
        200,
        "stopped",
        "The run did not begin: Skipped.",
    ),
    "came too late, in an earlier version": (
        "COMPLETED",
        "Skipped",
        "an hour late",
        200,
        "stopped",
        "The run did not begin: Skipped.",
    ),
    "delivered": ("COMPLETED", "Completed", "250 done of 250", 404, "", "is not kept any more"),
    "checked": ("COMPLETED", "Completed", "Checked, nothing sent.", 404, "", "is not kept any more"),
    "checked, in an earlier version": ("COMPLETED", "Checked", "Checked.", 404, "", "is not kept any more"),
    "stopped": ("FAILED", "Failed", "12 done, 3 failed of 250. HTTP 500", 404, "", "is not kept any more"),
    "cancelled": ("CANCELLED", "Cancelled", "no rows of 0. cancelled", 404, "", "is not kept any more"),
}


@pytest.mark.parametrize("how", ENDED)
def test_a_run_that_the_ledger_does_not_know_is_what_it_came_to(answers: Answers, how: str) -> None:
    kind, name, message, status, state, says = ENDED[how]
    run = str(uuid4())
    answers["GET", f"/flow_runs/{run}"] = (
        200,
        begun(run)
        | {"state": {"type": kind, "name": name, "message": message}}
        | {"tags": ["skipped"] if message.startswith("Skipped") else []},
    )

    with TestClient(make_api(), base_url="http://127.0.0.1:8501", raise_server_exceptions=False) as api:
        answer, rows, cancel = api.get(f"/runs/{run}"), api.get(f"/runs/{run}/rows"), api.post(f"/runs/{run}/cancel")

    told = answer.json()
    assert (answer.status_code, told.get("state", "")) == (status, state)
    assert says in (told["reason"] if status == 200 else told["detail"])
    assert status == 404 or (message in told["reason"] and told["created"] is None)
    assert rows.status_code == cancel.status_code == (404 if status == 404 else 409)
    assert status == 404 or says in rows.json()["detail"]
    forget()
    for page in (show("run", id=run), show("check", run=run)):
        assert not page.exception
        assert (says if status == 200 else "This run is not kept any more.") in text(page)
        assert status == 200 or "ROWRELAY_RETENTION_DAYS" in text(page)


@pytest.mark.parametrize("by", ["ops@example.com", "Rowrelay, which keeps runs for 90 days"])
def test_of_a_deleted_run_page_and_api_say_when_and_by_whom(answers: Answers, by: str) -> None:
    run, resume = str(uuid4()), str(uuid4())
    ledger = connections.ledger()
    ledger.create(run, definition={}, by="x", pipeline="posts", file="f.csv")
    ledger.flow(run, resume)
    erase(ledger.client, run, by=by)
    ended = {"state": {"type": "COMPLETED", "name": "Completed", "message": "250 done of 250"}}
    answers["GET", f"/flow_runs/{run}"] = (200, begun(run) | ended)
    answers["GET", f"/flow_runs/{resume}"] = (200, begun(resume) | ended | {"parameters": FOREIGN | {"resume": run}})

    with TestClient(make_api(), base_url="http://127.0.0.1:8501", raise_server_exceptions=False) as api:
        for path in (run, resume, f"{run}/rows", f"{run}/preview"):
            answer = api.get(f"/runs/{path}")
            assert answer.status_code == 404
            assert f"Run {run} was deleted on 20" in answer.json()["detail"]
            assert answer.json()["detail"].endswith(f"by {by}.")
        assert api.post(f"/runs/{run}/resume").status_code == api.delete(f"/runs/{run}").status_code == 404
    forget()
    for page in (show("run", id=run), show("run", id=resume), show("check", run=run)):
        assert f" by {by}." in text(page)
        assert "This run was deleted at " in text(page)


def test_what_came_of_a_run_is_not_guessed_while_prefect_is_away(answers: Answers) -> None:
    run = str(uuid4())
    answers["GET", f"/flow_runs/{run}"] = (500, {})

    with TestClient(make_api(), base_url="http://127.0.0.1:8501", raise_server_exceptions=False) as api:
        assert api.get(f"/runs/{run}").status_code == 503
        assert api.get("/runs/none").status_code == 404


def test_who_removed_or_changed_a_schedule_is_in_the_log(answers: Answers, caplog: pytest.LogCaptureFixture) -> None:
    stated = [{"id": "s", "schedule": {"cron": "5 7 * * *"}, "active": True}]
    answers["POST", "/deployments/filter"] = (200, [{"id": "d", "flow_id": "f", "name": "posts", "schedules": stated}])
    answers["POST", "/flows/filter"] = (200, [{"id": "f", "name": "inbox"}])
    answers["POST", "/flow_runs/filter"] = (200, [])
    answers["PATCH", "/deployments/d/schedules/s"] = answers["DELETE", "/deployments/d/schedules/s"] = (204, None)
    answers["POST", "/deployments/d/schedules"] = (201, [{"id": "s"}])

    caplog.set_level("INFO", "dashboard")
    with TestClient(make_api(), base_url="http://127.0.0.1:8501", raise_server_exceptions=False) as api:
        twin = api.post("/schedules", json={"pipeline": "posts", "cron": "5 7 * * *"})
        assert (twin.status_code, twin.json()["detail"]) == (400, "There is such a schedule already.")
        assert api.post("/schedules", json={"pipeline": "posts", "cron": "5 8 * * *"}).status_code == 201
        assert api.patch("/schedules/s", json={"cron": "5 9 * * *"}).status_code == 200
        same = api.post("/schedules", json={"pipeline": "posts", "cron": "5 7 * * 0,1,2,3,4,5,6"})
        assert same.json()["detail"] == "There is such a schedule already."
        stated[0]["slug"] = "definition-0-abc"  # the next registration would put back what the definition says
        kept = api.patch("/schedules/s", json={"cron": "5 9 * * *"})
        assert (kept.status_code, kept.json()["detail"]) == (400, "This schedule stands in the definition of posts.")
        assert api.patch("/schedules/s", json={"active": False}).status_code == 200
        assert api.patch("/schedules/s", json={}).status_code == 422
        assert api.delete("/schedules/s").status_code == 204

    said = [record.getMessage() for record in caplog.records if record.name == "dashboard.noted"]
    assert [line.partition(" schedule ")[0] for line in said] == [
        "API made a", "API changed the", "API paused the", "API removed the",
    ]  # fmt: skip
    assert all(" of posts" in line for line in said)


def test_a_schedule_leaves_out_delivered_rows_only_of_a_pipeline_with_a_key(
    answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, key in (("bare", ""), ("keyed", "key: [userId]\n")):
        text = (shipped() / "posts.yaml").read_text().replace("name: posts", f"name: {name}", 1)
        (tmp_path / f"{name}.yaml").write_text(text + key)
    monkeypatch.setenv("ROWRELAY_PIPELINES", str(tmp_path))
    forget()
    own = {"id": "s", "schedule": {"interval": 900, "timezone": "UTC"}, "active": True, "parameters": {"folder": "in"}}
    places = [{"id": name, "flow_id": "f", "name": name, "schedules": [own]} for name in ("bare", "keyed")]
    answers["POST", "/deployments/filter"] = (200, places)
    answers["POST", "/flows/filter"] = (200, [{"id": "f", "name": "inbox"}])
    answers["POST", "/flow_runs/filter"] = (200, [])
    answers["PATCH", "/deployments/keyed/schedules/s"] = (204, None)
    answers["POST", "/deployments/keyed/schedules"] = (201, [{"id": "s"}])

    with TestClient(make_api(), base_url="http://127.0.0.1:8501", raise_server_exceptions=False) as api:
        wish = {"cron": "5 8 * * *", "skip_delivered": True}
        refused = api.post("/schedules", json=wish | {"pipeline": "bare"})
        assert (refused.status_code, "has no `key`" in refused.json()["detail"]) == (400, True)
        assert api.post("/schedules", json=wish | {"pipeline": "keyed"}).status_code == 201
        refused = api.patch("/schedules/s", json={"skip_delivered": True})  # the first one's is bare
        assert (refused.status_code, "has no `key`" in refused.json()["detail"]) == (400, True)
        del places[0]
        own["parameters"] = {"folder": "in", "skip_delivered": False}
        assert api.get("/schedules/s").json()["skip_delivered"] is False
        assert api.patch("/schedules/s", json={"skip_delivered": True}).status_code == 200

    made, changed = (json.loads(body) for path, body in ASKED if path.endswith(("/schedules", "/schedules/s")) and body)
    assert made[0]["parameters"] == {"pipeline": "keyed", "skip_delivered": True}
    assert changed == {"active": True, "parameters": {"folder": "in", "skip_delivered": True}}  # its times stay


def test_the_card_of_a_schedule_says_what_its_last_run_took_and_passed_over(answers: Answers) -> None:
    stated = [{"id": "s", "schedule": {"cron": "5 7 * * *"}, "active": True}]
    answers["POST", "/deployments/filter"] = (200, [{"id": "d", "flow_id": "f", "name": "posts", "schedules": stated}])
    answers["POST", "/flows/filter"] = (200, [{"id": "f", "name": "inbox"}])
    state = {"type": "COMPLETED", "name": "Completed", "message": "9 delivered, 1 skipped, 1 refused"}
    answers["POST", "/flow_runs/filter"] = (200, [begun(str(uuid4())) | {"state": state, "flow_id": "f"}])
    rows = [{"file": f"good-{n}.csv", "result": "delivered", "run": "r", "note": "2 done of 2"} for n in range(9)]
    rows += [
        {
            "file": "two.csv",
            "result": "skipped",
            "run": "r",
            "note": "has the content of one.csv",
            "where": "/d/two.csv",
        },
        {"file": "odd.csv", "result": "refused", "run": "", "note": "odd.csv: is empty", "where": "/x/failed/odd.csv"},
    ]
    answers["POST", "/artifacts/filter"] = (200, [{"data": json.dumps(rows)}])
    forget()

    page = show("schedules")

    assert not page.exception
    told = " ".join(re.sub("<[^>]*>", " ", text(page)).split())
    assert "9 delivered, 1 skipped, 1 refused" in told
    assert "two.csv : skipped, has the content of one.csv. It lies in /d/two.csv odd.csv: refused, odd.csv: is" in told
    assert "It lies in /x/failed/odd.csv" in told
    assert "and 3 more" in told
    answers["POST", "/artifacts/filter"] = (200, [{"data": '[{"file": "a", "result": "of a later version"}]'}])
    forget()
    assert not show("schedules").exception


def test_every_monday_is_one_click(answers: Answers) -> None:
    answers["POST", "/deployments/filter"] = answers["POST", "/flows/filter"] = (200, [])
    forget()
    page = show("schedules")
    assert "Choose at least one day." in text(page)
    assert "Make the schedule" not in [each.label for each in page.button]

    page.button_group(key="new_days").set_value(["Monday"]).run()

    assert "Make the schedule" in [each.label for each in page.button]
    assert len(re.findall(r"<li>Monday, \d\d \w+ \d{4}, 07:00</li>", text(page))) >= 5
    next(each for each in page.button if each.label == "Monday to Friday").click().run()
    assert page.button_group(key="new_days").value == ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]
    assert not page.exception


def test_the_last_run_of_a_rare_schedule_is_asked_for_alone(answers: Answers) -> None:
    state = {"type": "COMPLETED", "name": "Completed"}
    run = {"id": "r", "name": "n", "state": state, "start_time": "2026-11-01T07:00:00Z"}
    answers["POST", "/flow_runs/filter"] = (200, [run])

    found = server.latest("rare")

    assert found is not None
    assert (found.id, found.state) == ("r", "Completed")
    (asked,) = [json.loads(body) for path, body in ASKED if path == "/flow_runs/filter"]
    assert asked["flow_runs"]["created_by"] == {"id_": ["rare"]}  # not among the runs of all schedules
    assert asked["flow_runs"]["state"] == {"type": {"not_any_": ["SCHEDULED"]}}
    assert (asked["sort"], asked["limit"]) == ("EXPECTED_START_TIME_DESC", 1)
