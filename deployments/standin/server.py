"""Serving the stand-in from a thread of this process, with arrivals stamped as they are read from the socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol


class Protocol(H11Protocol):
    """uvicorn's HTTP protocol that also notes when a request's first byte was read, and shows its transport."""

    _stamp = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Switch Nagle's algorithm off, which asyncio leaves on for a socket that it was given: 40 ms an answer."""
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Stamp the first byte of a request, then parse."""
        now = time.monotonic_ns()
        scope = self.scope
        if self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            self._stamp = now
        super().data_received(data)
        if self.scope is not scope:  # a new request; its task has not begun yet
            self.scope["standin"] = (self._stamp, self.transport)  # type: ignore[typeddict-unknown-key]


@contextlib.contextmanager
def serving(api: ASGIApp, *, host: str = "127.0.0.1", port: int = 0, keep_alive_seconds: int = 75) -> Iterator[str]:
    """Serve `api` from a thread; gives the address of the stand-in, without a path. Port 0: the OS picks one."""
    sock = socket.create_server((host, port), backlog=2048)
    config = uvicorn.Config(
        api, http=Protocol, ws="none", lifespan="off", log_level="critical", access_log=False,
        timeout_keep_alive=keep_alive_seconds, timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([sock],), name="standin", daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        yield f"http://{host}:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(5)
        sock.close()
