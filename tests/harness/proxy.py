"""A TCP proxy in a process of its own that delays what passes, always or differently each time, and can cut the line.

Within a connection and direction nothing is reordered, as TCP would not. Bytes are not looked at, so that TLS passes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any


class Proxy:
    """The process, as the test sees it; it listens on `host`. Seconds, and each way:

    `away` is how far the other side is. A connection is there at once, as the kernel makes it, so what it would have
    cost to make (there and back) is waited for by the first bytes that are sent over it. `jitter` (from, to) is added
    to what passes. `setup` is how long the other side takes to answer on a new connection: a slow handshake. `tls`
    names a certificate and its key, in one file: with it the other side speaks TLS, past all delays.
    """

    def __init__(
        self,
        port: int,
        *,
        jitter: tuple[float, float] = (0.0, 0.0),
        away: float = 0.0,
        setup: float = 0.0,
        tls: Path | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        command = [sys.executable, __file__, str(port), host, str(tls or "")]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        ports = json.loads(self._process.stdout.readline())
        self.port = ports["data"]
        self._control = socket.create_connection(("127.0.0.1", ports["control"]))
        self._answers = self._control.makefile()
        self.set(jitter=jitter, away=away, setup=setup)

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._control.close()
        self._answers.close()
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()

    def set(
        self,
        *,
        jitter: tuple[float, float] | None = None,
        cut: bool | None = None,
        away: float | None = None,
        setup: float | None = None,
    ) -> None:
        """Change the delay; `cut` the line (nothing is read from either side, nothing passes) or heal it."""
        changes = {"jitter": jitter, "cut": cut, "away": away, "setup": setup}
        self._control.sendall(json.dumps({k: v for k, v in changes.items() if v is not None}).encode() + b"\n")
        self._answers.readline()

    @property
    def connections(self) -> int:
        """How many have been made through it."""
        self._control.sendall(b"{}\n")
        return int(self._answers.readline())


class _Line:
    """The state that all connections share."""

    def __init__(self) -> None:
        self.jitter: tuple[float, float] = (0.0, 0.0)
        self.away = self.setup = 0.0
        self.connections = 0
        self.whole = asyncio.Event()
        self.whole.set()

    def change(self, changes: dict[str, Any]) -> None:
        self.jitter = tuple(changes.get("jitter", self.jitter))  # type: ignore[assignment]
        self.away, self.setup = changes.get("away", self.away), changes.get("setup", self.setup)
        if "cut" in changes:
            (self.whole.clear if changes["cut"] else self.whole.set)()


async def _pass(line: _Line, source: asyncio.StreamReader, target: asyncio.StreamWriter, first: float) -> None:
    """One direction. A delayed piece leaves after all earlier ones, and none before `first`, by the loop's clock."""
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[tuple[float, bytes]]()

    async def release() -> None:
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            await line.whole.wait()
            if not data:
                return target.close()
            target.write(data)
            await target.drain()

    releasing, due = asyncio.create_task(release()), first
    try:
        while True:
            await line.whole.wait()
            data = await source.read(65536)
            due = max(due, loop.time() + line.away + random.uniform(*line.jitter))
            queue.put_nowait((due, data))
            if not data:
                await releasing
                return
    except OSError:
        releasing.cancel()
        target.transport.abort()  # a reset passes on as a reset, and what was under way is lost


async def _terminator(port: int, certificate: str) -> asyncio.Server:
    """The other side's TLS, in front of what speaks none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def guest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            plain_reader, plain_writer = await asyncio.open_connection("127.0.0.1", port)
            line, at_once = _Line(), 0.0
            ways = _pass(line, reader, plain_writer, at_once), _pass(line, plain_reader, writer, at_once)
            await asyncio.gather(*ways, return_exceptions=True)

    return await asyncio.start_server(guest, "127.0.0.1", 0, ssl=context, backlog=1024)


async def _serve(port: int, host: str, certificate: str) -> None:
    line = _Line()
    if certificate:
        port = (await _terminator(port, certificate)).sockets[0].getsockname()[1]

    async def guest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        await line.whole.wait()
        with contextlib.suppress(OSError):
            line.connections += 1
            made = asyncio.get_running_loop().time() + 3 * line.away  # a way there, a way back, and that of the bytes
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            ways = _pass(line, reader, far_writer, made), _pass(line, far_reader, writer, made + line.away + line.setup)
            await asyncio.gather(*ways, return_exceptions=True)

    async def control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while order := await reader.readline():
            line.change(json.loads(order))
            writer.write(f"{line.connections}\n".encode())

    data = await asyncio.start_server(guest, host, 0, backlog=1024)
    orders = await asyncio.start_server(control, "127.0.0.1", 0)
    ports = {"data": data.sockets[0].getsockname()[1], "control": orders.sockets[0].getsockname()[1]}
    print(json.dumps(ports), flush=True)
    async with data, orders:
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), *sys.argv[2:]))
