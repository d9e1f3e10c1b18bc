"""A secret goes only where its owner allows, and is stopped at load, at the start of a run, and before each request."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.client.client import Client
from flows.delivery.engine import Engine
from flows.errors import DefinitionError, SecretAbroad, SettingError
from flows.pipeline.hosts import host_of, host_pattern
from flows.pipeline.pipelines import mark, present
from flows.pipeline.reading import load, redirected
from flows.pipeline.secret_hosts import Guard, SecretHosts, refuse_secrets
from flows.records import RowState
from flows.settings import Settings
from tests.harness.raw_server import FakePermit, answer_always, definition, raw, send

__all__ = ["raw"]
BEARER = {"headers": {"Authorization": "Bearer ${secret:TOKEN}"}}


def folder(path: Path, *hosts: str, secret: str = "t0p") -> Settings:
    """Settings whose folder of secrets holds TOKEN, with these hosts."""
    path.mkdir(exist_ok=True)
    (path / "TOKEN").write_text(secret)
    (path / "TOKEN.hosts").write_text("\n".join(hosts))
    return Settings(secrets=path)


@pytest.mark.parametrize(
    ("host", "line", "fits"),
    [
        ("api.example.com", "api.example.com", True),
        ("api.example.com", "API.Example.COM.", True),
        ("api.example.com", "example.com", False),
        ("api.example.com", "*.example.com", True),
        ("a.b.example.com", "*.example.com", True),
        ("example.com", "*.example.com", False),
        ("evilexample.com", "*.example.com", False),
        ("api.example.com.evil.net", "api.example.com", False),
        ("xn--mnchen-3ya.de", "münchen.de", True),
        ("::1", "[::1]", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("localhost", "127.0.0.1", False),
    ],
)
def test_a_host_fits_a_line_or_does_not(tmp_path: Path, host: str, line: str, fits: bool) -> None:
    hosts = SecretHosts.of(folder(tmp_path / "s", line))

    assert (hosts.refusal("TOKEN", host) == "") is fits


@pytest.mark.parametrize(
    "line", ["*", "*.", "http://a.b", "a.b/c", "a b", "user@a.b", "a.b:443", "*.*.b", "a.*.b", "%41"]
)
def test_what_is_no_host_lets_the_secret_go_nowhere(tmp_path: Path, line: str) -> None:
    with pytest.raises(ValueError, match="is no host"):
        host_pattern(line)
    assert "goes nowhere" in SecretHosts.of(folder(tmp_path / "s", "a.example.com", line)).refusal(
        "TOKEN", "a.example.com"
    )


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://api.example.com/{id}", "api.example.com"),
        ("https://Api.Example.com.:8443?x=@evil.net", "api.example.com"),
        ("https://user@api.example.com/", "api.example.com"),
        ("https://api.example.com#@evil.net/", "api.example.com"),
        ("http://[::1]:80/", "::1"),
        ("http://münchen.de/", "xn--mnchen-3ya.de"),
        ("nothing", ""),
        ("http://[bad/", ""),
    ],
)
def test_the_host_of_an_address_is_what_the_network_goes_to(url: str, host: str) -> None:
    assert host_of(url) == host


def test_an_upgrade_changes_nothing_where_no_hosts_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "t0p")
    made = definition("https://anywhere.example.com/", request=BEARER)

    refuse_secrets(made, Settings())
    assert list(SecretHosts.of(Settings(secrets=tmp_path)).faults(made)) == []


def test_a_file_counts_before_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWRELAY_SECRET_HOSTS", "TOKEN=b.example.com TOKEN=c.example.com")
    settings = Settings(secrets=folder(tmp_path / "s", "a.example.com").secrets)

    assert SecretHosts.of(settings).allowed("TOKEN") == ("a.example.com",)
    assert SecretHosts.of(Settings()).allowed("TOKEN") == ("b.example.com", "c.example.com")


def test_hosts_that_cannot_be_read_let_the_secret_go_nowhere(tmp_path: Path) -> None:
    (tmp_path / "TOKEN.hosts").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(SettingError, match="it is not UTF-8 text"):
        SecretHosts(tmp_path).allowed("TOKEN")
    assert "goes nowhere" in SecretHosts(tmp_path).refusal("TOKEN", "a.example.com")


def test_a_change_of_hosts_is_seen_by_who_keeps_definitions_loaded(tmp_path: Path) -> None:
    settings = folder(tmp_path / "s", "a.example.com")
    before = mark(settings)

    folder(tmp_path / "s", "a.example.com", "b.example.com")

    assert mark(settings) != before


def test_a_folder_of_definitions_is_judged_by_the_hosts_and_keeps_the_others(tmp_path: Path) -> None:
    settings = folder(tmp_path / "s", "api.example.com")
    (tmp_path / "d").mkdir()
    for name, host in (("good", "api.example.com"), ("bad", "evil.example.net")):
        (tmp_path / "d" / f"{name}.yaml").write_text(
            f"name: {name}\ncolumns: {{id: {{type: int}}}}\nlimit: {{name: {name}, in_flight: 1}}\nrequest:\n"
            f"  url: https://{host}/rows\n  headers: {{Authorization: '${{secret:TOKEN}}'}}\n"
        )

    found = present(Settings(secrets=settings.secrets, pipelines=(tmp_path / "d",)))

    assert list(found) == ["good"]
    (refused,) = found.refused.values()
    assert (refused.line, refused.key) == (6, "request.headers.Authorization")
    assert "the secret TOKEN may not go to evil.example.net, only to api.example.com" in refused.message
    assert load(tmp_path / "d" / "bad.yaml").name == "bad"  # read without them, it is what it was


def test_a_definition_sent_elsewhere_takes_no_secret_along(tmp_path: Path) -> None:
    settings = folder(tmp_path / "s", "api.example.com")
    made = definition("https://api.example.com/", request=BEARER)
    refuse_secrets(made, settings)

    with pytest.raises(SecretAbroad, match=r"may not go to evil\.example\.net"):
        refuse_secrets(redirected(made, "https://evil.example.net/"), settings)


def test_nothing_is_connected_to_where_a_secret_may_not_go(raw: Any) -> None:
    """The guard that nothing passes by: what was loaded, or is stored, may say what it likes."""
    server = raw(answer_always)
    made = definition(server.url, request=BEARER)

    async def main(hosts: SecretHosts) -> Any:
        async with Client(made, secrets={"TOKEN": "t0p"}, connections=2, hosts=hosts) as client:
            return await send(client)

    came, told = asyncio.run(main(SecretHosts(stated={"TOKEN": ("api.example.com",)})))

    assert (server.connections, server.heads) == (0, [])
    assert told == ["unused"]
    assert came.answer.stop
    assert not came.answer.wrote
    assert came.outcome.state is RowState.WAITING
    assert came.outcome.reason.startswith("the secret TOKEN may not go to 127.0.0.1, only to api.example.com")
    came, _ = asyncio.run(main(SecretHosts(stated={"TOKEN": ("127.0.0.1",)})))
    assert came.outcome.state is RowState.DONE


def test_a_request_that_says_nothing_of_its_secrets_may_hold_all_of_them() -> None:
    hosts = SecretHosts(stated={"A": ("a.example.com",), "B": ("b.example.com",)})
    guard = Guard(hosts, ["A", "B"])
    silent = httpx.Request("POST", "https://a.example.com/")
    of_a = httpx.Request("POST", "https://A.example.com/", extensions={"secrets": ("A",)})
    of_none = httpx.Request("POST", "https://c.example.com/", extensions={"secrets": ()})

    assert guard.refusal(silent).startswith("the secret B may not go to a.example.com")
    assert guard.refusal(of_a) == guard.refusal(of_none) == ""
    assert guard.refusal(httpx.Request("GET", "https://b.example.com/", extensions={"secrets": ("A",)}))


def test_a_run_stops_before_it_sends_where_its_secret_may_not_go(tmp_path: Path, redis_url: str) -> None:
    made = definition("https://evil.example.net/", request=BEARER)

    with pytest.raises(SecretAbroad, match=r"may not go to evil\.example\.net, only to api\.example\.com"):
        Engine(redis_url, made.terms, folder(tmp_path / "s", "api.example.com")).open(made, lambda *_: None)  # type: ignore[arg-type,return-value]


def test_a_permit_of_a_refused_request_is_handed_back() -> None:
    """Beside the server, also where the network is replaced."""
    made = definition("https://evil.example.net/", request=BEARER)
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(201, json={"id": 1})

    async def main() -> list[str]:
        hosts, permit = SecretHosts(stated={"TOKEN": ("api.example.com",)}), FakePermit()
        transport = httpx.MockTransport(handler)
        async with Client(made, secrets={"TOKEN": "t"}, connections=1, transport=transport, hosts=hosts) as client:
            await send(client, permit)
        return permit.told

    assert asyncio.run(main()) == ["unused"]
    assert asked == []
    with pytest.raises(DefinitionError):
        redirected(made, "nowhere")


def test_the_secrets_of_auth_go_to_the_token_server_and_those_that_go_along_to_the_api(tmp_path: Path) -> None:
    hosts = SecretHosts.of(folder(tmp_path / "s", "login.example.com", "api.example.com"))
    oauth2 = {
        "grant": "client_credentials",
        "token_url": "https://login.example.com/token",
        "client_id": "a",
        "client_secret": "${secret:TOKEN}",
    }
    made = definition("https://api.example.com/", auth={"oauth2": oauth2})
    abroad = definition("https://api.example.com/", auth={"oauth2": oauth2 | {"token_url": "https://evil.example/"}})
    with_token = definition("https://evil.example/", auth={"oauth2": oauth2})
    along = definition("https://evil.example/", auth={"bearer": "${secret:TOKEN}"})
    login = {"request": {"url": "https://login.example.com/", "json": {"p": "${secret:TOKEN}"}}}
    session = definition("https://evil.example/", auth={"login": login})

    hosts.refuse(made)
    for each in (abroad, with_token, along, session):
        with pytest.raises(SecretAbroad):
            hosts.refuse(each)


def test_where_hosts_are_named_nothing_goes_where_others_can_read_it(tmp_path: Path) -> None:
    hosts = SecretHosts.of(folder(tmp_path / "s", "api.example.com", "127.0.0.1"))
    bearer = {"auth": {"bearer": "${secret:TOKEN}"}}
    proxy = {"proxy": "http://evil.example:3128"}

    for url in ("https://api.example.com/", "http://127.0.0.1:80/"):
        hosts.refuse(definition(url, **bearer))
    hosts.refuse(definition("https://api.example.com/", **bearer, **proxy))  # encrypted all the way
    for refused in (
        definition("http://api.example.com/", **bearer),
        definition("http://127.0.0.1:80/", **bearer, **proxy),
    ):
        with pytest.raises(SecretAbroad):
            hosts.refuse(refused)
    guard = Guard(hosts, {"TOKEN": "t"})
    assert guard.refusal(httpx.Request("GET", "https://api.example.com/")) == ""
    assert "by http://" in guard.refusal(httpx.Request("GET", "http://api.example.com/"))


def test_without_hosts_http_is_as_it_was(tmp_path: Path) -> None:
    SecretHosts(tmp_path).refuse(definition("http://api.example.com/", auth={"bearer": "${secret:TOKEN}"}))
