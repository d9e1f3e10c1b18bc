"""Whose a stored token is: no definition gets at the account of another, and two accounts keep apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.credentials.account import Account
from flows.credentials.grant import Token
from flows.credentials.store import Store, owner
from flows.credentials.tokens import whose
from flows.credentials.vault import Vault
from flows.ledger.connection import connect
from flows.pipeline.reading import load
from flows.records import RowState
from flows.settings import Settings
from tests.harness.oauth import CLIENT, SECRET, OAuth
from tests.harness.token_runs import definition, deliver, file_of, keep_secrets, oauth2

CS = {"CS": SECRET}


def account(folder: Path, redis_url: str, path: Path) -> Account:
    settings = Settings(data=folder / "data", secrets=keep_secrets(folder, CS=SECRET))
    return Account(load(path), settings, redis_url, connect(redis_url))


def former(folder: Path, redis_url: str, path: Path, refresh: str, *, pipeline: str, first: str = "") -> None:
    """Store a token as an earlier version did: under the former name, sealed without a fingerprint."""
    stated: Any = load(path).auth.oauth2  # type: ignore[union-attr]
    vault = Vault.of(Settings(data=folder / "data"))

    class Former(Store):
        def sealed(self, token: Token, before: str = "") -> bytes:
            return vault.seal([token.access, token.refresh or before])

    store = Former(connect(redis_url), vault, stated.former_name, owner=owner(), pipeline=pipeline)
    first = vault.print_of(first) if first else ""
    assert store.put(0, Token("", refresh, 0.001), why="connected", first=first)


def test_a_definition_that_names_the_token_of_another_is_given_nothing(redis_url: str, tmp_path: Path) -> None:
    with OAuth() as server, OAuth() as thief:
        victim = definition(tmp_path, server.url + "/rows", oauth2(server, "refresh_token", name="crm"))
        refresh = server.allow()
        account(tmp_path, redis_url, victim).begin(refresh)
        path = definition(tmp_path, thief.url + "/rows", oauth2(thief, "refresh_token", name="crm"), name="thief")
        ended, stopped = deliver(redis_url, tmp_path, path, file_of(tmp_path, 5))
        victim = definition(tmp_path, server.url + "/rows", oauth2(server, "refresh_token", name="crm"))
        mine, _ = deliver(redis_url, tmp_path, victim, file_of(tmp_path, 6), run="r2")

    assert stopped == (
        "The token 'crm' belongs to pipeline tokens, which has another token_url or client_id.\n"
        "State another `name` under auth.oauth2. If the account itself has moved, "
        "`rowrelay auth thief --forget` drops the old token."
    )
    assert thief.asked == []
    assert thief.rows == {}
    assert ended.counts[RowState.WAITING] == 5
    assert mine.counts[RowState.DONE] == 6


def test_another_client_of_the_same_server_is_another_account(redis_url: str, tmp_path: Path) -> None:
    with OAuth() as server:
        path = definition(tmp_path, server.url + "/rows", oauth2(server, "refresh_token", name="crm"))
        account(tmp_path, redis_url, path).begin(server.allow())
        other = oauth2(server, "refresh_token", name="crm", client_id="other")
        path = definition(tmp_path, server.url + "/rows", other, name="thief")
        _, stopped = deliver(redis_url, tmp_path, path, file_of(tmp_path, 5))

    assert stopped.startswith("The token 'crm' belongs to pipeline tokens, ")
    assert server.asked == []


def test_a_token_that_an_earlier_version_stored_is_that_of_its_pipeline(redis_url: str, tmp_path: Path) -> None:
    with OAuth() as server, OAuth() as thief:
        path = definition(tmp_path, server.url + "/rows", oauth2(server, "refresh_token", name="crm"))
        former(tmp_path, redis_url, path, server.allow(), pipeline="tokens")
        other = definition(tmp_path, thief.url + "/rows", oauth2(thief, "refresh_token", name="crm"), name="thief")
        _, stopped = deliver(redis_url, tmp_path, other, file_of(tmp_path, 5))
        path = definition(tmp_path, server.url + "/rows", oauth2(server, "refresh_token", name="crm"))
        ended, _ = deliver(redis_url, tmp_path, path, file_of(tmp_path, 6), run="r2")

    assert stopped.startswith("The token 'crm' belongs to pipeline tokens, ")
    assert thief.asked == []
    assert ended.counts[RowState.DONE] == 6


def test_a_token_under_the_former_default_name_goes_on(redis_url: str, tmp_path: Path) -> None:
    with OAuth() as server:
        path = definition(tmp_path, server.url + "/rows", oauth2(server, "refresh_token"))
        former(tmp_path, redis_url, path, server.allow(), pipeline="tokens")
        assert account(tmp_path, redis_url, path).standing().held
        ended, _ = deliver(redis_url, tmp_path, path, file_of(tmp_path, 5))

    assert ended.counts[RowState.DONE] == 5


def test_two_accounts_of_one_application_each_keep_their_token(redis_url: str, tmp_path: Path) -> None:
    with OAuth(lifetime=0.5) as server:
        keep_secrets(tmp_path, RA=server.allow(), RB=server.allow())
        ended = []
        for run, name in enumerate("ABAB"):
            auth = oauth2(server, "refresh_token", refresh_token=f"${{secret:R{name}}}")
            path = definition(tmp_path, server.url + "/rows", auth, name=f"of-{name.lower()}")
            ended.append(deliver(redis_url, tmp_path, path, file_of(tmp_path, 3, first=1 + 10 * run), run=f"r{run}"))

    assert [stopped for _, stopped in ended] == [""] * 4
    assert [run.counts[RowState.DONE] for run, _ in ended] == [3] * 4


def test_a_name_that_another_account_has_stops_before_a_refresh_token_is_used(redis_url: str, tmp_path: Path) -> None:
    with OAuth() as server:
        keep_secrets(tmp_path, RA=server.allow(), RB=server.allow())
        stopped = []
        for run, name in enumerate("AB"):
            auth = oauth2(server, "refresh_token", refresh_token=f"${{secret:R{name}}}", name="crm")
            path = definition(tmp_path, server.url + "/rows", auth, name=f"of-{name.lower()}")
            file = file_of(tmp_path, 3, first=1 + 10 * run)
            stopped.append(deliver(redis_url, tmp_path, path, file, run=f"r{run}")[1])

    assert stopped == [
        "",
        "The token 'crm' began with another refresh token, that of pipeline of-a.\n"
        "Two accounts need two tokens: state another `name` under auth.oauth2. If it is one account, whose "
        "refresh token was replaced, `rowrelay auth of-b --forget` drops the old one.",
    ]
    assert len(server.asked) == 1


def test_pipelines_that_are_connected_by_a_person_have_a_token_each(redis_url: str, tmp_path: Path) -> None:
    stated: Any
    with OAuth() as server:
        path = definition(tmp_path, server.url + "/rows", oauth2(server, "refresh_token"))
        stated = load(path).auth.oauth2  # type: ignore[union-attr]

    assert stated.token_name("a") == f"{server.url}/token {CLIENT} a"
    assert stated.token_name("b") != stated.token_name("a")


def test_the_fingerprint_is_of_where_the_token_goes(tmp_path: Path) -> None:
    with OAuth() as server:
        stated: Any = load(definition(tmp_path, server.url, oauth2(server, "refresh_token"))).auth.oauth2  # type: ignore[union-attr]
    vault = Vault(b"k" * 32, tmp_path)
    ours = whose(stated, CS, vault)

    assert ours == whose(stated.model_copy(update={"scope": "more", "timeout_seconds": 3.0}), CS, vault)
    assert ours != whose(stated.model_copy(update={"token_url": "https://evil.example/token"}), CS, vault)
    assert ours != whose(stated.model_copy(update={"client_id": "other"}), CS, vault)
    assert ours != whose(stated.model_copy(update={"grant": "client_credentials"}), CS, vault)
