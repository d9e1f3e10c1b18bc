"""What a run is called while it is between two states."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import uuid4

import pandas as pd
from starlette.testclient import TestClient

from dashboard import connections
from dashboard.api.app import make_api
from dashboard.parts.send.reading import telling
from flows.pipeline.pipelines import present
from flows.records import Reading, RowState, RunState
from tests.dashboard.test_dashboard_inbox import CHECKED, labels
from tests.dashboard.test_dashboard_refusals import Answers, answers, begun
from tests.harness.pages import show, text
from tests.harness.remembered import forget
from tests.harness.seeding import seed, write_posts

__all__ = ["answers"]


def test_a_run_is_starting_from_the_click_until_its_flow_run_has_taken_it(
    answers: Answers, redis_url: str, tmp_path: Path
) -> None:
    run, flow = seed(connections.settings(), redis_url, write_posts(tmp_path / "posts.csv", 3)), str(uuid4())
    run.leave(RunState.CHECKING, CHECKED)
    epoch = run.delivery.lease.epoch
    run.ledger.facts(run.id, asked=flow, asked_at=f"{time.time():.0f}", asked_epoch=epoch)
    run.ledger.flow(run.id, flow)  # it is under way, and about to take the run
    running = {"state": {"type": "RUNNING", "name": "Running"}}
    answers["GET", f"/flow_runs/{flow}"] = (200, begun(flow) | running)

    with TestClient(make_api(), base_url="http://127.0.0.1:8501", raise_server_exceptions=False) as api:
        assert api.get(f"/runs/{run.id}").json()["shown_as"] == "starting"
        forget()
        page = show("run", id=run.id)
        assert labels(page) == ["Cancel"]
        assert "checked, not sent" not in text(page) + text(show("runs"))
        assert "This file is being sent." in text(show("check", run=run.id))

        run.ledger.end(run.id, run.ledger.take(run.id, "w", resume=True), RunState.STOPPED, "HTTP 500")

        assert api.get(f"/runs/{run.id}").json()["shown_as"] == "stopped"  # though its flow run is still about to end
        forget()
        page = show("run", id=run.id)
        assert "Resume: 3 rows" in labels(page)
        assert "starting" not in text(page)


def test_a_check_that_asks_how_a_file_reads_is_no_failure(answers: Answers, redis_url: str, tmp_path: Path) -> None:
    ledger = connections.ledger()
    definition = present(connections.settings())["posts"].resolved()
    ledger.create("asks", definition=definition, by="x", pipeline="posts", file="f.csv", name="f.csv")
    epoch = ledger.take("asks", "w", resume=False)
    lines = ("reason (rowrelay),userId,title,body", "'x,1,{},b")
    readings = [Reading(name, (lines[0], lines[1].format(word))) for name, word in (("cp1252", "ä"), ("cp1250", "д"))]
    ledger.facts("asks", readings=readings)
    ledger.end("asks", epoch, RunState.STOPPED, "f.csv: can be read in several ways")
    forget()

    with TestClient(make_api(), base_url="http://127.0.0.1:8501", raise_server_exceptions=False) as api:
        assert api.get("/runs/asks").json()["shown_as"] == "checked, needs an answer"
    for page in (show("runs"), show("run", id="asks")):
        assert "checked, needs an answer" in text(page)
        assert "rr-bad" not in text(page)
    assert "Choose how to read it" in text(show("run", id="asks"))
    page = show("check", run="asks")
    assert "The letters of this file can be read in several ways." in text(page)
    assert [list(each.value.columns) for each in page.dataframe] == [["title", "userId", "body"]] * 2


def test_readings_of_one_text_are_shown_as_they_stand() -> None:
    same = pd.DataFrame([["1", "a"]], columns=["n", "t"])

    assert [list(each.columns) for each in telling([same, same])] == [["n", "t"]] * 2


def test_who_has_rows_to_correct_finds_where_to_upload_them(answers: Answers, redis_url: str, tmp_path: Path) -> None:
    run = seed(connections.settings(), redis_url, write_posts(tmp_path / "posts.csv", 3, bad=(2,)))
    assert "Upload the corrected file" not in text(show("run", id=run.id))
    run.outcomes(RowState.DONE, [1, 3])
    run.leave(RunState.FINISHED)
    forget()

    assert 'href="./?pipeline=posts"' in text(show("run", id=run.id))


def test_what_another_pipeline_sent_is_no_duplicate_of_this_one(
    answers: Answers, redis_url: str, tmp_path: Path
) -> None:
    settings = connections.settings()
    other = present(settings)["posts"].model_copy(update={"name": "others"})
    file = write_posts(tmp_path / "posts.csv", 2)
    before = seed(settings, redis_url, file, definition=other)
    before.outcomes(RowState.DONE, [1])
    before.leave(RunState.FINISHED)
    run = seed(settings, redis_url, file)
    run.leave(RunState.CHECKING, CHECKED)

    page = show("check", run=run.id)

    assert "content was sent before" not in text(page)
    assert not next(each for each in page.button if each.label == "Send 2 rows").disabled


def test_an_empty_cell_that_was_rejected_is_called_empty(answers: Answers, redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("userId,title,body\n,a,b\n")
    run = seed(connections.settings(), redis_url, tmp_path / "a.csv")
    run.leave(RunState.CHECKING, CHECKED)

    assert "(empty)" in text(show("check", run=run.id))
