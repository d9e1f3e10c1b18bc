"""Until when the token of a pipeline lasts, and what to do where there is none: on the Status page and by HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from dashboard.api.app import make_api
from flows.credentials.account import Account
from flows.errors import Stopped
from flows.ledger.connection import connect
from flows.pipeline.reading import load
from flows.settings import Settings
from tests.harness.oauth import SECRET, OAuth
from tests.harness.pages import settings, show, text
from tests.harness.remembered import forget
from tests.harness.token_runs import definition, keep_secrets, oauth2

__all__ = ["settings"]


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(make_api(), base_url="http://127.0.0.1:8501") as client:
        yield client


@pytest.fixture
def ready(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROWRELAY_SECRETS", str(keep_secrets(tmp_path, CS=SECRET)))
    monkeypatch.setenv("ROWRELAY_PIPELINES", str(tmp_path / "tokens.yaml"))
    forget()
    return tmp_path


def account(folder: Path, redis_url: str) -> Account:
    return Account(load(folder / "tokens.yaml"), Settings.read(), redis_url, connect(redis_url))


def test_a_token_that_lasts_is_said_with_its_end(ready: Path, redis_url: str, api: TestClient) -> None:
    with OAuth(lifetime=3600.0) as server:
        definition(ready, server.url + "/rows", oauth2(server))
        before = api.get("/status").json()["accounts"]
        account(ready, redis_url).ready()
        (after,) = api.get("/status").json()["accounts"]
        page = text(show("status"))

    assert [(each["connected"], each["expires"]) for each in before] == [(True, None)]
    assert (after["pipeline"], after["grant"], after["refused"], after["todo"]) == (
        "tokens",
        "client_credentials",
        "",
        "",
    )
    assert after["expires"].endswith("Z")
    assert "Its token lasts until" in page
    assert [token for token in server.issued if token in page] == []


def test_an_account_that_is_not_connected_or_was_refused_says_what_to_do(
    ready: Path, redis_url: str, api: TestClient
) -> None:
    with OAuth() as server:
        definition(ready, server.url + "/rows", oauth2(server, "refresh_token"))
        (none,) = api.get("/status").json()["accounts"]
        page = text(show("status"))
        made = account(ready, redis_url)
        made.begin("gone-5tQx8Lr2")
        with pytest.raises(Stopped):
            made.ready()
        (refused,) = api.get("/status").json()["accounts"]

    todo = "Connect it: `rowrelay auth tokens`."
    assert (none["connected"], none["todo"]) == (False, todo)
    assert "It is not connected to its account." in page
    assert (refused["refused"], refused["todo"]) == ("invalid_grant: the refresh token •••• is void", todo)
