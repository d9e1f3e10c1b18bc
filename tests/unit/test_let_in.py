"""What is put on requests, and trouble with it: none of it is a row's. Token requests are bounded on the clock."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from flows.client.client import Client
from flows.credentials.access import Access
from flows.credentials.grant import Asked
from flows.credentials.session import Session
from flows.credentials.store import Store
from flows.credentials.vault import Vault
from flows.credentials.wire import post
from flows.errors import RowrelayError, SettingError, Stopped
from flows.ledger.connection import connect
from flows.limit.limiter import Limiter
from flows.limit.places import Place, Places
from flows.pipeline.definition import Definition
from flows.records import Reply, RowState
from flows.settings import Settings
from tests.harness.limits import long_known
from tests.harness.raw_server import FakePermit, definition

URL = "https://api.example.com/rows"
LOGIN = {"login": {"request": {"url": "https://api.example.com/login"}, "cookies": True}}


def hmac_of(**more: Any) -> dict[str, Any]:
    return {"hmac": {"key": "${secret:K}", "sign": "{path}", "header": "X-Sig", **more}}


def within(
    redis_url: str,
    folder: Path,
    made: Definition,
    secrets: dict[str, str],
    act: Callable[[Access, Client], Any],
    *,
    handler: Callable[[httpx.Request], httpx.Response] = lambda request: httpx.Response(200),
    **more: Any,
) -> Any:
    """What `act` comes to with what lets the definition's requests in."""

    for each in made.limit_terms:
        long_known(connect(redis_url), each.name)

    async def main() -> Any:
        async with Limiter(redis_url) as limiter:
            limit = limiter.limit(*made.limit_terms)
            async with Client(made, secrets=secrets, connections=2, transport=httpx.MockTransport(handler)) as client:
                assert made.auth is not None
                access = Access(
                    made,
                    made.auth,
                    secrets,
                    Settings(data=folder),
                    redis_url=redis_url,
                    redis_client=connect(redis_url),
                    client=client,
                    limit=limit,
                    event=lambda text: None,
                    **more,
                )
                client.credentials = access
                return await act(access, client)

    return asyncio.run(main())


@pytest.mark.parametrize(
    "auth",
    [
        hmac_of(key_encoding="hex"),
        {
            "oauth2": {
                "grant": "client_credentials",
                "token_url": "https://l.example.com/",
                "client_id": "a",
                "client_secret": "${secret:K}",
                "header": "X-Key: ${secret:K} {token}",
            }
        },
        {"bearer": "${secret:K}"},
    ],
)
def test_what_cannot_go_out_is_found_before_the_first_row(redis_url: str, tmp_path: Path, auth: dict[str, Any]) -> None:
    async def nothing(access: Access, client: Client) -> None:
        pass

    with pytest.raises(SettingError):
        within(redis_url, tmp_path, definition(URL, auth=auth), {"K": "kéy"}, nothing)


def test_a_signature_that_fails_leaves_the_row_waiting_and_the_permit_unused() -> None:
    class Failing:
        async def ready(self) -> None:
            pass

        def apply(self, request: httpx.Request) -> str:
            raise ValueError("no signature with t0pSecret9")

        def heed(self, request: httpx.Request, status: int, headers: Any) -> None:
            pass

    heard: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        heard.append(request)
        return httpx.Response(200)

    async def main() -> tuple[Reply, list[str]]:
        made = definition(URL)
        async with Client(
            made, secrets={"K": "t0pSecret9"}, connections=2, transport=httpx.MockTransport(handler)
        ) as client:
            client.credentials = Failing()
            permit = FakePermit()
            return await client.send(httpx.Request("POST", URL), permit), permit.told

    reply, told = asyncio.run(main())

    assert (reply.means, reply.wrote, reply.attempted, reply.stop) == (RowState.WAITING, False, False, True)
    assert reply.reason == "the request cannot be signed or let in: no signature with ••••"
    assert told == ["unused"]
    assert heard == []


@pytest.mark.parametrize("exc", [SettingError("a file is missing", hint="Put it there."), KeyError("t0pSecret9")])
def test_whatever_keeps_requests_out_stops_the_run(redis_url: str, tmp_path: Path, exc: Exception) -> None:
    """A session that cannot be opened for a reason of our own is no row's trouble."""

    async def act(access: Access, client: Client) -> Stopped:
        async def failing() -> None:
            raise exc

        cast(Session, access._session).ready = failing  # type: ignore[method-assign]
        with pytest.raises(Stopped) as caught:
            await access.ready()
        return caught.value

    stopped = within(redis_url, tmp_path, definition(URL, auth=LOGIN), {"K": "t0pSecret9"}, act)

    assert "t0pSecret9" not in str(stopped)
    assert stopped.hint
    assert isinstance(exc, RowrelayError) is (stopped.message == str(exc.args[0]))


def test_a_session_that_was_renewed_replaces_the_cookie_of_the_one_before(redis_url: str, tmp_path: Path) -> None:
    numbers = iter(range(1, 10))

    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Set-Cookie": f"sid=session-{next(numbers)}; Path=/"})

    async def act(access: Access, client: Client) -> list[list[str]]:
        request, seen = httpx.Request("POST", URL), []
        for _ in range(2):
            await access.ready()
            assert access.apply(request) == ""
            seen.append(request.headers.get_list("cookie"))
            session = cast(Session, access._session)
            session.standing.refused(session.standing.generation, 1e9)
        return seen

    assert within(redis_url, tmp_path, definition(URL, auth=LOGIN), {}, act, handler=handler) == [
        ["sid=session-1"],
        ["sid=session-2"],
    ]


def test_a_ban_at_the_login_shuts_the_limit(redis_url: str, tmp_path: Path) -> None:
    made = definition(URL, auth=LOGIN, ban={"status": [418]})

    async def act(access: Access, client: Client) -> str:
        with pytest.raises(Stopped) as caught:
            await access.ready()
        return caught.value.message

    said = within(redis_url, tmp_path, made, {}, act, handler=lambda request: httpx.Response(418), run="r1")

    assert "has shut us out" in said


def test_a_login_takes_the_places_that_a_request_takes(redis_url: str, tmp_path: Path) -> None:
    made = definition(URL, auth=LOGIN)
    asked: list[Places | None] = []

    async def act(access: Access, client: Client) -> None:
        take = access._limit.acquire

        async def acquire(want: int = 1, places: Places | None = None) -> Any:
            asked.append(places)
            return await take(want)

        access._limit.acquire = acquire  # type: ignore[method-assign]
        await access._permit()

    within(redis_url, tmp_path, made, {}, act, places=(Place(0, "", 5),))

    assert asked == [(Place(0, "", 5),)]


def test_a_token_server_that_says_a_byte_now_and_then_is_given_up_in_time() -> None:
    server = socket.create_server(("127.0.0.1", 0))

    def trickle() -> None:
        connection, _ = server.accept()
        connection.recv(65_536)
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: yyyyyyyyyy\r\n\r\n{}":
            try:
                connection.send(bytes([byte]))
            except OSError:
                return
            time.sleep(0.15)

    threading.Thread(target=trickle, daemon=True).start()
    began = time.monotonic()
    answer = post(Asked(f"http://127.0.0.1:{server.getsockname()[1]}/t", {}, b"x=1", 1.0))
    took = time.monotonic() - began
    server.close()

    assert took < 2.0
    assert (answer.status, answer.trouble) == (None, "no answer within 1 s")


def test_who_pauses_before_another_attempt_holds_the_lock(redis_url: str, tmp_path: Path) -> None:
    client, vault = connect(redis_url), Vault(b"k" * 32, tmp_path)
    ours, theirs = (Store(client, vault, "t", owner=owner) for owner in ("a", "b"))
    assert ours.take(0.5)[0]
    ours.pause(1.0)

    assert not theirs.take(1.0)[0]
    assert not theirs.hold(5.0)
    assert ours.hold(5.0)
