"""Odd answers over real sockets: whatever status line was read counts, and nothing left over is another's answer."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from flows.client.client import Client
from flows.records import RowState
from tests.harness.raw_server import Came, RawServer, attempt, definition, raw, run, send

__all__ = ["raw"]
BODY = b'{"id": 101}'
ZURICH = '{"id": 101, "name": "Zürich"}'
HEAD = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n"
LENGTH = b"Content-Length: 11\r\n"
MANY = b"".join(b"X-%d: %s\r\n" % (number, b"x" * 88) for number in range(900))
EARLY = b"HTTP/1.1 103 Early Hints\r\n\r\n"
CHUNKS = b"b\r\n" + BODY + b"\r\n0\r\n\r\n"

ODD = {
    "a header of 9,000 bytes": HEAD + b"Content-Security-Policy: " + b"x" * 9000 + b"\r\n" + LENGTH + b"\r\n" + BODY,
    "a head of 90,000 bytes": HEAD + MANY + LENGTH + b"\r\n" + BODY,
    "a header of 150,000 bytes": HEAD + b"X-Long: " + b"x" * 150_000 + b"\r\n" + LENGTH + b"\r\n" + BODY,
    "a blank in a name": HEAD + b"X Foo: bar\r\n" + LENGTH + b"\r\n" + BODY,
    "a blank behind a name": HEAD + b"X-Foo : bar\r\n" + LENGTH + b"\r\n" + BODY,
    "a name in UTF-8": HEAD + "X-Имя: б\r\n".encode() + LENGTH + b"\r\n" + BODY,
    "a NUL in a value": HEAD + b"X-Foo: a\0b\r\n" + LENGTH + b"\r\n" + BODY,
    "no colon": HEAD + b"X-Foo\r\n" + LENGTH + b"\r\n" + BODY,
    "Content-Length twice": HEAD + LENGTH + LENGTH + b"\r\n" + BODY,
    "Content-Length as a list": HEAD + b"Content-Length: 11, 11\r\n\r\n" + BODY,
    "chunks and Content-Length": HEAD + b"Transfer-Encoding: chunked\r\n" + LENGTH + b"\r\n" + CHUNKS,
    "a length in characters": HEAD + b"Content-Length: %d\r\n\r\n" % len(ZURICH) + ZURICH.encode(),
    "bytes behind a body that closes": HEAD + b"Connection: close\r\n" + LENGTH + b"\r\n" + BODY + b"more",
    "bytes behind a body": HEAD + LENGTH + b"\r\n" + BODY + b"more",
    "HTTP/2 as status line": b"HTTP/2 201\r\nContent-Type: application/json\r\n" + LENGTH + b"\r\n" + BODY,
    "odd behind an interim answer": EARLY + HEAD + b"X Foo: bar\r\n" + LENGTH + b"\r\n" + BODY,
}  # fmt: skip


def twice(server: RawServer, count: int = 2) -> list[tuple[Came, list[str]]]:
    """The same row sent again and again over one client."""

    async def work(client: Client) -> list[tuple[Came, list[str]]]:
        return [await send(client) for _ in range(count)]

    return run(definition(server.url), work)


@pytest.mark.parametrize("pieces", [1, 2, 40], ids=["at once", "head and body apart", "in small pieces"])
@pytest.mark.parametrize("name", ODD)
def test_an_odd_answer_counts_with_its_status_and_what_is_kept(raw: Any, name: str, pieces: int) -> None:
    answer = ODD[name]
    cuts = {1: [], 2: [answer.index(b"\r\n\r\n", 60) + 2]}.get(pieces) or list(
        range(0, len(answer), 1 + len(answer) // pieces)
    )
    parts = [answer[a:b] for a, b in zip([0, *cuts], [*cuts, len(answer)], strict=True)] if pieces > 1 else [answer]

    def serve(server: RawServer, sock: socket.socket, number: int) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while server.read(sock):
            for part in parts:
                sock.sendall(part)
                time.sleep(0.002 if len(parts) > 1 else 0)

    server = raw(serve)

    # What comes later than the body is left over on a connection that is in use again. How much counts of a body that
    # is longer than it says, or behind a head longer than is read, depends on how it comes in.
    late = pieces == 40 and name in ("a length in characters", "bytes behind a body")
    open_end = name == "a header of 150,000 bytes" or (pieces > 1 and name == "a length in characters")

    for came, told in twice(server, 1 if late else 2):
        assert (came.outcome.state, came.answer.status) == (RowState.DONE, 201), came.outcome.reason
        assert told == ["check", "answered", "finished"]
        assert open_end or came.outcome.kept == {"postId": 101}


def test_204_with_a_body_is_done_and_its_body_nobody_s_answer(raw: Any) -> None:
    def serve(server: RawServer, sock: socket.socket, number: int) -> None:
        server.read(sock)
        sock.sendall(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello")
        while server.read(sock):
            sock.sendall(HEAD + LENGTH + b"\r\n" + BODY)

    server = raw(serve)

    assert [came.answer.status for came, _ in twice(server)] == [204, 204]
    assert server.connections == 2


@pytest.mark.parametrize("how", ["at once", "later"])
def test_what_is_left_of_an_answer_is_never_the_next_one(raw: Any, how: str) -> None:
    """The first answer says that it is shorter than it is, and what is left looks like an answer."""
    fake = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n" + b'{"id": 666}'

    def serve(server: RawServer, sock: socket.socket, number: int) -> None:
        server.read(sock)
        sock.sendall(HEAD + LENGTH + b"\r\n" + BODY + (b"}" + fake if how == "at once" else b""))
        if how == "later":
            time.sleep(0.05)
            sock.sendall(b"}" + fake)
        while server.read(sock):
            sock.sendall(HEAD + LENGTH + b"\r\n" + BODY)

    for came, _ in twice(raw(serve), 4):
        assert came.outcome.kept != {"postId": 666}


@pytest.mark.parametrize(
    ("answer", "status", "state", "words"),
    [
        (HEAD + b"X-Foo: b", 201, "done", "the API said 201, but the answer broke off"),
        (HEAD + b"X Foo: bar\r\nX-", 201, "done", "the API said 201, but the answer broke off"),
        (b"HTTP/1.1 422 No\r\nX-", 422, "failed", "the API finds the row wrong"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + BODY, 201, "done", "the answer broke off"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", None, "unknown", "closed without an answer"),
        (b"HTTP/1.1 2", None, "unknown", "closed without an answer"),
        (b"\x15\x03\x01\x00\x02\x02", None, "unknown", "the answer is no valid HTTP"),
    ],
)  # fmt: skip
def test_an_answer_that_ends_within_its_head_counts_if_its_status_line_was_read(
    raw: Any, answer: bytes, status: int | None, state: str, words: str
) -> None:
    def serve(server: RawServer, sock: socket.socket, number: int) -> None:
        server.read(sock)
        sock.sendall(answer)
        sock.close()

    came, told = attempt(raw(serve).url)

    assert (came.answer.status, came.outcome.state) == (status, state)
    assert words in came.outcome.reason
    assert "400" not in came.outcome.reason
    assert told == (["check", "answered", "finished"] if status else ["check", "lost"])


def test_a_head_without_an_end_is_not_read_for_ever(raw: Any) -> None:
    def serve(server: RawServer, sock: socket.socket, number: int) -> None:
        server.read(sock)
        sock.sendall(HEAD)
        for number in range(100_000):
            sock.sendall(b"X-%d: %s\r\n" % (number, b"x" * 1000))

    came, _ = attempt(raw(serve).url, request={"timeout_seconds": 20})

    assert (came.answer.status, came.outcome.state) == (201, RowState.DONE)
    assert "its head was too long, or broke off" in came.outcome.reason
