"""Sockets to the API: ready before a permit starts, checked right before the write, silent as soon as they are closed.

An httpx transport over aiohttp's connections and parser. aiohttp's session between them was a large part of a request's
cost (bench/README.md), and tries broken connections again by itself, which the limit would not know of. What is added:

- SO_LINGER {1, 0}: closing a socket drops what the kernel has not sent yet. Without it requests written while a link
  was down arrived all at once, 8 s after their sockets had been closed, and again after the process had been killed.
- TCP_USER_TIMEOUT, the request's time-out: the kernel gives up by itself what it has not got rid of by then. A process
  that is frozen closes no socket: its requests, written into a link that was down, arrived when that healed, long after
  their slots were free again (a trial of the fault suite met 9 where 8 are allowed).
- A connection is ready before its permit starts (flows.client.connections), and stays so if the permit says no.
- The permit is checked in the same turn of the event loop as the write, with only a few lines of Python between the
  check and the kernel. A machine frozen exactly there is the gap that remains.
- A connection on which the other side has hung up, or has spoken out of turn, is not written to: the request would be
  lost, or would be taken for answered by what was said before.
- A proxy is used only where the definition says so (flows.client.proxies): it may hold requests back, and the limit is
  for arrivals. Through it a request to https:// goes by CONNECT, which is a part of setting a connection up, and one to
  http:// names the whole address.
"""

from __future__ import annotations

import asyncio
import select
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Protocol

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver
from aiohttp.connector import AddrInfoType, Connection
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader
from yarl import URL

from flows import logs
from flows.client import tolerant
from flows.client.certificate import Certified, tls_context
from flows.client.connections import Connections, SetUp
from flows.client.proxies import DIRECTLY, Proxies, Proxy

_DROP_UNSENT = struct.pack("ii", 1, 0)
_HANG_UP = getattr(select, "POLLRDHUP", 0)
_USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)  # whoever sends has one for each part of the way
_PART_BYTES = 1 << 14


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
    wrote: bool = False  # some byte of the request may have left this machine
    refused: str = ""  # what the permit said instead of yes
    hung_up: bool = False  # the connection was useless before anything was written
    connections: Connections | None = None
    connection: Connection | None = None  # one of them, until the answer's body has it
    transport: asyncio.Transport | None = None  # what has been written to

    async def prepare(self, connections: Connections) -> None:
        """Have a connection that is ready. Raises NotReady."""
        self.connections = connections
        self.connection = connections.take() or await connections.get()

    def clear_to_write(self) -> None:
        """Ask the permit. To be called right before the write; raises NotSent if it refuses."""
        try:
            self.permit.check()
        except Exception as exc:
            self.refused = str(exc) or type(exc).__name__
            raise NotSent(self.refused) from exc
        self.wrote = True

    def give_up(self) -> None:
        """No answer will be waited for: close the connection if it was written to, and say so to the limit."""
        self.abort()
        self.leave()
        if self.wrote:
            self.permit.lost()
        else:
            self.permit.unused()

    def abort(self) -> None:
        """Close the connection now, without sending what is still waiting to be sent."""
        if self.transport is not None:
            self.transport.abort()

    def leave(self) -> None:
        """Have no connection any more. One on which nothing was written is as good as before."""
        connection, self.connection = self.connection, None
        if connection is None or self.connections is None:
            return
        if self.wrote or self.hung_up:
            self.connections.close(connection)
        else:
            self.connections.give_back(connection)


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


def open_socket(address: AddrInfoType, *, seconds: float) -> socket.socket:
    """A socket that drops what it has not sent when it is closed, and in any case after so many seconds.

    The latter where the system can (Linux); elsewhere nothing but a close does.
    """
    family, kind, proto, _, _ = address
    sock = socket.socket(family, kind, proto)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DROP_UNSENT)
    if _USER_TIMEOUT is not None:
        sock.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, max(1, int(seconds * 1000)))
    return sock


class Transport(httpx.AsyncBaseTransport):
    """httpx's transport over at most so many connections to a place, all kept while they are busy.

    To be made in a running loop. `timeout_seconds` is how long setting up a connection may take, and how long the
    kernel may try to get rid of a request. Requests carry their Flight as the extension `flight` and their whole
    content. Raises aiohttp's errors, NotReady (flows.client.breakage) and NotSent. `resolver` finds addresses.
    `certified` is the certificate that we show; making one may raise SettingError.
    """

    def __init__(
        self,
        connections: int,
        *,
        timeout_seconds: float,
        resolver: AbstractResolver | None = None,
        proxies: Proxies = DIRECTLY,
        certified: Certified | None = None,
    ) -> None:
        logs.hush()
        self._loop = asyncio.get_running_loop()
        self._most, self._seconds, self._proxies = connections, timeout_seconds, proxies
        self._connector = tolerant.Connector(
            limit=0,  # Connections counts them
            ssl=tls_context(certified),
            resolver=resolver or aiohttp.ThreadedResolver(),
            ttl_dns_cache=60,
            socket_factory=SetUp.noting(partial(open_socket, seconds=timeout_seconds)),
        )
        self._places: dict[tuple[bytes, bytes, int | None], Connections] = {}

    def connections(self, url: httpx.URL) -> Connections:
        """The connections to where an address is. Raises aiohttp.InvalidURL, SettingError."""
        key = (url.raw_scheme, url.raw_host, url.port)
        if (found := self._places.get(key)) is None:
            proxy = self._proxies.to(url.scheme, url.host)
            place = self._place(url, proxy)
            connect = partial(self._connector.connect, place, [], _NO_TIMEOUT)
            host = f"{place.url.host}:{place.url.port}"
            found = self._places[key] = Connections(host, connect, most=self._most, seconds=self._seconds, proxy=proxy)
        return found

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, its body still to be read."""
        current: Flight = request.extensions["flight"]
        connections = self.connections(request.url)
        written = _in_bytes(request, connections.proxy)
        if current.connection is None:
            await current.prepare(connections)
        try:
            message, content = await self._exchange(written, current, request.method)
        except BaseException:
            current.leave()
            raise
        body = Body(content, current)
        response = httpx.Response(message.code, headers=message.raw_headers, stream=body, request=request)
        if b"".join(chain.from_iterable(message.raw_headers)).isascii():
            response.headers.encoding = "ascii"  # spares httpx a guess, header by header
        return response

    async def _exchange(self, written: bytes, current: Flight, method: str) -> tuple[RawResponseMessage, StreamReader]:
        connection = current.connection
        assert connection is not None
        protocol, transport = connection.protocol, connection.transport
        if transport is None or not isinstance(protocol, tolerant.Protocol) or _is_useless(connection):
            current.hung_up = True
            raise NotSent("the connection was closed before anything was written")
        parser = protocol.expect(with_body=method != "HEAD")
        current.clear_to_write()
        current.transport = transport
        transport.write(written)
        while True:
            try:
                message, content = await protocol.read()
            except Exception:
                if (found := parser.broken_off()) is None:
                    raise
                return found
            if message.code >= 200 or message.code == 101:
                return message, content

    def _place(self, url: httpx.URL, proxy: Proxy | None) -> aiohttp.ClientRequest:
        """What aiohttp wants to know of where to connect to."""
        if url.scheme not in ("http", "https") or not url.raw_host:
            raise aiohttp.InvalidURL(str(url))
        origin = URL.build(scheme=url.scheme, host=url.raw_host.decode("ascii"), port=url.port)
        if proxy is None:
            return aiohttp.ClientRequest("GET", origin, loop=self._loop)
        user = aiohttp.BasicAuth(proxy.user, proxy.password, "utf-8") if proxy.user else None
        return aiohttp.ClientRequest("GET", origin, loop=self._loop, proxy=URL(proxy.address), proxy_auth=user)

    async def aclose(self) -> None:
        """Close all connections."""
        for connections in self._places.values():
            await connections.aclose()
        await self._connector.close()


def _in_bytes(request: httpx.Request, proxy: Proxy | None = None) -> bytes:
    """The request as it goes out. Raises ValueError where a header would be more than one."""
    url = request.url
    by_name = proxy is not None and url.scheme == "http"  # the proxy reads it, and sends it on
    target = b"http://" + url.netloc + url.raw_path if by_name else url.raw_path
    lines = [request.method.encode("ascii") + b" " + target + b" HTTP/1.1"]
    lines += [name + b": " + value for name, value in request.headers.raw]
    if by_name and proxy is not None and proxy.authorization:
        lines.append(b"Proxy-Authorization: " + proxy.authorization.encode("ascii"))
    head = b"\r\n".join(lines)
    if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1 or b"\0" in head:
        raise ValueError("a header holds a line break or a NUL")
    return head + b"\r\n\r\n" + request.content


class Body(httpx.AsyncByteStream):
    """The body of an answer, and the connection on which it comes."""

    def __init__(self, content: StreamReader, current: Flight) -> None:
        assert current.connection is not None
        assert current.connections is not None
        self._content, self._connections, self._connection = content, current.connections, current.connection
        current.connection = None

    def at_once(self, most: int) -> bytes | None:
        """All of it, and the connection given back, if it is here already and no longer than `most` bytes."""
        content = self._content
        if not content.is_eof() or content.exception() is not None or content.total_bytes > most:
            return None
        whole = content.read_nowait()
        self._connections.give_back(self._connection)
        return whole

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._content.iter_chunked(_PART_BYTES):
            yield part

    async def aclose(self) -> None:
        """Give the connection back if all of the body has come, else close it."""
        if self._content.is_eof() and self._content.exception() is None and not self._connection.closed:
            self._connections.give_back(self._connection)
        else:
            self._connections.close(self._connection)
