"""The dashboard as a process: how it starts, what it says about sign-in, and who is let in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

from tests.harness.browser import ROOT, Dashboard, dashboard, find_browser, open_browser
from tests.harness.wait import wait_until

SECRET = "a-cookie-secret-that-is-long-enough-for-hmac"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser; its absence is a failure, never a skip."""
    find_browser()
    with open_browser() as found:
        yield found


@pytest.fixture
def environment(redis_url: str, tmp_path: Path) -> dict[str, str]:
    """An empty ledger, no Prefect."""
    return {
        "ROWRELAY_DATA": str(tmp_path / "data"),
        "ROWRELAY_REDIS_URL": redis_url,
        "PREFECT_API_URL": "http://127.0.0.1:9/api",
    }


@pytest.fixture
def guarded(environment: dict[str, str], tmp_path: Path) -> Iterator[Dashboard]:
    """A dashboard with a sign-in configured."""
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(
        '[auth]\nredirect_uri = "http://localhost/oauth2callback"\n'
        f'cookie_secret = "{SECRET}"\nclient_id = "x"\nclient_secret = "y"\n'
        'server_metadata_url = "http://127.0.0.1:9/openid"\n[api]\ntokens = ["long-random-text"]\n'
    )
    with dashboard({**environment, "STREAMLIT_SECRETS_FILES": str(secrets)}, tmp_path / "log") as board:
        yield board


def test_a_link_to_a_page_works_as_the_first_thing_that_is_asked(
    environment: dict[str, str], browser: Browser, tmp_path: Path
) -> None:
    """Streamlit once took the folder of the pages for its older kind until somebody had opened the first page."""
    with dashboard(environment, tmp_path / "log") as board:
        page = browser.new_page()
        board.open(page, "/run?id=last")

        expect(page.get_by_text("No run yet.")).to_be_visible()
        expect(page.get_by_role("link", name="Schedules")).to_be_visible()
        page.close()


def test_it_listens_on_this_machine_only_and_sends_no_telemetry(environment: dict[str, str], tmp_path: Path) -> None:
    with dashboard(environment, tmp_path / "log") as board:
        wait_until(lambda: "127.0.0.1" in board.log.read_text(), what="the address it says")
        assert "0.0.0.0" not in board.log.read_text()
        assert board.api("GET", "/openapi.json").json()["info"]["title"] == "Rowrelay"


def test_the_garbage_collector_passes_over_what_was_loaded_before_the_first_look(environment: dict[str, str]) -> None:
    """After each drawing Streamlit lets it look at all that is left to it: it was four fifths of what a page cost."""
    code = """
import gc
from starlette.testclient import TestClient
from dashboard.app import app
with TestClient(app):
    print(gc.get_freeze_count(), len(gc.get_objects()))
"""
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip

    passed_over, looked_at = map(int, ended.stdout.split())
    assert looked_at < passed_over / 10


@pytest.mark.parametrize("secrets", ["[auth\n", None])
def test_secrets_that_cannot_be_read_let_nobody_in(
    environment: dict[str, str], browser: Browser, tmp_path: Path, secrets: str | None
) -> None:
    """A slip in the file, or one that is not where it should be, must not open what was closed."""
    file = tmp_path / "secrets.toml"
    if secrets is not None:
        file.write_text(secrets)
    with dashboard({**environment, "STREAMLIT_SECRETS_FILES": str(file)}, tmp_path / "log") as board:
        refused = board.api("GET", "/runs")
        page = browser.new_page()
        page.goto(board.url + "/runs")
        expect(page.get_by_text("nobody is let in")).to_be_visible(timeout=30_000)
        page.close()

        assert refused.status_code == 503
        assert "nobody is let in" in refused.text
        wait_until(lambda: "Nobody is let in: " in board.log.read_text(), what="the reason in the log")


def test_a_sign_in_stays_when_its_file_is_broken_or_emptied_while_it_runs(guarded: Dashboard, tmp_path: Path) -> None:
    for text in ("[auth\n", "[auth]\n"):
        (tmp_path / "secrets.toml").write_text(text)
        for _ in range(20):
            assert guarded.api("GET", "/runs").status_code in (401, 503)
            time.sleep(0.1)


def test_with_a_sign_in_nobody_sees_a_page_or_gets_an_answer_without_it(guarded: Dashboard, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(guarded.url + "/runs")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    page.close()

    assert guarded.api("GET", "/runs").status_code == 401
    assert guarded.api("PUT", "/files/x.csv", content=b"x\n1\n").status_code == 401
    assert guarded.api("GET", "/runs", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert guarded.api("GET", "/runs", headers={"Authorization": "Bearer long-random-text"}).status_code == 200


def test_who_has_signed_in_on_the_pages_is_known_to_the_api_and_a_forged_cookie_is_not(guarded: Dashboard) -> None:
    def answer(secret: str, **user: object) -> int:
        signed = create_signed_value(secret, "_streamlit_user", json.dumps(user)).decode()
        return guarded.api("GET", "/runs", headers={"Cookie": f"_streamlit_user={signed}"}).status_code

    assert answer(SECRET, is_logged_in=True, email="ann@example.com") == 200
    assert answer(SECRET, is_logged_in=False, email="ann@example.com") == 401
    assert answer("another secret, of somebody else altogether", is_logged_in=True, email="x") == 401
