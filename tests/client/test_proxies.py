"""Requests through an HTTP proxy, by CONNECT and by whole addresses: a real one, and what can be wrong with one."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from base64 import b64encode
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.client.client import Client
from flows.client.proxies import SOCKS_VARIABLE, Proxies, parsed
from flows.client.proxy import spare_own_servers, unused_proxy
from flows.client.transport import Transport
from flows.errors import SettingError
from flows.pipeline.advice import advice
from flows.pipeline.secret import secret_names
from flows.pipeline.secret_hosts import SecretHosts
from flows.records import RowState
from tests.client.test_connecting import deliver
from tests.harness import tls
from tests.harness.http_proxy import HttpProxy, Proxied, proxied
from tests.harness.raw_server import Came, RawServer, answer_always, definition, raw, run, send

__all__ = ["proxied", "raw"]
WITH_SECRETS = "${secret:USER}:${secret:PW}"
KEYS = {"USER": "me", "PW": "p@ss:w0rd/%"}
ENCODED = b64encode(b"me:p@ss:w0rd/%").decode()
DONE, WAITING, UNKNOWN = RowState.DONE, RowState.WAITING, RowState.UNKNOWN


@pytest.fixture
def api(raw: Any) -> RawServer:
    """An API over plain HTTP."""
    found: RawServer = raw(answer_always)
    return found


@pytest.fixture
def tls_api(raw: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RawServer:
    """An API over TLS, of the name api.test, which only the proxy finds."""
    authority = tls.authority(tmp_path)
    context = authority.server("api.test")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.roots))

    def serve(server: RawServer, sock: socket.socket, number: int) -> None:
        answer_always(server, context.wrap_socket(sock, server_side=True), number)

    found: RawServer = raw(serve)
    return found


def several(url: str, proxy: str, *, rows: int = 3, **changes: Any) -> list[tuple[Came, list[str]]]:
    """Some rows, one after the other."""

    async def work(client: Client) -> list[tuple[Came, list[str]]]:
        return [await send(client) for _ in range(rows)]

    return run(definition(url, proxy=proxy, **changes), work, secrets=KEYS)


def test_requests_to_https_go_through_a_tunnel_that_is_used_again(tls_api: RawServer, proxied: Proxied) -> None:
    proxy = proxied(tls_api.url)

    found = several("https://api.test/posts", proxy.address)

    assert [(came.outcome.state, told) for came, told in found] == [(DONE, ["check", "answered", "finished"])] * 3
    assert (proxy.connections, len(tls_api.heads)) == (1, 3)
    (connect,) = proxy.heads
    assert connect.startswith(b"CONNECT api.test:443 HTTP/1.1\r\n")
    assert b"proxy-authorization" not in connect.lower()
    assert tls_api.heads[0].startswith(b"POST /posts HTTP/1.1\r\nHost: api.test\r\n")


def test_requests_to_http_name_the_whole_address(api: RawServer, proxied: Proxied) -> None:
    proxy = proxied(api.url)

    found = several("http://api.test:8080/posts?a={title}", proxy.address, request={"method": "GET"})

    assert [(came.outcome.state, told) for came, told in found] == [(DONE, ["check", "answered", "finished"])] * 3
    assert (proxy.connections, len(proxy.heads)) == (1, 3)
    assert proxy.heads[0].startswith(b"GET http://api.test:8080/posts?a=a%20title HTTP/1.1\r\nHost: api.test:8080\r\n")
    assert len(api.heads) == 3


def test_user_and_password_go_to_the_proxy_and_no_further(api: RawServer, tls_api: RawServer, proxied: Proxied) -> None:
    for server, url in ((api, "http://api.test/posts"), (tls_api, "https://api.test/posts")):
        proxy = proxied(server.url, user="me:p@ss:w0rd/%")

        found = several(url, proxy.with_user(WITH_SECRETS))

        assert [came.outcome.state for came, _ in found] == [DONE] * 3
        assert all(f"Proxy-Authorization: Basic {ENCODED}".encode() in head for head in proxy.heads)
        assert all(b"proxy-authorization" not in head.lower() for head in server.heads)


def troubles(url: str, proxy: str, **changes: Any) -> str:
    """Why nothing was sent."""
    ((came, told),) = several(url, proxy, rows=1, **changes)
    assert (came.outcome.state, came.answer.wrote, told) == (WAITING, False, ["unused"])
    assert came.answer.no_connection
    return came.outcome.reason


def test_a_proxy_that_wants_another_password_stops_the_run(
    api: RawServer, proxied: Proxied, redis_url: str, tmp_path: Path
) -> None:
    proxy = proxied(api.url, user="other:one")
    given = f"the proxy {proxy.address} does not take the user and password that it was given (407)"
    none = (
        f"the proxy {proxy.address} wants a user and a password (407); write proxy:"
        f" http://${{secret:USER}}:${{secret:PASSWORD}}@127.0.0.1:{proxy.port}"
    )

    assert troubles("https://api.test/posts", proxy.with_user(WITH_SECRETS)) == f"{given}; nothing was sent"
    assert troubles("https://api.test/posts", proxy.address) == f"{none}; nothing was sent"
    for url, of_run in (
        ("https://api.test/posts", "The API cannot be reached: {why}."),
        ("http://api.test/", "The run stops: {why}; nothing came to the API"),
    ):
        for address, why in ((proxy.with_user(WITH_SECRETS), given), (proxy.address, none)):
            name = f"{url}-{address}"
            found = deliver(redis_url, tmp_path, url, proxy=address, secrets=KEYS, rows=6, run=name)

            assert found.stopped is not None
            assert found.stopped.message == of_run.format(why=why)
            assert (found.waiting, found.states) == (6, {"left": 6})
    assert api.heads == []


def test_what_a_proxy_says_to_connect_is_told(proxied: Proxied, api: RawServer) -> None:
    def said(answer: str) -> str:
        proxy = proxied(api.url, says=answer.encode())
        return troubles("https://api.test/posts", proxy.address).replace(proxy.address, "P")

    end = "; nothing was sent"
    no = "HTTP/1.1 {} No\r\nContent-Length: 0\r\n\r\n"
    assert said(no.format(403)) == f"the proxy P does not allow connections to api.test:443 (403 Forbidden){end}"
    assert said(no.format(502)) == f"the proxy P did not connect to api.test:443: it says 502 Bad Gateway{end}"
    assert said(no.format(405)) == f"the proxy P did not connect to api.test:443: it says 405 Method Not Allowed{end}"
    assert said(no.format(599)) == f"the proxy P did not connect to api.test:443: it says 599{end}"
    assert said("SSH-2.0-OpenSSH_9.6\r\n\r\n") == f"what answers at P is no HTTP proxy{end}"


def test_a_proxy_that_is_away_slow_or_hangs_up_is_told(
    proxied: Proxied, api: RawServer, raw: Any, redis_url: str, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{free.getsockname()[1]}"
    silent = proxied(api.url, silent=True)
    closes = raw(lambda server, sock, number: sock.close()).url.removesuffix("/posts")
    quick = {"timeout_seconds": 0.4}
    end = "; nothing was sent"

    for url in ("https://api.test/posts", "http://api.test/posts"):
        assert troubles(url, away) == f"the proxy {away} could not be reached (Connection refused){end}"
        nowhere = troubles(url, "http://proxy.invalid:3128")
        assert nowhere.startswith("there is no proxy with the name proxy.invalid (")
    assert troubles("https://api.test/posts", silent.address, request=quick) == (
        f"the proxy {silent.address} took the connection, but had not connected it to api.test:443 within 0.4 s{end}"
    )
    assert troubles("https://api.test/posts", closes) == (
        f"the proxy {closes} closed the connection instead of connecting it to api.test:443{end}"
    )
    found = deliver(redis_url, tmp_path, "https://api.test/posts", proxy=away, rows=4, stop_after=3)
    assert found.events[0] == (
        "The API cannot be reached, it is tried again and again: "
        f"the proxy {away} could not be reached (Connection refused)"
    )
    assert found.stopped is not None
    assert found.waiting == 4


def test_a_tunnel_that_takes_long_is_told_and_costs_no_permit(
    proxied: Proxied, api: RawServer, redis_url: str, tmp_path: Path
) -> None:
    silent = proxied(api.url, silent=True)
    events: list[str] = []

    found = deliver(
        redis_url,
        tmp_path,
        "https://api.test/posts",
        proxy=silent.address,
        request={"timeout_seconds": 30},
        told=events.append,
        until=lambda: events,
    )

    assert found.events[0] == (
        f"Nothing is sent while there is no connection to the API: the proxy {silent.address} has taken the connection,"
        " but has not connected it to api.test:443 yet"
    )
    assert found.waiting == 5


def test_a_certificate_behind_the_proxy_is_verified(
    tls_api: RawServer, proxied: Proxied, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = proxied(tls_api.url)
    other = troubles("https://elsewhere.test/posts", proxy.address)
    monkeypatch.delenv("SSL_CERT_FILE")

    assert other.startswith("the certificate of elsewhere.test:443 could not be verified: ")
    assert troubles("https://api.test/posts", proxy.address).startswith("the certificate of api.test:443 could not be")


def test_what_comes_of_a_request_that_the_proxy_drops_is_not_known(api: RawServer, proxied: Proxied) -> None:
    """It may have been sent on."""
    proxy = proxied(api.url, silent=True)

    ((came, told),) = several("http://api.test/posts", proxy.address, rows=1, request={"timeout_seconds": 0.4})

    assert (came.outcome.state, told) == (UNKNOWN, ["check", "lost"])
    assert came.outcome.reason == "no answer within 0.4 s; the API may have acted"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_socket_to_a_proxy_drops_what_it_has_not_sent(
    scheme: str, api: RawServer, tls_api: RawServer, proxied: Proxied
) -> None:
    proxy = proxied((api if scheme == "http" else tls_api).url)
    made = definition(f"{scheme}://api.test/posts", proxy=proxy.address)

    async def main() -> tuple[int, int, tuple[str, int]]:
        transport = Transport(2, timeout_seconds=3.0, proxies=Proxies.of(made, {}))
        connections = transport.connections(httpx.URL(made.main.url))
        connection = await connections.get()
        assert connection.transport is not None
        sock = connection.transport.get_extra_info("socket")
        linger = struct.unpack("ii", sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))
        timeout = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        peer = sock.getpeername()
        await transport.aclose()
        return linger, timeout, peer

    assert asyncio.run(main()) == ((1, 0), 3000, ("127.0.0.1", proxy.port))


def test_the_proxy_of_the_environment_is_used_where_the_definition_says_so(
    api: RawServer, proxied: Proxied, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = proxied(api.url, user="me:p@ss")
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("http_proxy", proxy.with_user("me:p%40ss"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    through = several("http://api.test/posts", "environment", rows=1)[0][0]
    beside = several(api.url, "environment", rows=1)[0][0]

    assert (through.outcome.state, beside.outcome.state) == (DONE, DONE)
    assert len(proxy.heads) == 1
    assert unused_proxy(definition("http://api.test/", proxy="environment")) == ""
    assert "write proxy: environment into the definition" in unused_proxy(definition("http://api.test/"))


@pytest.mark.parametrize(
    ("named", "message", "hint"),
    [
        (
            "socks5://me:hunter2@127.0.0.1:1080",
            "The environment names the proxy socks5://127.0.0.1:1080.",
            "SOCKS is not supported; put an HTTP proxy in front of it (privoxy does that), or run Rowrelay on a machine"
            " that reaches the API directly.",
        ),
        (
            "https://me:hunter2@p.example:3129",
            "The environment names the proxy https://p.example:3129, which cannot be used.",
            "The way to a proxy is plain HTTP; write http:// (a request to https://… is encrypted inside, up to the"
            " API).",
        ),
        (
            "http://:hunter2@:x",
            "The environment names the proxy http://:x, which cannot be used.",
            "Write http://HOST:PORT.",
        ),
    ],
)
def test_a_proxy_of_the_environment_that_cannot_be_used_is_refused(
    named: str, message: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("all_proxy", named)
    made = definition("https://api.test/", proxy="environment")

    for refused in (lambda: unused_proxy(made), lambda: Client(made, secrets={}, connections=1)):
        with pytest.raises(SettingError) as caught:
            refused()
        assert (caught.value.message, caught.value.hint) == (message, hint)
    if named.startswith("socks"):  # taken out for Prefect, it is refused all the same
        environ = dict(os.environ)
        spare_own_servers(environ)
        monkeypatch.delenv("all_proxy")
        for name in (SOCKS_VARIABLE, "no_proxy"):
            monkeypatch.setenv(name, environ.get(name, named))
        with pytest.raises(SettingError, match="names the proxy socks5://127"):
            unused_proxy(made)


def test_a_proxy_as_the_environment_names_it() -> None:
    proxy = parsed("me:p%40ss@[::1]:3128")

    assert (proxy.address, proxy.user, proxy.password) == ("http://[::1]:3128", "me", "p@ss")
    assert "p@ss" not in repr(proxy)
    assert parsed("http://p.example").address == "http://p.example:80"


def test_the_password_is_masked_wherever_it_comes_back(
    raw: Any, proxied: Proxied, caplog: pytest.LogCaptureFixture
) -> None:
    """A proxy, or an API behind it, that repeats what it was told, in each form."""
    caplog.set_level(logging.DEBUG)
    echo = f"me p@ss:w0rd/% p%40ss%3Aw0rd%2F%25 Basic {ENCODED}"
    body = echo.encode()
    says = b"HTTP/1.1 500 Oh\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    proxy: HttpProxy = proxied("http://127.0.0.1:1", says=says)

    ((came, _),) = several("http://api.test/posts", proxy.with_user(WITH_SECRETS), rows=1)
    by_connect = troubles("https://api.test/posts", proxy.with_user(WITH_SECRETS))

    shown = repr((came.outcome, by_connect, caplog.text))
    for secret in ("p@ss", "w0rd", "p%40ss", ENCODED):
        assert secret not in shown
    assert "••••" in came.outcome.excerpt


def test_user_and_password_in_one_secret_are_refused_without_being_shown() -> None:
    made = definition("https://api.test/", proxy=f"http://{WITH_SECRETS}@p.example:3128")

    with pytest.raises(SettingError) as caught:
        Client(made, secrets={"USER": "me:hunter2", "PW": "x"}, connections=1)
    assert str(caught.value) == (
        "The user of the proxy http://p.example:3128 has a colon in it, which HTTP does not allow.\n"
        "Keep user and password as two secrets."
    )


def test_a_secret_of_the_proxy_goes_to_the_proxy_alone() -> None:
    made = definition("https://api.example.com/", proxy=f"http://{WITH_SECRETS}@proxy.corp:3128")

    assert secret_names(made) == ("PW", "USER")
    (fault,) = SecretHosts(stated={"PW": ("api.example.com",), "USER": ("proxy.corp",)}).faults(made)
    assert fault.key == "proxy"
    assert fault.message.startswith("the secret PW may not go to proxy.corp, only to api.example.com")


def test_what_a_proxy_takes_from_the_guarantee_is_told_unless_it_is_stated() -> None:
    told = advice(definition("https://api.test/", proxy="http://p.example:3128"))
    of_environment = advice(definition("https://api.test/", proxy="environment"))
    limit = {"name": "api", "requests": 7, "window_seconds": 1, "late_seconds": 0.5}

    assert told == [
        "requests go through the proxy http://p.example:3128. It may hold back a request that Rowrelay has given up,"
        " and deliver it later, so the limit does not hold for certain; write late_seconds under `limit`, the longest"
        " that a request may take to arrive through it, and the limit holds as far as that is true"
    ]
    assert of_environment[0].startswith("requests go through the proxy that the environment names, where it names one.")
    assert advice(definition("https://api.test/", proxy="environment", limit=limit)) == []
