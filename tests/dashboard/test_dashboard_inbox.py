"""A checked file on its way to the inbox, and the schedules that take it from there."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from dashboard import connections
from dashboard.api.app import make_api
from flows.pipeline.pipelines import present
from flows.records import RowState, RunState
from tests.dashboard.test_dashboard_refusals import ASKED, Answers, answers
from tests.harness.pages import show, text
from tests.harness.remembered import forget
from tests.harness.seeding import Seeded, seed, write_posts

__all__ = ["answers"]

CHECKED = "checked; nothing sent yet"
NEXT = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)


def labels(page: AppTest) -> list[str]:
    return [each.label for each in page.button]


def schedule(name: str, **parameters: object) -> dict[str, Any]:
    return {"id": name, "schedule": {"cron": "0 7 * * *"}, "active": True, "parameters": parameters}


def serve(answers: Answers, *given: dict[str, Any], name: str = "posts", paused: bool = False) -> None:
    """Let Prefect have these schedules of a pipeline's inbox."""
    place = {"id": "d", "flow_id": "f", "name": name, "schedules": list(given), "paused": paused}
    planned = {"id": "r", "name": "n", "state": {"type": "SCHEDULED", "name": "Scheduled"}}
    answers["POST", "/deployments/filter"] = (200, [place])
    answers["POST", "/flows/filter"] = (200, [{"id": "f", "name": "inbox"}])
    times = [{"expected_start_time": at.isoformat()} for at in (NEXT - timedelta(days=20), NEXT)]
    answers["POST", "/flow_runs/filter"] = (200, [planned | each for each in times])
    answers["POST", "/artifacts/filter"] = (200, [])
    for each in given:
        answers["PATCH", f"/deployments/d/schedules/{each['id']}"] = (204, None)
    answers["POST", "/deployments/d/resume_deployment"] = (200, {})
    forget()


def checked(redis_url: str, folder: Path, *, skip_delivered: bool = False) -> Seeded:
    """A checked file of three rows, of which one was delivered before, by a run of another file."""
    settings = connections.settings()
    keyed = present(settings)["posts"].model_copy(update={"key": ["title"]})
    before = seed(settings, redis_url, write_posts(folder / "before.csv", 2), definition=keyed)
    before.outcomes(RowState.DONE, [1])
    before.leave(RunState.FINISHED)
    file = write_posts(folder / "whole.csv", 3)
    run = seed(settings, redis_url, file, definition=keyed, skip_delivered=skip_delivered)
    run.leave(RunState.CHECKING, CHECKED)
    return run


@pytest.mark.parametrize("left_out", [False, True])
def test_a_corrected_file_may_go_to_an_inbox_whose_schedules_leave_out_what_was_delivered(
    answers: Answers, redis_url: str, tmp_path: Path, left_out: bool
) -> None:
    run = checked(redis_url, tmp_path, skip_delivered=left_out)
    why = "may send the rows that are left out here" if left_out else "may send the rows again that were delivered"

    for given in ((), (schedule("a"),), (schedule("a", skip_delivered=True), schedule("b"))):
        serve(answers, *given)
        page = show("check", run=run.id)
        assert "Put it into the inbox" not in labels(page)
        assert why in text(page)
        assert 'href="schedules"' in text(page)
        assert "Make one that leaves out delivered rows" in text(page)

    own = connections.settings().inbox / "posts"
    others = (schedule("b", folder="/elsewhere"), schedule("c") | {"active": False})
    for source in ({}, {"folder": str(own)}, {"folder": "posts"}):
        serve(answers, schedule("a", skip_delivered=True, **source), *others)
        page = show("check", run=run.id)
        assert "Not for the inbox" not in text(page)
        assert "Put it into the inbox" in labels(page)


def test_what_was_put_into_the_inbox_says_at_once_when_it_is_taken(
    answers: Answers, redis_url: str, tmp_path: Path
) -> None:
    run = checked(redis_url, tmp_path)
    run.ledger.client.hset(f"rowrelay:run:{{{run.id}}}", "file", "whole.csv")
    uploads = connections.settings().uploads
    uploads.mkdir(parents=True)
    (tmp_path / "whole.csv").rename(uploads / "whole.csv")
    serve(answers, schedule("a", skip_delivered=True))
    page = show("check", run=run.id)

    next(each for each in page.button if each.label == "Put it into the inbox").click().run()

    assert (connections.settings().inbox / "posts" / "whole.csv").exists()
    told = text(page)
    assert "The file is in the inbox." in told
    assert (
        f"The next schedule of posts takes it: {NEXT:%a} {NEXT.day} {NEXT:%b}" in told
    )  # not the time that has passed
    assert "It leaves out the rows that were delivered before." in told
    disabled = {each.label: each.disabled for each in page.button}
    assert disabled["Send all 3 rows"]
    assert disabled["Leave them out"]
    assert disabled["Put it into the inbox"]


def test_what_did_not_get_into_the_inbox_stays_said(answers: Answers, redis_url: str, tmp_path: Path) -> None:
    run = checked(redis_url, tmp_path)
    serve(answers, schedule("a", skip_delivered=True))
    page = show("check", run=run.id)

    next(each for each in page.button if each.label == "Put it into the inbox").click().run()  # its file is no upload
    page.run()

    assert "rr-warn" in text(page)
    assert "whole.csv" in text(page)
    assert not next(each for each in page.button if each.label == "Send all 3 rows").disabled


# -- schedules whose pipeline is gone ----------------------------------------------------------------------------------


def test_a_schedule_without_a_pipeline_can_only_be_removed(answers: Answers) -> None:
    serve(answers, schedule("a"), name="left", paused=True)

    page = show("schedules")

    assert "Its pipeline is not there any more." in text(page)
    assert [label for label in labels(page) if label in ("Go on", "Pause", "Change", "Remove")] == ["Remove"]
    assert "Next</dt>" not in text(page)
    with TestClient(make_api(), base_url="http://127.0.0.1:8501", raise_server_exceptions=False) as api:
        refused = api.patch("/schedules/a", json={"active": True})
        assert (refused.status_code, refused.json()["detail"]) == (400, "Its pipeline is not there any more.")
        assert api.get("/schedules/a").json()["next_times"] == []
    assert "/deployments/d/resume_deployment" not in [path for path, _ in ASKED]


def test_one_schedule_that_goes_on_takes_no_other_with_it(answers: Answers) -> None:
    serve(answers, schedule("a", skip_delivered=True), schedule("b"), paused=True)  # paused as a whole, in Prefect
    page = show("schedules")

    next(each for each in page.button if each.key == "go-b").click().run()

    asked = [(path.rpartition("/")[2], json.loads(body)) for path, body in ASKED if "/schedules/" in path]
    assert asked == [
        ("a", {"active": False, "parameters": {"skip_delivered": True}}),
        ("b", {"active": True, "parameters": {}}),
    ]
    assert [path for path, _ in ASKED if "schedules" in path or "resume" in path][
        -1
    ] == "/deployments/d/resume_deployment"
