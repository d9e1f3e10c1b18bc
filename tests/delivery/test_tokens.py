"""A delivery to an API that asks for an OAuth2 token: fetched once for all, renewed, tried again, or told."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.credentials.grant import Token
from flows.credentials.store import Store
from flows.credentials.tokens import whose
from flows.credentials.vault import Vault
from flows.ledger.connection import connect
from flows.pipeline.reading import load
from flows.records import RowState
from flows.settings import Settings
from tests.harness.http_proxy import HttpProxy
from tests.harness.oauth import CLIENT, SECRET, OAuth
from tests.harness.receiver import worst
from tests.harness.token_runs import definition, deliver, file_of, keep_secrets, oauth2, start
from tests.harness.traces import in_files, in_redis
from tests.harness.wait import wait_until

KNOWN = {"client_id": CLIENT, "client_secret": SECRET}


def counts(run: Any) -> dict[str, int]:
    return {state.value: run.counts[state] for state in RowState if run.counts[state]}


def test_rows_over_several_lives_of_a_token_are_all_done_and_none_is_refused(redis_url: str, tmp_path: Path) -> None:
    with OAuth(lifetime=4.5, stated=1.5) as server:  # a slow machine may be late with one
        path = definition(tmp_path, server.url + "/rows", oauth2(server), limit={"requests": 15})
        began = time.monotonic()
        ended, stopped = deliver(redis_url, tmp_path, path, file_of(tmp_path, 80))
        took = time.monotonic() - began

    assert stopped == ""
    assert counts(ended) == {"done": 80}
    assert max(server.rows.values()) == 1
    assert server.refused == 0
    assert 3 <= len(server.asked) <= 1 + took / 1.0  # each some 1.2 s, over 5 s and a bit


def test_a_token_that_ends_before_its_time_is_renewed_once_and_the_rows_go_again(
    redis_url: str, tmp_path: Path
) -> None:
    with OAuth(lifetime=1.0, stated=3600.0) as server:
        path = definition(tmp_path, server.url + "/rows", oauth2(server))
        ended, stopped = deliver(redis_url, tmp_path, path, file_of(tmp_path, 60))

    assert stopped == ""
    assert counts(ended) == {"done": 60}
    assert max(server.rows.values()) == 1
    assert server.refused >= 2
    assert len(server.asked) <= 6


def test_a_second_401_with_a_fresh_token_stops_the_run_and_the_rows_wait(redis_url: str, tmp_path: Path) -> None:
    with OAuth(refuses_all=True) as server:
        path = definition(tmp_path, server.url + "/rows", oauth2(server), limit={"in_flight": 4})
        ended, stopped = deliver(redis_url, tmp_path, path, file_of(tmp_path, 50))

    assert stopped.startswith("The API says 401 to a token that was just fetched.\n")
    assert counts(ended) == {"waiting": 50}
    assert len(server.asked) == 2
    assert server.refused <= 8


def test_a_row_that_no_token_lets_in_stops_the_run_though_others_are_taken(redis_url: str, tmp_path: Path) -> None:
    with OAuth(refuses_rows=frozenset([7])) as server:
        path = definition(tmp_path, server.url + "/rows", oauth2(server), limit={"in_flight": 4})
        ended, stopped = deliver(redis_url, tmp_path, path, file_of(tmp_path, 40))

    assert "401" in stopped or "does not let row 7 in" in stopped
    assert ended.counts[RowState.FAILED] == ended.counts[RowState.UNKNOWN] == 0
    assert len(server.asked) <= 4


def test_a_refused_renewal_stops_the_run_and_says_how_to_connect_again(redis_url: str, tmp_path: Path) -> None:
    with OAuth() as server:
        keep_secrets(tmp_path, R="gone-5tQx8Lr2")
        auth = oauth2(server, "refresh_token", refresh_token="${secret:R}")
        path = definition(tmp_path, server.url + "/rows", auth)
        ended, stopped = deliver(redis_url, tmp_path, path, file_of(tmp_path, 5))

    assert stopped == (
        f"The token server {server.url}/token refuses to renew the token: "
        "invalid_grant: the refresh token •••• is void.\n"
        "Connect again: `rowrelay auth tokens`. Then resume the run."
    )
    assert counts(ended) == {"waiting": 5}


def test_a_200_with_an_error_in_it_is_a_refusal(redis_url: str, tmp_path: Path) -> None:
    with OAuth(says=[(200, {"error": "invalid_scope"})]) as server:
        path = definition(tmp_path, server.url + "/rows", oauth2(server))
        _, stopped = deliver(redis_url, tmp_path, path, file_of(tmp_path, 5))

    assert stopped.startswith(f"The token server {server.url}/token refuses us: invalid_scope.\n")


def test_a_token_server_that_fails_for_a_while_is_asked_again(redis_url: str, tmp_path: Path) -> None:
    with OAuth(says=[(503, {}), (500, {}), (429, {}), (502, {})]) as server:
        path = definition(tmp_path, server.url + "/rows", oauth2(server))
        ended, _ = deliver(redis_url, tmp_path, path, file_of(tmp_path, 5))

    assert counts(ended) == {"done": 5}
    assert len(server.asked) == 5


def test_a_refresh_token_is_used_once_and_the_next_one_goes_on(redis_url: str, tmp_path: Path) -> None:
    with OAuth(lifetime=4.0) as server:
        keep_secrets(tmp_path, R=server.allow())
        auth = oauth2(server, "refresh_token", refresh_token="${secret:R}")
        path = definition(tmp_path, server.url + "/rows", auth, limit={"requests": 15})
        first, _ = deliver(redis_url, tmp_path, path, file_of(tmp_path, 90))
        second, stopped = deliver(redis_url, tmp_path, path, file_of(tmp_path, 10, first=101), run="r2")

    assert stopped == ""
    assert (counts(first), counts(second)) == ({"done": 90}, {"done": 10})
    used = [asked["refresh_token"] for asked in server.asked]
    assert len(used) == len(set(used)) >= 2
    assert server.refused == 0
    assert not server.grants[0].revoked


def test_two_processes_share_one_token(redis_url: str, tmp_path: Path) -> None:
    with OAuth(lifetime=4.0) as server:
        keep_secrets(tmp_path, R=server.allow())
        auth = oauth2(server, "refresh_token", refresh_token="${secret:R}")
        path = definition(tmp_path, server.url + "/rows", auth, limit={"requests": 15})
        files = [file_of(tmp_path, 70, first=first) for first in (1, 101)]
        both = [start(redis_url, tmp_path, path, file, run=f"r{at}") for at, file in enumerate(files)]
        ended = [json.loads(process.communicate(timeout=90)[0]) for process in both]

    assert [each["counts"]["done"] for each in ended] == [70, 70]
    assert len(server.rows) == 140
    assert server.refused == 0
    assert not server.grants[0].revoked
    assert len(server.asked) <= 6  # over some 10 s; two processes on their own would have asked for more


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_a_process_killed_in_the_middle_of_a_renewal_locks_nobody_out(
    redis_url: str, tmp_path: Path, kills: int
) -> None:
    """The server has used the refresh token up, and its answer is on its way: the renewal outlives who wished it.

    This server shuts the account out as soon as a refresh token comes twice. Its tokens hold longer than it says, so
    that one that a slow machine is late to use is no reason to stop.
    """
    with OAuth(stated=4.0, hold_seconds=0.6) as server:
        keep_secrets(tmp_path, R=server.allow())
        auth = oauth2(server, "refresh_token", refresh_token="${secret:R}")
        path = definition(tmp_path, server.url + "/rows", auth, limit={"requests": 10})
        file = file_of(tmp_path, 60)  # so many that each needs a renewal before it has sent all
        for at in range(kills):
            asked = len(server.asked)
            process = start(redis_url, tmp_path, path, file, run=f"r{at}")
            wait_until(lambda before=asked: len(server.asked) > before, seconds=60, what="a renewal")
            process.kill()
            process.wait()
        ended, stopped = deliver(redis_url, tmp_path, path, file, run="last")

    assert stopped == ""
    assert counts(ended) == {"done": 60}
    used = [asked["refresh_token"] for asked in server.asked]
    assert len(used) == len(set(used)) > kills
    assert not server.grants[0].revoked


def errands(folder: Path) -> list[psutil.Process]:
    """The processes that renew a token with the secrets in this folder, and outlive who began them."""
    found = []
    for process in psutil.process_iter(["cmdline", "ppid"]):
        if "flows.credentials.errand" not in (process.info["cmdline"] or ()) or process.info["ppid"] != 1:
            continue
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            if process.environ().get("ROWRELAY_SECRETS") == str(folder / "secrets"):
                found.append(process)
    return found


@pytest.mark.parametrize("grace", [None, 30.0], ids=["revokes on reuse", "has a grace"])
def test_the_death_of_the_renewal_itself_is_survived_where_the_server_has_a_grace_and_told_elsewhere(
    redis_url: str, tmp_path: Path, grace: float | None
) -> None:
    with OAuth(hold_seconds=1.5, reuse=grace) as server:
        keep_secrets(tmp_path, R=server.allow())
        path = definition(tmp_path, server.url + "/rows", oauth2(server, "refresh_token", refresh_token="${secret:R}"))
        process = start(redis_url, tmp_path, path, file_of(tmp_path, 5), run="r1")
        wait_until(lambda: server.asked, seconds=60, what="a renewal")
        (errand,) = errands(tmp_path)
        errand.kill()
        ended = json.loads(process.communicate(timeout=60)[0])

    assert [asked["refresh_token"] for asked in server.asked] == [server.asked[0]["refresh_token"]] * 2
    if grace is not None:
        assert ended["counts"]["done"] == 5
        return
    assert ended["counts"]["waiting"] == 5
    assert ended["stopped"] == (
        f"The token server {server.url}/token refuses to renew the token, after a renewal whose answer was lost: "
        "invalid_grant: the refresh token •••• is void.\nConnect again: `rowrelay auth tokens`. Then resume the run."
    )


def test_a_new_token_that_redis_did_not_take_is_found_on_the_disk(redis_url: str, tmp_path: Path) -> None:
    """As if the process that renewed it had died between the two."""
    with OAuth() as server:
        keep_secrets(tmp_path, R=server.allow())
        path = definition(tmp_path, server.url + "/rows", oauth2(server, "refresh_token", refresh_token="${secret:R}"))
        settings = Settings(data=tmp_path / "data", secrets=tmp_path / "secrets")
        vault, first = Vault.of(settings), (tmp_path / "secrets" / "R").read_text()
        stated = load(path).auth.oauth2  # type: ignore[union-attr]
        ours = whose(stated, KNOWN, vault)
        store = Store(connect(redis_url), vault, stated.token_name("tokens"), owner="dead", whose=ours)
        _, made = server.token({"grant_type": "refresh_token", "refresh_token": first, **KNOWN})
        token = Token(made["access_token"], made["refresh_token"], made["expires_in"])
        store.shelve(0, token, first=vault.print_of(first), before=first)
        ended, stopped = deliver(redis_url, tmp_path, path, file_of(tmp_path, 5))

    assert stopped == ""
    assert counts(ended) == {"done": 5}
    assert len(server.asked) == 1
    assert list((tmp_path / "data" / "tokens").glob("*.new")) == []


def test_what_is_kept_shows_no_token(redis_url: str, tmp_path: Path) -> None:
    """Every answer says the token back, and one refuses: Redis and the data folder have none of it."""
    with OAuth(lifetime=1.2) as server:
        keep_secrets(tmp_path, R=server.allow())
        auth = oauth2(server, "refresh_token", refresh_token="${secret:R}")
        path = definition(tmp_path, server.url + "/rows", auth, limit={"requests": 15})
        ended, _ = deliver(redis_url, tmp_path, path, file_of(tmp_path, 30))

    assert counts(ended) == {"done": 30}
    stored = b"".join(kept for _, kept in (*in_redis(redis_url), *in_files(tmp_path / "data")))
    assert "••••".encode() in stored
    assert [token for token in server.issued if token.encode() in stored] == []
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "data" / "tokens").iterdir()] == [0o600]


def test_a_run_that_is_told_to_end_in_the_middle_of_a_renewal_loses_no_token(redis_url: str, tmp_path: Path) -> None:
    """As on SIGTERM: nobody else uses the refresh token up meanwhile, and what came is there for the next run."""
    with OAuth(hold_seconds=2.0) as server:
        keep_secrets(tmp_path, R=server.allow())
        path = definition(tmp_path, server.url + "/rows", oauth2(server, "refresh_token", refresh_token="${secret:R}"))
        process = start(redis_url, tmp_path, path, file_of(tmp_path, 5), run="r1")
        wait_until(lambda: server.asked, seconds=60, what="a renewal")
        os.kill(process.pid, signal.SIGTERM)
        ended = json.loads(process.communicate(timeout=60)[0])
        second, stopped = deliver(redis_url, tmp_path, path, file_of(tmp_path, 5), run="r2")

    assert ended["counts"]["failed"] == ended["counts"]["unknown"] == 0
    assert (stopped, counts(second)) == ("", {"done": 5})
    assert len(server.asked) == 1
    assert not server.grants[0].revoked


def test_token_requests_go_through_the_proxy_that_the_definition_states(redis_url: str, tmp_path: Path) -> None:
    with OAuth() as server:
        proxy = HttpProxy(("127.0.0.1", int(server.url.rpartition(":")[2])), user="me:p4x/Zq7")
        keep_secrets(tmp_path, PP="p4x/Zq7")
        url = "http://api.example.invalid"
        auth = oauth2(server, token_url=url + "/token")
        stated = f"http://me:${{secret:PP}}@127.0.0.1:{proxy.port}"
        path = definition(tmp_path, url + "/rows", auth, proxy=stated)
        ended, stopped = deliver(redis_url, tmp_path, path, file_of(tmp_path, 5))
        proxy.close()

    assert (stopped, counts(ended)) == ("", {"done": 5})
    assert len(server.asked) == 1


def test_token_requests_that_count_take_permits_of_the_limit_as_the_receiver_counts(
    redis_url: str, tmp_path: Path
) -> None:
    """A password is exchanged, written as JSON, the client known by basic."""
    with OAuth(lifetime=1.5) as server:
        keep_secrets(tmp_path, P="p4ssW0rd")
        more = {"user": "anna", "password": "${secret:P}", "body": "json", "client": "basic", "counts": True}
        path = definition(tmp_path, server.url + "/rows", oauth2(server, "password", **more), limit={"requests": 5})
        ended, stopped = deliver(redis_url, tmp_path, path, file_of(tmp_path, 25))

    assert (stopped, counts(ended)) == ("", {"done": 25})
    assert {(asked["username"], asked["password"], asked["by"]) for asked in server.asked} == {
        ("anna", "p4ssW0rd", "basic")
    }
    assert len(server.moments) >= 3
    assert worst([*server.moments, *server.arrived], 1.0) <= 5
