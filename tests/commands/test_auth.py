"""`rowrelay auth`: an account is connected with what the person has, and it says until when that holds."""

from __future__ import annotations

import json
import queue
import re
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from deployments.commands.authorizing import _listening
from flows.ledger.connection import connect
from tests.harness.command import PROGRAM, Run, here, rowrelay
from tests.harness.oauth import CLIENT, SECRET, OAuth
from tests.harness.token_runs import definition, keep_secrets, oauth2
from tests.harness.traces import in_files, in_redis

__all__ = ["here", "rowrelay"]


@pytest.fixture
def ready(here: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROWRELAY_REDIS_URL", redis_url)
    monkeypatch.setenv("ROWRELAY_SECRETS", str(keep_secrets(here, CS=SECRET)))
    monkeypatch.setenv("ROWRELAY_PIPELINES", str(here / "tokens.yaml"))
    return here


def test_credentials_of_a_program_are_tried_and_it_says_until_when_the_token_lasts(ready: Path, rowrelay: Run) -> None:
    with OAuth(lifetime=3600.0) as server:
        definition(ready, server.url + "/rows", oauth2(server))
        code, out, err = rowrelay("auth", "tokens")
        again = json.loads(rowrelay("auth", "tokens", "--json")[1])

    assert (code, err) == (0, "")
    assert re.fullmatch(
        r"Pipeline tokens is connected\. "
        r"Its token lasts until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d, and is renewed by itself\.\n",
        out,
    )
    assert (again["pipeline"], again["grant"], again["connected"], again["trouble"]) == (
        "tokens",
        "client_credentials",
        True,
        "",
    )
    assert len(server.asked) == 1


def test_a_refresh_token_that_a_person_has_is_used_once_and_stored_closed(
    ready: Path, rowrelay: Run, redis_url: str
) -> None:
    with OAuth(lifetime=3600.0) as server:
        definition(ready, server.url + "/rows", oauth2(server, "refresh_token"))
        first = rowrelay("auth", "tokens")
        (ready / "token.txt").write_text(server.allow() + "\n")
        second = rowrelay("auth", "tokens", "--refresh-token", ready / "token.txt")
        third = rowrelay("auth", "tokens")

    assert first[0] == 2
    assert first[2] == (
        "rowrelay: There is no refresh token to go on with.\n"
        "Hand one in by --refresh-token FILE, or state authorize_url under auth.oauth2.\n"
    )
    assert (second[0], third[0]) == (0, 0)
    assert len(server.asked) == 1
    stored = b"".join(kept for _, kept in (*in_redis(redis_url), *in_files(ready / "data")))
    assert [token for token in server.issued if token.encode() in stored] == []


def test_a_refused_account_says_so_and_can_be_connected_again(ready: Path, rowrelay: Run) -> None:
    with OAuth(lifetime=3600.0) as server:
        definition(ready, server.url + "/rows", oauth2(server, "refresh_token"))
        (ready / "void.txt").write_text("gone-5tQx8Lr2")
        void = rowrelay("auth", "tokens", "--refresh-token", ready / "void.txt")
        (ready / "good.txt").write_text(server.allow())
        good = rowrelay("auth", "tokens", "--refresh-token", ready / "good.txt")

    assert void[0] == 3
    assert "refuses to renew the token: invalid_grant: the refresh token •••• is void.\n" in void[2]
    assert good[0] == 0


def test_a_token_can_be_forgotten(ready: Path, rowrelay: Run, redis_url: str) -> None:
    with OAuth() as server:
        definition(ready, server.url + "/rows", oauth2(server))
        rowrelay("auth", "tokens")
        code, out, _ = rowrelay("auth", "tokens", "--forget")
        none = rowrelay("auth", "tokens", "--forget")

    assert (code, out) == (0, "Its token is forgotten.\n")
    assert none[1] == "No token of it was stored.\n"
    assert list(connect(redis_url).scan_iter("rowrelay:token:*")) == []


def test_what_needs_no_token_says_so(ready: Path, rowrelay: Run) -> None:
    definition(ready, "https://api.example.com/rows", {"bearer": "${secret:CS}"})

    assert rowrelay("auth", "tokens")[1] == "Pipeline tokens is let in by bearer: there is no token to fetch.\n"


@pytest.mark.parametrize("how", ["redirect", "pasted"])
def test_a_person_allows_it_in_a_browser_and_it_comes_back_or_is_pasted(ready: Path, how: str) -> None:
    with OAuth(lifetime=3600.0) as server:
        auth = oauth2(server, "refresh_token", authorize_url=server.url + "/authorize", scope="rows")
        definition(ready, server.url + "/rows", auth)
        process = subprocess.Popen(
            [*PROGRAM, "auth", "tokens", "--no-browser"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        address = _line_with(process, "/authorize?")
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        came = f"{asked['redirect_uri']}?code={server.allow()}&state={asked['state']}"
        if how == "redirect":
            assert httpx.get(came).status_code == 200
        else:
            assert process.stdin is not None
            process.stdin.write(came + "\n")
            process.stdin.flush()
        code = process.wait(120)

    assert code == 0
    assert asked["client_id"] == CLIENT
    (sent,) = server.asked
    assert (sent["grant_type"], sent["redirect_uri"]) == ("authorization_code", asked["redirect_uri"])
    assert len(sent["code_verifier"]) >= 43


def test_a_connection_that_says_nothing_and_another_try_hold_up_no_redirect() -> None:
    came: queue.Queue[str] = queue.Queue()
    with _listening(0, came, "mine") as port, socket.create_connection(("127.0.0.1", port)):
        base = f"http://127.0.0.1:{port}/callback"
        statuses = [
            httpx.get(base + query, timeout=5.0).status_code
            for query in ("?code=a&state=other", "?error=denied", "?code=b&state=mine")
        ]
        began = time.monotonic()

    assert time.monotonic() - began < 3.0
    assert statuses == [400, 400, 200]
    assert came.get_nowait().endswith("?code=b&state=mine")
    assert came.empty()


def _line_with(process: subprocess.Popen[str], words: str) -> str:
    assert process.stderr is not None
    lines: queue.Queue[str] = queue.Queue()
    errors = process.stderr
    threading.Thread(target=lambda: [lines.put(line) for line in errors], daemon=True).start()
    until = time.monotonic() + 30
    while time.monotonic() < until:
        line = lines.get(timeout=120)
        if words in line:
            return line.strip()
    raise AssertionError(words)


def test_a_check_shows_what_lets_in_with_dots_and_fetches_nothing(ready: Path, rowrelay: Run) -> None:
    (ready / "rows.csv").write_text("id\n1\n2\n")
    with OAuth() as server:
        definition(ready, server.url + "/rows", oauth2(server))
        said: dict[str, Any] = json.loads(rowrelay("check", "rows.csv", "--pipeline", "tokens", "--json")[1])
        _, out, _ = rowrelay("check", "rows.csv", "--pipeline", "tokens")

    assert server.asked == []
    assert said["auth"] == "oauth2 (client_credentials)"
    assert [each["headers"]["authorization"] for each in said["first_requests"]] == ["Bearer ••••"] * 2
    assert "Let in by: oauth2 (client_credentials). Nothing was fetched for this check." in out
    assert SECRET not in out


def test_a_check_shows_the_request_that_logs_in_first(ready: Path, rowrelay: Run) -> None:
    (ready / "rows.csv").write_text("id\n1\n")
    login = {
        "request": {"url": "https://api.example.com/login", "json": {"password": "${secret:CS}"}},
        "keep": {"t": "token"},
        "headers": {"X-Session": "{t}"},
    }
    definition(ready, "https://api.example.com/rows", {"login": login})
    said = json.loads(rowrelay("check", "rows.csv", "--pipeline", "tokens", "--json")[1])

    first, second = said["first_requests"]
    assert (first["step"], first["url"], first["body"]) == (
        "login",
        "https://api.example.com/login",
        '{"password":"••••"}',
    )
    assert "x-session" not in first["headers"]
    assert (second["headers"]["x-session"], second["headers"]["cookie"]) == ("••••", "••••")


def test_an_answer_of_401_means_that_the_token_is_renewed(ready: Path, rowrelay: Run) -> None:
    definition(ready, "https://api.example.com/rows", oauth2(OAuth(url="https://login.example.com")))
    code, out, _ = rowrelay("answer", "tokens", "--status", "401")

    assert code == 1
    assert "goes out again; this was no attempt" in out
    assert "the token or session is renewed once for everybody; if the API says so again, the run stops" in out


@pytest.mark.parametrize(("hosts", "renewed"), [([], False), (["status.example.net"], True)])
def test_a_401_of_a_host_that_gets_no_token_renews_none(
    ready: Path, rowrelay: Run, hosts: list[str], renewed: bool
) -> None:
    poll = {"request": {"method": "GET", "url": "https://status.example.net/{job}"}, "answers": [{"means": "done"}]}
    definition(
        ready,
        "https://api.example.com/rows",
        {**oauth2(OAuth(url="https://login.example.com")), "hosts": hosts},
        response={"keep": {}},
        answers=[{"status": 202, "means": "accepted", "keep": {"job": "job"}}],
        poll={**poll, "every_seconds": 5, "until": {"hours": 1}},
    )
    of_the_job = rowrelay("answer", "tokens", "--status", "401", "--of", "poll")[1]
    of_the_rows = rowrelay("answer", "tokens", "--status", "401")[1]

    assert ("the token or session is renewed" in of_the_job) is renewed
    assert "the token or session is renewed" in of_the_rows
