"""What the dashboard makes of a Prefect that says no, or that does not know what it is asked about."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from dashboard import connections, prefect_api
from dashboard.api import make_api
from dashboard.prefect_api import NotInPrefect, PrefectRefused
from flows.errors import StackError

Answers = dict[tuple[str, str], tuple[int, object]]


@pytest.fixture
def answers(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    """What a server that takes Prefect's place answers, by method and path; 404 for everything else."""
    given: Answers = {}

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
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
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{server.server_port}/api")
    connections.settings.cache_clear()
    yield given
    connections.settings.cache_clear()
    server.shutdown()
    server.server_close()


def begun(run: str) -> dict[str, object]:
    """A flow run that nobody has begun, as Prefect tells it."""
    return {"id": run, "state": {"type": "SCHEDULED", "name": "Scheduled"}, "parameters": {"dry_run": True}}


def test_a_flow_run_that_prefect_does_not_know_is_none(answers: Answers) -> None:
    run = str(uuid4())
    assert prefect_api.flow_run(run) is None

    answers["GET", f"/flow_runs/{run}"] = (200, begun(run))
    found = prefect_api.flow_run(run)
    assert found is not None
    assert found.state == "Scheduled"


@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_no_is_not_taken_for_there_is_none(answers: Answers, status: int) -> None:
    answers["GET", "/flow_runs/x"] = (status, {"detail": "not like this"})

    with pytest.raises(PrefectRefused, match="Prefect refused: not like this") as refused:
        prefect_api.flow_run("x")

    assert not isinstance(refused.value, NotInPrefect)


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_server_in_trouble_is_not_taken_for_a_no(answers: Answers, status: int) -> None:
    answers["GET", "/flow_runs/x"] = (status, {"detail": "?"})

    with pytest.raises(StackError, match=f"answered {status}"):
        prefect_api.flow_run("x")


@pytest.mark.parametrize(
    ("status", "shown", "says"),
    [(404, 404, "Prefect knows no such thing"), (409, 400, "Prefect refused"), (500, 503, "answered 500")],
)
def test_what_prefect_says_to_a_cancel_is_passed_on(answers: Answers, status: int, shown: int, says: str) -> None:
    run = str(uuid4())
    answers["GET", f"/flow_runs/{run}"] = (200, begun(run))
    answers["POST", f"/flow_runs/{run}/set_state"] = (status, {"detail": "gone"})  # it went meanwhile

    with TestClient(make_api(), base_url="http://127.0.0.1:8501", raise_server_exceptions=False) as api:
        answer = api.post(f"/runs/{run}/cancel")

    assert (answer.status_code, answer.headers["content-type"]) == (shown, "application/problem+json")
    assert says in answer.json()["title"]


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
