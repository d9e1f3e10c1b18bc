"""Undoing a run on its page and over HTTP, as far as that needs no Prefect."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from dashboard import actions
from dashboard.refusals import NotPossible
from flows.ledger.run import Run
from flows.pipeline.definition import Definition
from flows.pipeline.pipelines import present
from flows.records import RowState, RunState
from flows.settings import Settings
from tests.dashboard.test_api import api, settings
from tests.harness.pages import show, text
from tests.harness.remembered import forget
from tests.harness.seeding import Seeded, seed, write_posts

__all__ = ["api", "settings"]

D, F, U = RowState.DONE, RowState.FAILED, RowState.UNKNOWN


@pytest.fixture
def posts(settings: Settings) -> Definition:
    """The pipeline `posts`, which says how its rows are undone."""
    shipped = present(settings)["posts"]
    url = shipped.main.url + "/{postId}"
    data = shipped.resolved() | {"undo": {"request": {"method": "DELETE", "url": url}}}
    data["response"]["keep"] = {"postId": "id"}
    return Definition.model_validate(data)


@pytest.fixture
def sent(posts: Definition, settings: Settings, redis_url: str, tmp_path: Path) -> Seeded:
    """A finished run: 20 rows done, one failed, one unknown."""
    run = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 22), definition=posts)
    run.outcomes(D, range(1, 21))
    run.outcomes(F, [21])
    run.outcomes(U, [22])
    run.leave(RunState.FINISHED)
    forget()
    return run


def found(run: Seeded) -> Run:
    return run.delivery.view.run(run.id)


def test_the_page_says_what_undoing_will_do_before_it_does(sent: Seeded) -> None:
    page = show("run", id=sent.id)
    (undo,) = [each for each in page.button if each.label == "Undo"]

    page = undo.click().run()

    said = text(page)
    assert f"20 rows of run {sent.id[:8]} are undone: DELETE to " in said
    assert "1 row left alone: unknown" in said
    labels = [each.label for each in page.button if each.key in ("leave", "check", "sure")]
    assert labels == ["Leave it", "Check first", "Undo 20 rows"]  # the safe one first


def test_undo_is_not_offered_where_the_pipeline_says_nothing_of_it_or_nothing_is_done(
    posts: Definition, settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    file = write_posts(tmp_path / "posts.csv", 3)
    plain = seed(settings, redis_url, file)
    plain.outcomes(D, [1, 2, 3])
    plain.leave(RunState.FINISHED)
    failed = seed(settings, redis_url, file, definition=posts)
    failed.outcomes(F, [1, 2, 3])
    failed.leave(RunState.FINISHED)

    for run in (plain, failed):
        forget()
        assert "Undo" not in [each.label for each in show("run", id=run.id).button]


def test_both_runs_say_so_on_the_page_and_over_http(api: TestClient, sent: Seeded) -> None:
    sent.ledger.create("undo-1", definition={}, by="test", pipeline="posts", file="undo of posts.csv", undoes=sent.id)
    sent.ledger.client.hset("rowrelay:run:{undo-1}", "done", 12)
    sent.ledger.facts(sent.id, undone_by={"undo-1": 1.0})

    first, second = api.get(f"/runs/{sent.id}").json(), api.get("/runs/undo-1").json()

    assert (first["undoes"], first["undone_by"]) == ("", {"undo-1": 12})
    assert (second["undoes"], second["undone_by"]) == (sent.id, {})
    forget()
    said = text(show("run", id=sent.id))
    assert "Run undo-1 has undone 12 of its rows." in said
    assert 'href="run?id=undo-1"' in said


def test_what_cannot_be_undone_is_refused_as_a_problem(
    api: TestClient, settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    run = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 2))
    run.outcomes(D, [1, 2])

    assert api.post(f"/runs/{run.id}/undo").status_code == 409
    run.leave(RunState.FINISHED)
    answer = api.post(f"/runs/{run.id}/undo", json={"dry_run": True})

    assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
    assert "did not say how its rows are undone" in answer.json()["detail"]
    assert api.post(f"/runs/{run.id}/undo", json={"dry": True}).status_code == 422


def test_a_run_that_undoes_another_never_gets_into_the_inbox(sent: Seeded) -> None:
    sent.ledger.facts(sent.id, undoes="other")

    with pytest.raises(NotPossible, match="from the inbox its rows would be sent"):
        actions.put_into_inbox(found(sent), by="test")
