"""A server that answers with given bytes, and one attempt against it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from flows.client.client import Client
from flows.client.request import idempotency_key
from flows.limit.clock import boot_time
from flows.limit.permit import StalePermit
from flows.pipeline.definition import Definition
from flows.records import Outcome, Parcel, Reply, Row

ROW = Row(1, 2, {"title": "a title"})
OK = b'HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"id": 101}'
T = TypeVar("T")


class FakePermit:
    """Notes what it is told. Its check refuses what is older than `fresh_seconds`."""

    def __init__(self, *, fresh_seconds: float = 60.0, seconds: float = 60.0, in_seconds: float = 0.0) -> None:
        self.start = self.deadline = 0.0
        self.seconds, self.in_seconds, self.fresh_seconds = seconds, in_seconds, fresh_seconds
        self.told: list[str] = []

    async def wait(self) -> None:
        self.start = boot_time() + self.in_seconds
        self.deadline = self.start + self.seconds
        await asyncio.sleep(self.in_seconds)

    def check(self) -> None:
        if boot_time() > self.start + self.fresh_seconds:
            raise StalePermit("The permit is too old.")
        self.told.append("check")

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name not in ("unused", "answered", "lost", "finished"):
            raise AttributeError(name)
        return lambda: self.told.append(name)


class RawServer:
    """Accepts connections and hands each to `serve(socket, number)` in a thread; remembers the requests they read."""

    def __init__(self, serve: Callable[[RawServer, socket.socket, int], None], *, port: int = 0) -> None:
        self.heads: list[bytes] = []
        self.connections = 0
        self.ends: list[str] = []
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/posts"

    def read(self, sock: socket.socket) -> bytes:
        """One request, head and body; empty when the client has gone."""
        data = b""
        while b"\r\n\r\n" not in data:
            try:
                part = sock.recv(65536)
            except ConnectionResetError:
                self.ends.append("reset")
                return b""
            if not part:
                self.ends.append("closed")
                return b""
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        while len(body) < length:
            body += sock.recv(65536)
        self.heads.append(head)
        return head

    def close(self) -> None:
        self._listener.close()
        for sock in self._open:
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                self._open.append(sock)
                threading.Thread(target=self._run, args=(sock, self.connections), daemon=True).start()

    def _run(self, sock: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):
            self._serve(self, sock, number)


@pytest.fixture
def raw() -> Iterator[Callable[[Callable[[RawServer, socket.socket, int], None]], RawServer]]:
    servers = []

    def start(serve: Callable[[RawServer, socket.socket, int], None]) -> RawServer:
        servers.append(RawServer(serve))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def definition(url: str, **changes: Any) -> Definition:
    request = {"url": url, "timeout_seconds": 2, **changes.pop("request", {})}
    return Definition.model_validate(
        {
            "name": "posts",
            "columns": {"title": {"type": "str"}},
            "request": request,
            "response": {"keep": {"postId": "id"}},
            "limit": {"name": "api", "requests": 7, "window_seconds": 1},
            **changes,
        }
    )


def run(
    made: Definition,
    work: Callable[[Client], Awaitable[T]],
    *,
    connections: int = 5,
    secrets: dict[str, str] | None = None,
) -> T:
    async def main() -> T:
        async with Client(made, secrets=secrets or {}, connections=connections) as client:
            return await work(client)

    return asyncio.run(main())


@dataclass(frozen=True)
class Came:
    """What an exchange came to: its only reply, None where no request was made, and the outcome of its only row."""

    outcome: Outcome
    reply: Reply | None

    @property
    def answer(self) -> Reply:
        assert self.reply is not None
        return self.reply


async def send(
    client: Client, permit: FakePermit | None = None, row: Row = ROW, key: str = ""
) -> tuple[Came, list[str]]:
    """The exchange of one row, as a sender drives it, and what its permit was told."""
    permit, reply = permit or FakePermit(), None
    exchange = client.exchange(Parcel((row,)), key=key or idempotency_key("run", row, 0))
    try:
        reply = await client.send(next(exchange), permit)
        exchange.send(reply)
    except StopIteration as end:
        (outcome,) = end.value
        return Came(outcome, reply), permit.told
    raise AssertionError("a plain pipeline asks once")


def attempt(url: str, permit: FakePermit | None = None, **changes: Any) -> tuple[Came, list[str]]:
    return run(definition(url, **changes), lambda client: send(client, permit))


def answer_always(server: RawServer, sock: socket.socket, number: int) -> None:
    while server.read(sock):
        sock.sendall(OK)
