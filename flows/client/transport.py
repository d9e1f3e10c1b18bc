"""Sockets to the API: checked right before the write, written to once, and silent as soon as they are closed.

httpx talks through aiohttp here (by httpx-aiohttp). What is added to both:

- SO_LINGER {1, 0}: closing a socket drops what the kernel has not sent yet. Without it requests written while a link
  was down arrived all at once, 8 s after their sockets had been closed, and again after the process had been killed.
- The permit is checked in the same turn of the event loop as the write, with only a few lines of Python between the
  check and the kernel. A machine frozen exactly there is the gap that remains.
- A connection on which the other side has hung up, or has spoken out of turn, is not written to: the request would be
  lost, or would be taken for answered by what was said before.
- aiohttp's own second try on a broken connection is off: the limit would not know of it.
- No proxy is taken from the environment (flows.client.proxy): it may hold requests back, and the limit is for arrivals.
"""

from __future__ import annotations

import asyncio
import logging
import select
import socket
import struct
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import httpx
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import AddrInfoType, Connection
from httpx_aiohttp import AiohttpTransport
from yarl import URL

# Common servers close idle connections after 5 s or more. A request that crosses such a close is lost as `unknown`.
IDLE_SECONDS = 4.0
_DROP_UNSENT = struct.pack("ii", 1, 0)
_HANG_UP = getattr(select, "POLLRDHUP", 0)


class Permit(Protocol):
    """The right to send one request, as the limiter grants it. Times are seconds of flows.limit.clock."""

    start: float
    deadline: float

    async def wait(self) -> None:
        """Sleep until `start`."""

    def check(self) -> None:
        """Raise if nothing may be written under the permit any more."""

    def unused(self) -> None:
        """Nothing was written."""

    def answered(self) -> None:
        """The head of the answer is here."""

    def lost(self) -> None:
        """It may have been written and will not be answered."""

    def finished(self) -> None:
        """The flight is over."""


class NotSent(aiohttp.ClientConnectionError):
    """Nothing was written to this connection."""


@dataclass(slots=True)
class Flight:
    """One attempt, as its socket sees it."""

    permit: Permit
    url: str
    wrote: bool = False  # some byte of the request may have left this machine
    refused: str = ""  # what the permit said instead of yes
    hung_up: bool = False  # the connection was useless before anything was written
    transport: asyncio.Transport | None = None

    def clear_to_write(self) -> None:
        """Ask the permit. To be called right before the write; raises NotSent if it refuses."""
        try:
            self.permit.check()
        except Exception as exc:
            self.refused = str(exc) or type(exc).__name__
            raise NotSent(self.refused) from exc
        self.wrote = True

    def give_up(self) -> None:
        """No answer will be waited for: close the connection and say so to the limit."""
        self.abort()
        if self.wrote:
            self.permit.lost()
        else:
            self.permit.unused()

    def abort(self) -> None:
        """Close the connection now, without sending what is still waiting to be sent."""
        if self.transport is not None:
            self.transport.abort()


flight: ContextVar[Flight] = ContextVar("flight")


class CheckedRequest(aiohttp.ClientRequest):
    """aiohttp's request, which asks the permit when the connection is there and the next step is the write."""

    def __init__(self, method: str, url: URL, **kwargs: Any) -> None:
        super().__init__(method, url, **kwargs)
        exact = URL(flight.get().url, encoded=True)  # yarl would decode %2F and the like, and resolve `..`
        self.url = self.original_url = exact

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Write the head; with a body aiohttp keeps it back and writes both in `write_bytes`."""
        flight.get().transport = conn.transport
        _check_connection(conn)  # here too: aiohttp would take what lies there already for the answer
        if not self._body:
            flight.get().clear_to_write()
        return await super().send(conn)

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        """Write head and body."""
        try:
            _check_connection(conn)
            flight.get().clear_to_write()
        except NotSent as exc:
            if conn.protocol is not None:
                conn.protocol.set_exception(exc)  # ends the wait for an answer
            return
        await super().write_bytes(writer, conn, content_length)


def _check_connection(conn: Connection) -> None:
    """Raises NotSent if a request on it could not be answered, or not to us."""
    if _is_useless(conn):
        flight.get().hung_up = True
        raise NotSent("the connection was closed before anything was written")


def _is_useless(conn: Connection) -> bool:
    transport = conn.transport
    if transport is None or transport.is_closing() or conn.protocol is None or conn.protocol.should_close:
        return True
    sock = transport.get_extra_info("socket")
    if sock is None or (number := sock.fileno()) < 0:
        return True
    # With TLS something to read is no sign of trouble: a session ticket comes at any time.
    plain = transport.get_extra_info("ssl_object") is None
    poll = select.poll()
    poll.register(number, _HANG_UP | (select.POLLIN if plain else 0))
    return bool(poll.poll(0))


def open_socket(address: AddrInfoType) -> socket.socket:
    """A socket that drops what it has not sent when it is closed."""
    family, kind, proto, _, _ = address
    sock = socket.socket(family, kind, proto)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DROP_UNSENT)
    return sock


def open_transport(connections: int) -> AiohttpTransport:
    """httpx's transport over at most so many connections, all kept while they are busy. To be called in a running loop.

    Certificates are verified against certifi's roots, or those that SSL_CERT_FILE or SSL_CERT_DIR name.
    """
    for name in ("httpx", "httpcore", "aiohttp"):  # httpx logs whole URLs, which may hold a secret, at INFO
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.WARNING))
    context = httpx.create_ssl_context()
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=connections,
            ssl=context,
            keepalive_timeout=IDLE_SECONDS,
            ttl_dns_cache=60,
            socket_factory=open_socket,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        request_class=CheckedRequest,
        trust_env=False,
        timeout=aiohttp.ClientTimeout(total=None),
    )
    session._retry_connection = False  # noqa: SLF001 - no other way; a test sees that no request arrives twice
    return AiohttpTransport(client=session, verify=context, trust_env=False)
