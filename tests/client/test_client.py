"""One attempt against real servers, nasty ones too: what arrives, what the row becomes, what the limit is told."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import logging
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.standin import Knobs, StandIn, serving
from flows.client.client import Client
from flows.client.proxy import ignored_proxy, proxy_warning
from flows.client.request import idempotency_key
from flows.client.transport import open_socket
from flows.limit.clock import boot_time
from flows.records import Reply, Row, RowState
from tests.harness import tls
from tests.harness.raw_server import (
    OK,
    ROW,
    Came,
    FakePermit,
    RawServer,
    answer_always,
    attempt,
    definition,
    raw,
    run,
    send,
)
from tests.harness.wait import wait_until

__all__ = ["raw"]


@pytest.fixture
def api() -> Iterator[StandIn]:
    made = StandIn(Knobs(requests=None))
    with serving(made) as address:
        made.url = address + "/posts"  # type: ignore[attr-defined]
        yield made


# -- what each answer comes to -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "state", "words", "told", "seconds"),
    [
        ("", "done", "", "answered finished", 0),
        ("huge", "done", "the API said 201, but the answer is longer than 65,536 bytes", "answered finished", 0),
        ("invalid_json", "done", "the API said 201, but the answer is no valid JSON", "answered finished", 0),
        ("wrong_type", "unknown", "the API said 201, but with text/plain where JSON was due", "answered finished", 0),
        ("html", "unknown", "an HTML page came with 200 where JSON was due", "answered finished", 0),
        ("no_content", "done", "", "answered finished", 0),
        ("redirect", "unknown", "says 302: go to /elsewhere. Redirects are not followed", "answered finished", 0),
        ("stalled", "done", "the API said 201, but the answer did not end within 0.4 s", "answered finished", 0.4),
        ("trickled", "unknown", "no answer within 0.4 s; the API may have acted", "lost", 0.4),
        ("hang", "unknown", "no answer within 0.4 s; the API may have acted", "lost", 0.4),
        ("reset", "unknown", "the API may have acted", "lost", 0),
        ("close", "unknown", "the connection was closed without an answer", "lost", 0),
        ("error", "unknown", "status 500", "answered finished", 0),
        ("bad_gateway", "unknown", "status 502", "lost", 0),
        ("gateway_timeout", "unknown", "status 504", "lost", 0),
        ("unavailable", "waiting", "the API says 503: come back later", "lost", 0),
    ],
)  # fmt: skip
def test_every_answer_has_a_stated_outcome(
    api: StandIn, fault: str, state: str, words: str, told: str, seconds: float
) -> None:
    """50 MB, invalid JSON, a wrong type, a 204, a redirect, a stalled body and the others: none is left to chance."""
    api.turn(faults={fault: 1.0} if fault else {}, retry_after_seconds=3, trickle_seconds=0.03)

    async def twice(client: Client) -> tuple[Came, list[str], float, Came]:
        began = time.monotonic()
        first, log = await send(client)
        took = time.monotonic() - began
        api.turn(faults={})
        second, _ = await send(client)
        return first, log, took, second

    came, log, took, next_one = run(definition(api.url, request={"timeout_seconds": 0.4}), twice)

    assert came.outcome.state == state
    assert words in came.outcome.reason
    assert came.outcome.kept == ({"postId": 101} if not fault else {})
    assert log == ["check", *told.split()]
    assert seconds <= took < seconds + 0.35
    assert came.answer.ban == (fault == "html")
    assert len(api.arrivals.stamps) == 2, "nothing was sent again, no redirect was followed"
    assert next_one.outcome.state is RowState.DONE, "the connection pool is still good"


def test_a_gateway_keeps_its_slot_unless_the_api_counts_at_its_edge(api: StandIn) -> None:
    api.turn(faults={"bad_gateway": 1.0})

    assert attempt(api.url)[1] == ["check", "lost"]
    assert attempt(api.url, counts_at_edge=True)[1] == ["check", "answered", "finished"]


def test_429_and_a_ban_through_the_wire(api: StandIn) -> None:
    api.turn(requests=1, retry_after_seconds=2)
    made = definition(api.url)

    first, second = run(made, lambda client: asyncio.gather(send(client), send(client)))
    came = min((first[0], second[0]), key=lambda each: each.outcome.state is RowState.DONE)
    assert (came.outcome.state, came.outcome.again, came.answer.pause_seconds) == (RowState.WAITING, True, 2.0)

    api.turn(ban=True)
    banned, told = attempt(api.url)
    assert (banned.outcome.state, banned.answer.ban, banned.answer.status) == (RowState.FAILED, True, 403)
    assert banned.outcome.excerpt.startswith("<!DOCTYPE html>")
    assert told == ["check", "answered", "finished"]


def test_an_answer_that_comes_in_one_piece_is_capped_all_the_same(raw: Any) -> None:
    def serve(server: RawServer, sock: socket.socket, number: int) -> None:
        server.read(sock)
        body = b'{"id": 101, "x": "' + b"x" * 2000 + b'"}'
        sock.sendall(OK.partition(b"Content-Length")[0] + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    came, told = attempt(raw(serve).url, response={"max_bytes": 1024, "keep": {"postId": "id"}})

    assert (came.outcome.state, came.outcome.kept) == (RowState.DONE, {})
    assert "longer than 1,024 bytes" in came.outcome.reason
    assert told == ["check", "answered", "finished"]


def test_a_packed_answer_is_unpacked_and_still_capped(raw: Any) -> None:
    def serve(server: RawServer, sock: socket.socket, number: int) -> None:
        for size in (10, 10_000_000):
            server.read(sock)
            body = gzip.compress(b'{"id": 101, "x": "' + b"x" * size + b'"}')
            head = OK.partition(b"Content-Length")[0] + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
            sock.sendall(head % len(body) + body)

    server = raw(serve)

    async def twice(client: Client) -> list[Came]:
        return [(await send(client))[0] for _ in range(2)]

    small, large = run(definition(server.url), twice)
    assert small.outcome.kept == {"postId": 101}
    assert "longer than 65,536 bytes" in large.outcome.reason


def test_an_answer_that_is_no_http_is_unknown(raw: Any) -> None:
    def serve(server: RawServer, sock: socket.socket, number: int) -> None:
        server.read(sock)
        sock.sendall(b"220 mail.example ESMTP\r\n\r\n")

    came, told = attempt(raw(serve).url)

    assert came.outcome.state is RowState.UNKNOWN
    assert came.outcome.reason.startswith("the answer is no valid HTTP (Bad status line")
    assert came.answer.status is None
    assert "400" not in came.outcome.reason, "that would read as if the API had said so"
    assert told == ["check", "lost"]


def test_no_answer_is_waited_for_beyond_the_permit_s_deadline(api: StandIn) -> None:
    """The limit counts on it, whatever time-out the definition has."""
    api.turn(faults={"hang": 1.0})
    permit = FakePermit(seconds=0.3)

    came, told = attempt(api.url, permit)

    assert boot_time() - permit.start < 1.5
    assert came.outcome.state is RowState.UNKNOWN
    assert told == ["check", "lost"]


# -- nothing written ---------------------------------------------------------------------------------------------------


def test_a_refused_connection_is_no_attempt_of_the_row_and_leaves_the_permit_unused() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        came, told = attempt(f"http://127.0.0.1:{port}/")

    assert (came.outcome.state, came.answer.wrote, came.outcome.again) == (RowState.WAITING, False, True)
    assert not came.answer.attempted
    assert came.outcome.reason == f"127.0.0.1:{port} could not be reached (Connection refused); nothing was sent"
    assert told == ["unused"]


def test_a_connection_that_takes_too_long_was_not_written_to(raw: Any) -> None:
    """The server takes the connection, and never answers the TLS handshake."""
    server = raw(lambda server, sock, number: time.sleep(2))

    came, told = attempt(server.url.replace("http:", "https:"), request={"timeout_seconds": 0.3})

    assert (came.outcome.state, came.answer.wrote, came.answer.attempted) == (RowState.WAITING, False, False)
    words = "took the connection, but the TLS handshake was not over within 0.3 s; nothing was sent"
    assert words in came.outcome.reason
    assert told == ["unused"]


def test_the_connection_is_ready_before_the_permit_s_time_begins(raw: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """A handshake that takes longer than a permit stays fresh costs the permit nothing."""
    authority, fresh = tls.authority(tmp_path), 0.3
    context = authority.server()
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.roots))

    def serve(server: RawServer, sock: socket.socket, number: int) -> None:
        time.sleep(fresh * 2)
        answer_always(server, context.wrap_socket(sock, server_side=True), number)

    server = raw(serve)

    came, told = attempt(server.url.replace("http:", "https:"), FakePermit(fresh_seconds=fresh))

    assert (came.outcome.state, told) == (RowState.DONE, ["check", "answered", "finished"])
    assert server.connections == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "GET", "DELETE"])
@pytest.mark.parametrize("reused", [False, True], ids=["new connection", "reused connection"])
def test_a_stale_permit_writes_nothing(raw: Any, method: str, reused: bool) -> None:
    server = raw(answer_always)

    async def stale(client: Client) -> tuple[Came, list[str], Came]:
        if reused:
            await send(client)
        came, told = await send(client, FakePermit(fresh_seconds=-1))
        return came, told, (await send(client))[0]

    came, told, after = run(definition(server.url, request={"method": method}), stale)

    assert (came.outcome.state, came.answer.attempted, came.answer.wrote) == (RowState.WAITING, False, False)
    assert "too old" in came.outcome.reason
    assert told == ["unused"]
    assert after.answer.status == 201
    assert len(server.heads) == 1 + reused
    assert server.connections == 1, "a connection on which nothing was written is as good as before"


def test_no_request_arrives_later_than_its_permit_allows_however_the_loop_stalls(api: StandIn) -> None:
    """The check stands right before the write: a stall between connecting and writing voids the permit."""
    fresh, stalled, readers_own = 0.05, 0.2, 0.1

    def enough(results: list[tuple[FakePermit, Came]]) -> bool:
        stale = sum(not came.answer.attempted for _, came in results)
        return stale >= 3 and len(results) - stale >= 3

    async def work(client: Client) -> list[tuple[FakePermit, Came]]:
        done = asyncio.Event()

        async def stall() -> None:
            while not done.is_set():
                time.sleep(stalled)  # noqa: ASYNC251 - the stall is the point
                await asyncio.sleep(random.uniform(0, 0.04))

        async def one(place: int, before: int) -> tuple[FakePermit, Came]:
            await asyncio.sleep(place * 0.01)
            number, permit = before + place, FakePermit(fresh_seconds=fresh)
            row = Row(number, number, {"title": str(number)})
            return permit, (await send(client, permit, row, str(number)))[0]

        stalling = asyncio.create_task(stall())
        results: list[tuple[FakePermit, Came]] = []
        while len(results) < 100 or (not enough(results) and len(results) < 1500):
            results += await asyncio.gather(*(one(number, len(results)) for number in range(50)))
        done.set()
        await stalling
        return results

    results = run(definition(api.url), work, connections=200)

    arrived = {arrival.key: arrival.at / 1e9 for arrival in api.arrivals.details}
    boot = boot_time() - time.monotonic()
    late = [arrived[str(n)] + boot - permit.start for n, (permit, _) in enumerate(results) if str(n) in arrived]
    stale = [came for _, came in results if not came.answer.attempted]
    assert stale, "the stalls made some permits stale"
    assert late, "and left others good"
    assert len(stale) + len(late) == len(results)
    assert max(late) < fresh + readers_own < stalled


def test_cancelling_while_it_waits_for_its_start_hands_permit_and_connection_back(raw: Any) -> None:
    server, permit = raw(answer_always), FakePermit(in_seconds=30)

    async def cancel(client: Client) -> None:
        task = asyncio.create_task(send(client, permit))
        await asyncio.to_thread(wait_until, lambda: permit.start, what="the wait for its start")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await send(client)

    run(definition(server.url), cancel)

    assert permit.told == ["unused"]
    assert (server.connections, len(server.heads)) == (1, 1)


def test_a_row_that_makes_no_request_is_failed() -> None:
    came, told = run(
        definition("http://127.0.0.1:1/", request={"headers": {"X-Title": "{title}"}}),
        lambda client: send(client, row=Row(1, 2, {"title": "a\r\nHost: evil"})),
    )

    assert (came.outcome.state, came.reply, told) == (RowState.FAILED, None, [])
    assert "header X-Title" in came.outcome.reason


@pytest.mark.parametrize("value", ["a\r\nHost: evil", "a\nb", "a\rb", "a\0b"])
def test_a_header_that_would_be_two_is_not_written(api: StandIn, value: str) -> None:
    """Whoever builds the request has refused it before; this is the last look."""
    permit = FakePermit()

    async def go(client: Client) -> Reply:
        request = client.build(Row(1, 2, {"title": "x"}), key="k")
        request.headers["X-Title"] = value
        return await client.send(request, permit)

    reply = run(definition(api.url), go)

    assert (reply.means, reply.wrote) == (RowState.FAILED, False)
    assert permit.told == ["unused"]
    assert api.arrivals.details == []


# -- sockets -----------------------------------------------------------------------------------------------------------


def test_every_socket_drops_what_it_has_not_sent() -> None:
    address = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 0))
    with open_socket(address, seconds=1.5) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == struct.pack("ii", 1, 0)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1500


@pytest.mark.parametrize("how", ["time-out", "cancelled"])
def test_giving_up_resets_the_connection(raw: Any, how: str) -> None:
    """A connection that is closed instead would let the kernel send on what it has queued."""
    server = raw(lambda server, sock, number: (server.read(sock), server.read(sock)))
    permit = FakePermit()

    async def give_up(client: Client) -> None:
        task = asyncio.create_task(send(client, permit))
        if how == "cancelled":
            await asyncio.to_thread(wait_until, lambda: server.heads, what="the request")
            task.cancel()
        await asyncio.wait([task])
        await asyncio.to_thread(wait_until, lambda: server.ends, what="the end of the connection")

    run(definition(server.url, request={"timeout_seconds": 1.0 if how == "time-out" else 5}), give_up)

    assert server.ends == ["reset"]
    assert permit.told == ["check", "lost"]


def test_what_waits_in_our_own_buffer_is_dropped_on_a_time_out(raw: Any) -> None:
    """A body too large for the kernel: the receiver begins to read after we gave up, and never gets the rest."""
    got: list[int] = []

    def serve(server: RawServer, sock: socket.socket, number: int) -> None:
        time.sleep(4)
        total = 0
        try:
            while part := sock.recv(1 << 20):
                total += len(part)
        except ConnectionResetError:
            pass
        got.append(total)

    server, size = raw(serve), 30_000_000
    row = Row(1, 2, {"title": "x" * size})

    async def give_up(client: Client) -> Came:
        came, _ = await send(client, row=row)
        await asyncio.to_thread(wait_until, lambda: got, what="the receiver's end")
        return came

    came = run(definition(server.url, request={"timeout_seconds": 3.0}), give_up)

    assert came.outcome.state is RowState.UNKNOWN
    assert got[0] < size


@pytest.mark.parametrize("method", ["POST", "PUT", "GET", "DELETE"])
def test_no_method_is_sent_twice_when_a_kept_connection_breaks(raw: Any, method: str) -> None:
    """aiohttp would send PUT, GET and DELETE again by itself: an arrival that no limit knows of."""

    def serve(server: RawServer, sock: socket.socket, number: int) -> None:
        server.read(sock)
        sock.sendall(OK)
        server.read(sock)  # reads the second request, and breaks
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    server = raw(serve)

    async def twice(client: Client) -> list[tuple[Came, list[str]]]:
        return [await send(client), await send(client)]

    (first, _), (second, told) = run(definition(server.url, request={"method": method}), twice)

    assert first.outcome.state is RowState.DONE
    assert second.outcome.state is RowState.UNKNOWN
    assert told == ["check", "lost"]
    assert (len(server.heads), server.connections) == (2, 1)


@pytest.mark.parametrize("seen", ["seen by the loop", "not yet seen by the loop"])
def test_a_connection_that_the_api_closed_while_idle_is_stepped_over(raw: Any, seen: str) -> None:
    """The row is not lost on it, its permit is used once, and the request arrives once."""
    closed = threading.Event()

    def serve(server: RawServer, sock: socket.socket, number: int) -> None:
        server.read(sock)
        sock.sendall(OK)
        if number <= 3:
            sock.shutdown(socket.SHUT_RDWR)
            sock.close()
            closed.set()
        else:
            answer_always(server, sock, number)

    server = raw(serve)

    async def go(client: Client) -> list[tuple[Came, list[str]]]:
        found = []
        for _ in range(4):
            closed.clear()
            found.append(await send(client))
            if server.connections <= 3:
                closed.wait(2)
            if seen == "seen by the loop":
                await asyncio.sleep(0.05)
        return found

    results = run(definition(server.url), go)

    assert [came.outcome.state for came, _ in results] == [RowState.DONE] * 4
    assert all(told == ["check", "answered", "finished"] for _, told in results)
    assert len(server.heads) == 4


@pytest.mark.parametrize("seen", ["seen by the loop", "not yet seen by the loop"])
def test_an_answer_that_nobody_asked_for_is_not_taken_for_ours(raw: Any, seen: str) -> None:
    def serve(server: RawServer, sock: socket.socket, number: int) -> None:
        server.read(sock)
        sock.sendall(OK)
        if number == 1:
            time.sleep(0.05)
            sock.sendall(OK.replace(b"101", b"666"))
        while server.read(sock):
            sock.sendall(OK.replace(b"101", b"102"))

    server = raw(serve)

    async def twice(client: Client) -> list[Came]:
        first, _ = await send(client)
        if seen == "seen by the loop":
            await asyncio.sleep(0.15)
        else:
            time.sleep(0.15)  # noqa: ASYNC251 - the stall is the point
        return [first, (await send(client))[0]]

    results = run(definition(server.url), twice)

    assert results[0].outcome.kept == {"postId": 101}
    assert results[1].outcome.kept != {"postId": 666}
    assert results[1].outcome.state is RowState.DONE


def test_a_server_that_closes_every_connection_at_once_leaves_the_row_alive(raw: Any) -> None:
    server = raw(lambda server, sock, number: sock.close())

    came, told = attempt(server.url)

    assert came.outcome.state in (RowState.WAITING, RowState.UNKNOWN)
    assert told in (["unused"], ["check", "lost"])
    assert came.answer.wrote == (came.outcome.state is RowState.UNKNOWN)


def test_no_more_connections_than_told_and_all_of_them_kept(raw: Any) -> None:
    def serve(server: RawServer, sock: socket.socket, number: int) -> None:
        while server.read(sock):
            time.sleep(0.02)
            sock.sendall(OK)

    server = raw(serve)

    async def many(client: Client) -> list[tuple[Came, list[str]]]:
        return [each for _ in range(3) for each in await asyncio.gather(*(send(client) for _ in range(10)))]

    results = run(definition(server.url), many, connections=5)

    assert all(came.outcome.state is RowState.DONE for came, _ in results)
    assert (server.connections, len(server.heads)) == (5, 30)


def test_an_address_goes_out_as_it_was_made(raw: Any) -> None:
    server = raw(answer_always)
    made = definition(server.url + "/{title}/%7Ex?next={title}", request={"method": "PUT"})

    run(made, lambda client: send(client, row=Row(1, 2, {"title": "a/b c?d=é&e+%2F.."})))

    value = b"a%2Fb%20c%3Fd%3D%C3%A9%26e%2B%252F.."
    assert server.heads[0].split(b" ")[1] == b"/posts/" + value + b"/%7Ex?next=" + value


def test_an_answer_to_head_has_no_body(raw: Any) -> None:
    """Its Content-Length is that of a body which does not come."""

    def serve(server: RawServer, sock: socket.socket, number: int) -> None:
        while server.read(sock):
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Id: 7\r\nContent-Length: 99\r\n\r\n")

    server = raw(serve)
    made = definition(server.url, request={"method": "head"}, response={"keep": {"postId": "header:X-Id"}})

    async def twice(client: Client) -> list[tuple[Came, list[str]]]:
        return [await send(client), await send(client)]

    for came, _ in run(made, twice):
        assert (came.outcome.state, came.outcome.reason, came.outcome.kept) == (RowState.DONE, "", {"postId": 7})
    assert (len(server.heads), server.connections) == (2, 1)
    assert server.heads[0].startswith(b"HEAD ")
    assert b"content-length" not in server.heads[0].lower()


# -- what is not kept, used or followed --------------------------------------------------------------------------------


def test_cookies_are_not_kept(raw: Any) -> None:
    def serve(server: RawServer, sock: socket.socket, number: int) -> None:
        while server.read(sock):
            sock.sendall(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: session=1; Path=/\r\n\r\n"))

    server = raw(serve)

    async def twice(client: Client) -> None:
        await send(client)
        await send(client)

    run(definition(server.url.replace("127.0.0.1", "localhost")), twice)  # aiohttp keeps none of an IP address

    assert len(server.heads) == 2
    assert b"cookie" not in server.heads[1].lower()


def test_proxies_of_the_environment_are_not_used_and_can_be_told(raw: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server, proxy = raw(answer_always), raw(answer_always)
    monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("http://", "http://user:secret@"))
    monkeypatch.setenv("ALL_PROXY", proxy.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", proxy.url.replace("http://", "http://user:secret@"))

    assert attempt(server.url)[0].outcome.state is RowState.DONE
    assert (len(server.heads), proxy.connections) == (1, 0)
    assert ignored_proxy("http://api.test/") == proxy.url.removesuffix("/posts")
    assert ignored_proxy("ftp://api.test/") == ""
    assert "requests go to api.test directly" in proxy_warning("http://api.test/")
    assert "secret" not in proxy_warning("http://api.test/")
    monkeypatch.setenv("no_proxy", "api.test")
    assert ignored_proxy("http://api.test/") == proxy_warning("http://api.test/") == ""


def test_what_every_request_carries(raw: Any) -> None:
    server = raw(answer_always)

    attempt(server.url, request={"headers": {"Authorization": "Bearer x"}})

    lines = server.heads[0].decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    assert lines[0] == "POST /posts HTTP/1.1"
    assert headers["idempotency-key"] == idempotency_key("run", ROW, 0)
    assert headers["content-type"] == "application/json"
    assert headers["accept"] == "application/json"
    assert headers["accept-encoding"] == "identity"
    assert headers["authorization"] == "Bearer x"
    assert headers["user-agent"].startswith("rowrelay/")
    assert len(headers) == len(lines) - 1, "no header comes twice"


def test_an_idempotency_key_is_stable_and_its_own() -> None:
    key = idempotency_key("run", ROW, 0)

    assert key == idempotency_key("run", Row(1, 99, {"title": "a title"}), 0)
    assert len(key) == 32
    others = [
        idempotency_key("other", ROW, 0),
        idempotency_key("run", Row(2, 2, ROW.values), 0),
        idempotency_key("run", Row(1, 2, {"title": "another"}), 0),
        idempotency_key("run", ROW, 1),
        idempotency_key("run", Row(1, 2, {"title": datetime.date(2026, 1, 2)}), 0),
    ]
    assert len({key, *others}) == 6


def test_secrets_go_out_and_come_back_as_dots(raw: Any, caplog: pytest.LogCaptureFixture) -> None:
    def serve(server: RawServer, sock: socket.socket, number: int) -> None:
        while server.read(sock):
            body = b'{"id": "you said s3cret", "token": "s3cret"}'
            sock.sendall(b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
                b"400 Bad" if len(server.heads) > 1 else b"201 Created", len(body), body,
            ))  # fmt: skip

    server = raw(serve)
    made = definition(server.url + "?token=${secret:TOKEN}", request={"headers": {"X-Token": "${secret:TOKEN}"}})

    async def twice(client: Client) -> list[Came]:
        return [(await send(client))[0] for _ in range(2)]

    with caplog.at_level(logging.INFO):
        first, second = run(made, twice, secrets={"TOKEN": "s3cret"})

    assert b"X-Token: s3cret" in server.heads[0]
    assert b"?token=s3cret" in server.heads[0]
    assert first.outcome.kept == {"postId": "you said ••••"}
    assert second.outcome.excerpt == '{"id": "you said ••••", "token": "••••"}'
    assert "s3cret" not in caplog.text
    assert all(logging.getLogger(name).getEffectiveLevel() >= logging.WARNING for name in ("httpx", "aiohttp.client"))


# -- TLS ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trusted", [False, True])
def test_certificates_are_verified(raw: Any, tmp_path: Path, trusted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = tls.authority(tmp_path)
    context = authority.server()

    def serve(server: RawServer, sock: socket.socket, number: int) -> None:
        answer_always(server, context.wrap_socket(sock, server_side=True), number)

    server = raw(serve)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.roots))
    else:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)

    async def thrice(client: Client) -> list[tuple[Came, list[str]]]:
        return [await send(client) for _ in range(3)]

    results = run(definition(server.url.replace("http:", "https:")), thrice)

    for came, told in results:
        if trusted:
            assert (came.outcome.state, told) == (RowState.DONE, ["check", "answered", "finished"])
        else:
            assert (came.outcome.state, came.answer.wrote, told) == (RowState.WAITING, False, ["unused"])
            assert "the certificate of 127.0.0.1:" in came.outcome.reason
            assert "could not be verified: unable to get local issuer certificate" in came.outcome.reason
    assert server.connections == (1 if trusted else 3), "a kept TLS connection is used again"


# -- the seam ----------------------------------------------------------------------------------------------------------


def test_another_transport_may_stand_in_for_the_network() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.content == b'{"title":"a title"}'
        return httpx.Response(201, json={"id": 7})

    async def main() -> list[tuple[Came, list[str]]]:
        made, transport = definition("http://api.test/posts"), httpx.MockTransport(answer)
        async with Client(made, secrets={}, connections=1, transport=transport) as client:
            return [await send(client), await send(client, FakePermit(fresh_seconds=-1))]

    (came, told), (refused, _) = asyncio.run(main())

    assert (came.outcome.kept, told) == ({"postId": 7}, ["check", "answered", "finished"])
    assert not refused.answer.attempted
