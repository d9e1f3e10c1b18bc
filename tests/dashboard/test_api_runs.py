"""What a client may rely on about runs: which it acts on, who it is, and which rows are its own to correct."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import pytest
import streamlit as st
from starlette.testclient import TestClient

from dashboard import connections
from dashboard.parts import theme
from dashboard.words import ROW, RUN, SKIPPED
from flows.pipeline.pipelines import present
from flows.records import RowState, RunState
from flows.settings import Settings
from tests.dashboard.test_api import api, mixed, settings
from tests.harness.browser import ROOT
from tests.harness.pages import show, text
from tests.harness.remembered import forget
from tests.harness.seeding import Seeded, seed, write_posts
from tests.harness.workbooks import xlsx

__all__ = ["api", "mixed", "settings"]

D, F, U = RowState.DONE, RowState.FAILED, RowState.UNKNOWN


@pytest.mark.parametrize("name", ["last", "beginning", "x"])
@pytest.mark.parametrize("act", ["resume", "cancel", "check", "mark-done", "undo"])
def test_only_the_whole_id_acts_on_a_run(api: TestClient, mixed: Seeded, act: str, name: str) -> None:
    """A program whose variable was cut off must not resume or cancel whatever begins like it."""
    said = mixed.id[:8] if name == "beginning" else name

    answer = api.post(f"/runs/{said}/{act}")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "whole id" in answer.json()["hint"]
    assert mixed.delivery.view.run(mixed.id).counts[U] == 2
    assert api.get(f"/runs/{said}").status_code == (200 if name != "x" else 404)  # to look, a beginning will do


def test_rows_that_were_delivered_before_are_not_offered_to_be_corrected(
    api: TestClient, settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    keyed = present(settings)["posts"].model_copy(update={"key": ["userId"]})
    before = seed(settings, redis_url, write_posts(tmp_path / "posts.csv", 30), definition=keyed)
    before.outcomes(D, range(1, 31))
    before.leave(RunState.FINISHED)
    whole = seed(
        settings, redis_url, write_posts(tmp_path / "whole.csv", 33, bad=(33,)), definition=keyed, skip_delivered=True
    )
    whole.leave(RunState.CHECKING, "checked; nothing sent yet")
    forget()
    found = text(show("check", run=whole.id))
    assert "Left out" in found
    assert ">30</div>" in found

    whole = seed(settings, redis_url, tmp_path / "whole.csv", definition=keyed, skip_delivered=True)
    whole.outcomes(D, [31])
    whole.outcomes(F, [32])
    whole.leave(RunState.FINISHED)
    forget()

    run = api.get(f"/runs/{whole.id}").json()
    assert (run["counts"]["rejected"], run["skipped"], sum(run["counts"].values())) == (31, 30, run["total"])
    page = text(show("run", id=whole.id))
    assert "2 rejected and failed rows, to correct" in page
    assert len(api.get(f"/runs/{whole.id}/troubled.csv").text.splitlines()) == 1 + 2
    assert "30 skipped" in page
    assert '<td class="rr-right rr-wide">2</td>' in text(show("runs"))


def test_a_run_of_nothing_new_has_nothing_to_correct(
    api: TestClient, settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    keyed = present(settings)["posts"].model_copy(update={"key": ["userId"]})
    file = write_posts(tmp_path / "posts.csv", 30)
    before = seed(settings, redis_url, file, definition=keyed)
    before.outcomes(D, range(1, 31))
    before.leave(RunState.FINISHED)
    again = seed(settings, redis_url, file, definition=keyed, skip_delivered=True)
    again.leave(RunState.FINISHED)
    forget()

    assert api.get(f"/runs/{again.id}").json()["shown_as"] == "finished"
    assert "to correct" not in text(show("run", id=again.id))
    assert '<td class="rr-right rr-wide">–</td>' in text(show("runs"))


def test_every_reason_has_its_place(api: TestClient, settings: Settings, redis_url: str, tmp_path: Path) -> None:
    rows = [["userId", "title", "body"], [1, "a", "b"], ["x", "c", "d"]]
    run = seed(settings, redis_url, xlsx(tmp_path / "posts.xlsx", {"Posts": rows})).id

    good, bad = api.get(f"/runs/{run}/rows").json()["items"]
    assert (good["place"], bad["place"]) == ("Posts!A2", "Posts!A3")
    assert api.get(f"/runs/{run}/rows/1").json()["place"] == "Posts!A2"
    (refused,) = api.get(f"/runs/{run}/preview").json()["rejections"]
    assert [each["place"] for each in refused["reasons"]] == ["Posts!A3"]
    (group,) = api.get(f"/runs/{run}/groups", params={"state": "rejected"}).json()["items"]
    assert (group["first"], group["place"]) == (2, "Posts!A3")
    assert [each["title"] for each in api.get(f"/runs/{run}/preview").json()["requests"]] == ["Row 1, Posts!A2"]


def test_a_reason_names_the_file_and_not_its_folder(
    api: TestClient, settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    run = seed(settings, redis_url, write_posts(tmp_path / "my posts.csv", 3))
    run.leave(RunState.STOPPED, f"{tmp_path}/my posts.csv: has changed since it was checked\nSend it anew.")

    assert (
        api.get(f"/runs/{run.id}").json()["reason"] == "my posts.csv: has changed since it was checked\nSend it anew."
    )
    shutil.rmtree(f"{settings.spool_url}/{run.id}")
    gone = api.get(f"/runs/{run.id}/preview")
    assert gone.json()["detail"] == f"{run.id}: the spool of this run is gone"


def test_a_page_of_runs_costs_a_page(api: TestClient, settings: Settings) -> None:
    ledger = connections.ledger()
    for n in range(500):
        ledger.create(f"run-{n}", definition={}, by="test", pipeline="posts", file=f"file-{n}.csv")

    def commands() -> int:
        return int(ledger.client.info("stats")["total_commands_processed"])

    before = commands()
    first = api.get("/runs?limit=2").json()
    assert [run["id"] for run in first["items"]] == ["run-499", "run-498"]
    second = api.get("/runs", params={"limit": 2, "cursor": first["next"]}).json()
    assert [run["id"] for run in second["items"]] == ["run-497", "run-496"]
    assert commands() - before < 20
    forget()
    before = commands()
    assert "500 runs" in text(show("runs"))
    assert commands() - before < 100


def test_what_a_program_does_goes_by_the_name_of_its_token(
    api: TestClient, mixed: Seeded, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = {"billing": "one-long-random-text", "crm": "another-random-text"}
    monkeypatch.setattr(st, "secrets", {"auth": {"cookie_secret": "c"}, "api": {"tokens": tokens}})
    caplog.set_level("INFO", "dashboard")

    def as_one(method: str, path: str, token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return api.request(method, f"/runs/{mixed.id}{path}", headers=headers).status_code

    assert as_one("GET", "", "one-long-random-text-") == 401
    assert as_one("POST", "/mark-done", tokens["billing"]) == 200
    assert "marked done by billing (API)" in mixed.delivery.view.events(mixed.id)[0][1]
    assert as_one("DELETE", "", tokens["crm"]) == 204
    assert as_one("GET", "", tokens["crm"]) == 404
    deleted = mixed.delivery.view.deleted(mixed.id)
    assert deleted
    assert deleted.by == "crm (API)"
    assert f"crm (API) deleted the run {mixed.id} of posts" in caplog.text


def test_the_inbox_is_looked_through_only_where_somebody_wants_to_see_it(settings: Settings) -> None:
    (settings.inbox / "posts").mkdir(parents=True)
    (settings.inbox / "posts" / "lies-there.csv").write_text("x")
    forget()

    page = show("send")
    assert not page.exception
    assert [box.label for box in page.selectbox if box.label == "File"] == []

    page.session_state["inbox"] = True
    page.run()
    (box,) = [box for box in page.selectbox if box.label == "File"]
    assert "lies-there.csv" in box.options[0]


def test_every_sign_can_be_told_from_its_colour() -> None:
    """Ink on each colour of a sign, at least 4.5 : 1 (WCAG 2.2, 1.4.3); the style sheet has one ink for all."""
    (ink,) = set(re.findall(r"background: var\(--c\); color: (#[0-9a-f]{6})", str(theme.style())))
    notices = re.findall(r"--c: (#[0-9a-f]{6})", str(theme.style()))

    for color in [*notices, *(each.color for each in (*ROW.values(), *RUN.values(), SKIPPED))]:
        assert _contrast(color, ink) >= 4.5, color


def test_text_on_the_main_buttons_can_be_read() -> None:
    colors = tomllib.loads((ROOT / "dashboard" / ".streamlit" / "config.toml").read_text())["theme"]
    for name in ("light", "dark"):
        assert _contrast(colors[name]["primaryColor"], "#ffffff") >= 4.5
        assert _contrast(colors[name]["primaryColor"], colors[name]["backgroundColor"]) >= 3


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: str) -> float:
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
