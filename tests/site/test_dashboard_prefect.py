"""What programs set going through the HTTP API, on a real stack: what is sent is what arrived at the API."""

from __future__ import annotations

import importlib
import io
import json
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from flows.ledger import keys
from flows.records import RowState, RunState
from tests.harness.browser import ROOT
from tests.harness.dashboard_site import SECONDS, Site, rows_file, site, titles
from tests.harness.seeding import write_posts
from tests.harness.wait import wait_until


@pytest.fixture(scope="module")
def _site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture
def here(_site: Site) -> Site:
    """The stack, with nothing arrived yet."""
    _site.api.arrivals.clear()
    return _site


def test_a_file_is_checked_sent_and_taken_home(here: Site) -> None:
    run = here.start(here.upload("mixed.csv", rows_file(1, 5, "nobody,bad,b\n")), dry_run=True)
    assert here.run(run)["shown_as"] in ("starting", "checking", "checked, not sent")  # known from the first moment

    here.shown(run, "checked, not sent")
    preview = here.board.api("GET", f"/runs/{run}/preview").json()
    assert (preview["rows_to_send"], len(preview["rejections"]), len(preview["requests"])) == (5, 1, 3)
    assert here.tags == []

    assert here.board.api("POST", f"/runs/{run}/resume").status_code == 202
    here.shown(run, "finished, some not done")
    assert sorted(here.tags) == titles(1, 5)
    results = here.board.api("GET", f"/runs/{run}/results.json").json()["result"]
    assert [row["result"] for row in results] == ["done"] * 5 + ["rejected"]


def test_a_run_is_sent_at_once_and_the_same_key_is_the_same_run(here: Site) -> None:
    file = here.upload("once.csv", rows_file(20, 4))
    body = {"pipeline": "posts", "file": file}
    ids = [here.board.api("POST", "/runs", json=body, headers={"Idempotency-Key": "k1"}).json()["id"] for _ in range(3)]

    assert len(set(ids)) == 1
    here.shown(ids[0], "finished")
    assert sorted(here.tags) == titles(20, 4)


def test_a_key_belongs_to_its_pipeline_and_to_one_request(here: Site) -> None:
    file, other = here.upload("key.csv", rows_file(30, 2)), here.upload("other.csv", rows_file(35, 2))
    notes = here.upload("notes.csv", "note\nt39\n")

    def ask(pipeline: str, file: str, **more: object) -> httpx.Response:
        body = {"pipeline": pipeline, "file": file, **more}
        return here.board.api("POST", "/runs", json=body, headers={"Idempotency-Key": "order-70"})

    first, again = ask("posts", file), ask("posts", file)
    for answer in (ask("posts", other), ask("posts", file, dry_run=True)):
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
        assert "idempotency key was used for a request with another" in answer.json()["detail"]
    mine = ask("replies", notes)

    assert first.status_code == again.status_code == mine.status_code == 202
    assert first.json() == again.json()
    assert mine.json()["id"] != first.json()["id"]
    for run in (first, mine):
        here.shown(run.json()["id"], "finished")
    assert sorted(here.tags) == [*titles(30, 2), "t39"]
    assert ask("posts", file).json() == first.json()  # also when all is done


def test_a_key_that_was_used_before_an_upgrade_starts_nothing_anew(here: Site) -> None:
    """Version 0.1 had one key for all pipelines: `api:` and what the client said."""
    file = here.upload("kept.csv", rows_file(42, 1))
    start = f"start('posts', {file!r}, by='API', idempotency_key='api:kept-17')"
    begin = f"from flows.flow_runs.start import start; print({start})"
    done = subprocess.run(
        [sys.executable, "-c", begin],
        cwd=ROOT, env={**os.environ, **here.variables}, capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    before = done.stdout.strip()
    assert before, done.stderr

    def ask(pipeline: str, file: str) -> str:
        body = {"pipeline": pipeline, "file": file}
        return str(here.board.api("POST", "/runs", json=body, headers={"Idempotency-Key": "kept-17"}).json()["id"])

    assert ask("posts", file) == before
    other = ask("replies", here.upload("notes.csv", "note\nt44\n"))
    assert other != before
    here.shown(before, "finished")
    here.shown(other, "finished")
    assert sorted(here.tags) == ["t42", "t44"]


def test_a_run_that_was_deleted_is_gone_and_says_so(here: Site) -> None:
    run = here.start(here.upload("gone.csv", rows_file(46, 2)))
    here.shown(run, "finished")
    assert here.board.api("DELETE", f"/runs/{run}").status_code == 204

    for path in ("", "/rows", "/preview", "/events"):
        answer = here.board.api("GET", f"/runs/{run}{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
        assert re.search(rf"^Run {run} was deleted on .* by API\.$", answer.json()["detail"])
    assert here.board.api("POST", f"/runs/{run}/cancel").status_code == 404
    assert sorted(here.tags) == titles(46, 2)


@pytest.mark.parametrize("dry_run", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_check_that_failed_can_be_done_again_and_sends_nothing(here: Site, dry_run: bool) -> None:
    file = here.upload("wrong.csv", "name,age\nx,1\n")
    run = here.start(file, dry_run=dry_run)
    assert here.shown(run, "stopped")["total"] == 0
    (here.settings.uploads / file).write_text(rows_file(40, 3))

    assert here.board.api("POST", f"/runs/{run}/check").status_code == 202

    assert here.shown(run, "checked, not sent")["counts"]["waiting"] == 3
    assert here.tags == []
    assert here.board.api("POST", f"/runs/{run}/check").status_code == 409  # what it found stands
    here.board.api("POST", f"/runs/{run}/resume")
    here.shown(run, "finished")
    assert sorted(here.tags) == titles(40, 3)


@pytest.mark.slow
def test_resuming_a_run_that_was_only_to_be_checked_checks_it(here: Site) -> None:
    file = here.upload("wrong.csv", "name,age\nx,1\n")
    run = here.start(file, dry_run=True)
    here.shown(run, "stopped")
    (here.settings.uploads / file).write_text(rows_file(50, 3))

    assert here.board.api("POST", f"/runs/{run}/resume").status_code == 202

    here.shown(run, "checked, not sent")
    assert here.tags == []


@pytest.mark.parametrize(("only_check", "shown"), [(1, "checked, not sent"), (0, "finished")])
def test_a_run_whose_process_died_in_its_check_is_taken_up_as_what_it_was(
    here: Site, only_check: int, shown: str
) -> None:
    file = here.upload("died.csv", rows_file(60, 3))
    seeded = here.seed(here.settings.uploads / file)
    here.board.api("GET", "/status")
    client = seeded.ledger.client
    client.hset(keys.run_key(seeded.id), mapping={"file": file, "total": 0, "state": "checking", "lease": 0})
    client.hset(keys.run_key(seeded.id), "only_check", only_check)

    done = subprocess.run(
        [sys.executable, "-c", f"from flows.recover import recover; recover(crashed={seeded.id!r})"],
        cwd=ROOT, env={**os.environ, **here.variables}, capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    here.shown(seeded.id, shown)
    assert sorted(here.tags) == ([] if only_check else titles(60, 3))


def test_a_run_that_nobody_has_begun_is_known_and_can_be_cancelled(here: Site) -> None:
    file = here.upload("early.csv", rows_file(80, 3))
    with here.nobody_works():
        run = here.start(file)
        known = here.run(run)
        assert (known["state"], known["pipeline"], known["file"], known["by"]) == (
            "starting", "posts", "early.csv", "API",
        )  # fmt: skip
        assert here.board.api("GET", f"/runs/{run}/rows").status_code == 409

        cancelled = here.board.api("POST", f"/runs/{run}/cancel")

        assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
        assert here.board.api("POST", f"/runs/{run}/cancel").status_code == 409

    other = here.start(here.upload("later.csv", rows_file(90, 2)))
    here.shown(other, "finished")
    assert sorted(here.tags) == titles(90, 2)  # the runner was there again, and left the other alone
    assert here.run(run)["state"] == "cancelled"


def test_a_resume_that_waits_is_not_asked_for_twice_and_can_be_cancelled(here: Site) -> None:
    seeded = here.seed(write_posts(here.settings.data / "waits.csv", 6))
    seeded.outcomes(RowState.DONE, [1, 2])
    seeded.leave(RunState.CANCELLED, "cancelled")
    path = f"/runs/{seeded.id}"
    with here.nobody_works():
        first = here.board.api("POST", f"{path}/resume", headers={"Idempotency-Key": "a"})
        again = here.board.api("POST", f"{path}/resume", headers={"Idempotency-Key": "a"})
        other = here.board.api("POST", f"{path}/resume", headers={"Idempotency-Key": "b"})
        unlike = here.board.api("POST", f"{path}/resume", headers={"Idempotency-Key": "a"}, json={"rows": "unknown"})
        gone = here.board.api("DELETE", path)

        assert first.status_code == again.status_code == 202
        assert first.json()["flow_run"] == again.json()["flow_run"]
        assert other.status_code == gone.status_code == 409
        assert unlike.status_code == 422  # the key stands for another request
        assert here.board.api("POST", f"{path}/cancel").status_code == 202
        assert here.board.api("POST", f"{path}/cancel").status_code == 409

    run = here.start(here.upload("after.csv", rows_file(110, 1)))
    here.shown(run, "finished")
    assert here.tags == ["t110"]
    assert here.run(seeded.id)["counts"]["waiting"] == 4
    assert here.board.api("DELETE", path).status_code == 204


def test_failed_and_unknown_rows_are_sent_again(here: Site) -> None:
    file = here.settings.data / "again.csv"
    file.parent.mkdir(exist_ok=True)
    file.write_text(rows_file(120, 4))
    seeded = here.seed(file)
    seeded.outcomes(RowState.DONE, [1])
    seeded.outcomes(RowState.FAILED, [2, 3])
    seeded.outcomes(RowState.UNKNOWN, [4])
    seeded.leave(RunState.FINISHED)

    here.board.api("POST", f"/runs/{seeded.id}/resume", json={"rows": "failed"})
    wait_until(lambda: here.run(seeded.id)["counts"]["done"] == 3, seconds=SECONDS, what="the failed rows")
    here.shown(seeded.id, "finished, some not done")
    here.board.api("POST", f"/runs/{seeded.id}/resume", json={"rows": "unknown"})
    here.shown(seeded.id, "finished")

    assert sorted(here.tags) == titles(121, 3)
    assert here.board.api("POST", f"/runs/{seeded.id}/resume", json={"rows": "failed"}).status_code == 409


@pytest.mark.slow
def test_two_schedules_of_one_pipeline_have_times_of_their_own(here: Site) -> None:
    made = []
    (here.settings.inbox / "posts" / "in").mkdir(parents=True, exist_ok=True)
    for body in (
        {"cron": "0 6 * * *", "timezone": "Europe/Berlin", "source": "posts/in"},
        {"rrule": "FREQ=WEEKLY;BYDAY=MO;BYHOUR=9;BYMINUTE=30;BYSECOND=0"},
    ):
        answer = here.board.api("POST", "/schedules", json={"pipeline": "posts", **body})
        assert answer.status_code == 201, answer.text
        assert len(answer.json()["next_times"]) == 5
        made.append(datetime.fromisoformat(answer.json()["next_times"][0]))
        twin = here.board.api("POST", "/schedules", json={"pipeline": "posts", **body})
        assert (twin.status_code, twin.json()["detail"]) == (400, "There is such a schedule already.")

    def listed() -> list[dict[str, object]]:
        found: list[dict[str, object]] = here.board.api("GET", "/schedules").json()["items"]
        return sorted(found, key=lambda each: str(each["timezone"]))

    wait_until(lambda: all(each["next_times"] for each in listed()), seconds=SECONDS, what="Prefect to plan both")
    berlin, utc = listed()
    assert datetime.fromisoformat(berlin["next_times"][0]) == made[0]  # type: ignore[index]
    assert datetime.fromisoformat(utc["next_times"][0]) == made[1]  # type: ignore[index]
    assert {datetime.fromisoformat(at).minute for at in utc["next_times"]} == {30}  # type: ignore[attr-defined]

    path = f"/schedules/{berlin['id']}"
    for active in (False, True):
        answer = here.board.api("PATCH", path, json={"active": active})
        assert answer.status_code == 200, answer.text
        assert (answer.json()["active"], answer.json()["source"]) == (active, "posts/in")  # nothing else was changed
    for each in (berlin, utc):
        assert here.board.api("DELETE", f"/schedules/{each['id']}").status_code == 204
    assert listed() == []
    assert here.board.api("DELETE", path).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"source": "../../etc", "cron": "0 6 * * *"}, 400, "folder"),
        ({"source": "https://elsewhere.example/x.csv", "cron": "0 6 * * *"}, 400, "no address"),
        ({"cron": "0 6 * *"}, 400, "five fields"),
        ({"cron": "0 0 30 2 *"}, 400, "never comes"),
        ({"rrule": "FREQ=DAILY;INTERVAL=0"}, 400, "INTERVAL=0 is not 1 or more"),
        ({}, 400, "one rule"),
        ({"cron": "0 6 * * *", "interval_seconds": 60}, 400, "one rule"),
    ],
)
def test_a_schedule_that_could_not_work_is_refused_before_it_is_made(
    here: Site, body: dict[str, str], status: int, says: str
) -> None:
    answer = here.board.api("POST", "/schedules", json={"pipeline": "posts", **body})

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert says in answer.json()["detail"]
    sources = [each["source"] for each in here.board.api("GET", "/schedules").json()["items"]]
    assert body.get("source", "?") not in sources


def test_a_prefect_that_is_away_is_said_and_nothing_is_lost(here: Site) -> None:
    file = here.upload("patient.csv", rows_file(140, 2))
    here.prefect.shut()
    try:
        refused = here.board.api("POST", "/runs", json={"pipeline": "posts", "file": file})
        assert refused.status_code == 503
        assert "Prefect" in refused.json()["detail"]
        assert here.board.api("GET", "/schedules").status_code == 503
        assert here.board.api("GET", "/runs").status_code == 200
    finally:
        here.prefect.open()

    here.shown(here.start(file), "finished")
    assert sorted(here.tags) == titles(140, 2)


@pytest.fixture
def client(here: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A client that openapi-python-client has made of the API's document, as a program imports it."""
    address = f"{here.board.url}/api/openapi.json"
    (tmp_path / "options.yml").write_text("content_type_overrides: {application/jsonl: text/plain}\n")
    done = subprocess.run(
        ["openapi-python-client", "generate", "--url", address, "--meta", "none", "--fail-on-warning",
         "--output-path", tmp_path / "rowrelay_client", "--config", tmp_path / "options.yml"],
        capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.syspath_prepend(tmp_path)
    loaded = {
        module.name.rpartition(".")[2]: importlib.import_module(module.name)
        for module in pkgutil.walk_packages([str(tmp_path / "rowrelay_client" / "api")], "rowrelay_client.api.")
    }
    models = importlib.import_module("rowrelay_client.models")
    made = importlib.import_module("rowrelay_client").Client(base_url=f"{here.board.url}/api", timeout=60)
    file = importlib.import_module("rowrelay_client.types").File
    return SimpleNamespace(**loaded, models=models, made=made, File=file)


def test_a_client_that_is_made_from_the_document_does_a_whole_job(here: Site, client: SimpleNamespace) -> None:
    api, models = client.made, client.models
    content = rows_file(200, 7, "nobody,bad,b\n").encode()
    uploaded = client.upload_file.sync("job.csv", client=api, body=client.File(payload=io.BytesIO(content)))
    assert (uploaded.name, uploaded.bytes_) == ("job.csv", len(content))
    assert client.get_file.sync(uploaded.file, client=api).bytes_ == len(content)

    def run() -> Any:
        return client.get_run.sync(started.id, client=api)

    new = models.NewRun(pipeline="posts", file=uploaded.file, dry_run=True)
    started = client.start_run.sync(client=api, body=new, idempotency_key="the-job")
    wait_until(lambda: run().shown_as == models.ShownAs.CHECKED_NOT_SENT, seconds=SECONDS, what="the check")
    preview = client.preview_run.sync(started.id, client=api)
    assert (preview.rows_to_send, [each.row for each in preview.rejections]) == (7, [8])
    assert preview.rejections[0].reasons[0].column == "userId"

    sent = client.resume_run.sync_detailed(started.id, client=api)
    assert (sent.status_code, sent.headers["location"]) == (202, f"/api/runs/{started.id}")
    wait_until(lambda: run().state == models.RunStatus.FINISHED, seconds=SECONDS, what="the rows to be sent")
    assert sorted(here.tags) == titles(200, 7)
    counts = run().counts
    assert (counts.done, counts.rejected, run().total, run().sent) == (7, 1, 8, 7)

    rows, cursor = [], ""
    while cursor is not None:
        more = {"cursor": cursor} if cursor else {}
        page = client.list_rows.sync(started.id, client=api, state=[models.RowState.DONE], limit=3, **more)
        rows += page.items
        cursor = page.next_
    assert [row.row for row in rows] == list(range(1, 8))
    assert [row.values["title"] for row in rows] == titles(200, 7)
    assert client.get_row.sync(started.id, 8, client=api).request is None
    results = client.download_results.sync(started.id, client=api).result
    assert [row.result for row in results] == [models.RowState.DONE] * 7 + [models.RowState.REJECTED]
    assert results[0]["title"] == "t200"
    assert client.download_results_as_csv.sync(started.id, client=api).count("\n") == 9
    assert client.download_rows_to_correct.sync(started.id, client=api).count("\n") == 2
    assert client.list_events.sync(started.id, client=api).items == []  # all went as it should
    found = client.list_runs.sync(client=api, search="job.csv", state=models.ShownAs.FINISHED)
    assert [each.id for each in found.items] == [started.id]

    busy = client.resume_run.sync(started.id, client=api, body=models.Resume(rows=models.ResumeRows.FAILED))
    assert (busy.type_, busy.status) == ("/api/problems/not-possible", 409)
    assert client.delete_run.sync_detailed(started.id, client=api).status_code == 204
    gone = client.get_run.sync(started.id, client=api)
    assert isinstance(gone, models.Problem)
    assert gone.type_ == "/api/problems/run-deleted"
    assert client.get_file.sync(uploaded.file, client=api).status == 404


def test_the_commands_of_the_documentation_do_what_they_say(here: Site, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "http-api.md").read_text()
    script = "\n".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL))
    script = script.replace("http://127.0.0.1:8501", here.board.url)

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS
    )

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-500:]
    assert '"status":500,"detail"' not in done.stdout
    assert "[object" not in done.stdout
    (result,) = json.loads((tmp_path / "results.json").read_text())["result"]
    assert (result["userId"], result["title"], result["result"]) == (1, "text", "done")
    assert "text" in here.tags
    assert here.board.api("GET", "/schedules").json()["items"] == []


def test_every_route_is_among_the_commands_of_the_documentation(here: Site) -> None:
    text = (ROOT / "docs" / "http-api.md").read_text()
    words = {"{name}": "*", "{file}": "*", "{run}": "$RUN", "{row}": "1", "{schedule}": "$SCHEDULE"}

    missing = []
    for path in here.board.api("GET", "/openapi.json").json()["paths"]:
        pattern = re.escape("$API" + path)
        for word, example in words.items():
            pattern = pattern.replace(re.escape(word), r"[^\s\"/]+" if example == "*" else re.escape(example))
        if not re.search(pattern + r"(?![\w/{])", text.replace("$API/schedules/$id", "")):
            missing.append(path)
    assert missing == ["/pipelines/{name}"]  # the whole definition: a person reads it in its file
