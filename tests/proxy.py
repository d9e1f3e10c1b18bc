"""A TCP proxy in a process of its own that delays what passes, differently each time, and can cut the line.

Within a connection and direction nothing is reordered, as TCP would not.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import subprocess
import sys
from typing import Any


class Proxy:
    """The process, as the test sees it. `jitter`: (from, to) seconds each way; it listens on `host`."""

    def __init__(self, port: int, *, jitter: tuple[float, float] = (0.0, 0.0), host: str = "127.0.0.1") -> None:
        self._process = subprocess.Popen([sys.executable, __file__, str(port), host], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        ports = json.loads(self._process.stdout.readline())
        self.port = ports["data"]
        self._control = socket.create_connection(("127.0.0.1", ports["control"]))
        self._answers = self._control.makefile()
        self.set(jitter=jitter)

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._control.close()
        self._answers.close()
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()

    def set(self, *, jitter: tuple[float, float] | None = None, cut: bool | None = None) -> None:
        """Change the delay; `cut` the line (nothing is read from either side, nothing passes) or heal it."""
        changes = {"jitter": jitter, "cut": cut}
        self._control.sendall(json.dumps({k: v for k, v in changes.items() if v is not None}).encode() + b"\n")
        self._answers.readline()


class _Line:
    """The state that all connections share."""

    def __init__(self) -> None:
        self.jitter: tuple[float, float] = (0.0, 0.0)
        self.whole = asyncio.Event()
        self.whole.set()

    def change(self, changes: dict[str, Any]) -> None:
        self.jitter = tuple(changes.get("jitter", self.jitter))  # type: ignore[assignment]
        if "cut" in changes:
            (self.whole.clear if changes["cut"] else self.whole.set)()


async def _pass(line: _Line, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """One direction. A delayed piece leaves after all earlier ones."""
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

    releasing, due = asyncio.create_task(release()), 0.0
    try:
        while True:
            await line.whole.wait()
            data = await source.read(65536)
            due = max(due, loop.time() + random.uniform(*line.jitter))
            queue.put_nowait((due, data))
            if not data:
                await releasing
                return
    except OSError:
        releasing.cancel()
        target.transport.abort()  # a reset passes on as a reset, and what was under way is lost


async def _serve(port: int, host: str) -> None:
    line = _Line()

    async def guest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        await line.whole.wait()
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            ways = _pass(line, reader, far_writer), _pass(line, far_reader, writer)
            await asyncio.gather(*ways, return_exceptions=True)

    async def control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while order := await reader.readline():
            line.change(json.loads(order))
            writer.write(b"done\n")

    data = await asyncio.start_server(guest, host, 0, backlog=1024)
    orders = await asyncio.start_server(control, "127.0.0.1", 0)
    ports = {"data": data.sockets[0].getsockname()[1], "control": orders.sockets[0].getsockname()[1]}
    print(json.dumps(ports), flush=True)
    async with data, orders:
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2]))
