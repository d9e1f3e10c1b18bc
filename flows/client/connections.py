"""Connections to one place: made before they are needed, used again, and closed when they are old.

Setting up a connection (finding the address, TCP, TLS) is no arrival, and what goes wrong there is nobody's row.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from functools import partial

from aiohttp.connector import AddrInfoType, Connection

from flows.client.breakage import NotReady, unreachable
from flows.client.proxies import Proxy

# Common servers close idle connections after 5 s or more. A request that crosses such a close is lost as `unknown`.
IDLE_SECONDS = 4.0

MakeSocket = Callable[[AddrInfoType], socket.socket]
_current: ContextVar[SetUp | None] = ContextVar("set-up", default=None)


class SetUp:
    """One connection on its way. Moments are the loop's."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.resolved: float | None = None
        self._sockets: list[socket.socket] = []

    @property
    def step(self) -> str:
        """What it is at: `name`, `connect` or `tls`."""
        if not self._sockets:
            return "name"
        return "tls" if any(map(_is_connected, self._sockets)) else "connect"

    def took(self, now: float) -> float:
        """Seconds since the address was known: what the next one will take as well, as names are remembered."""
        return 0.0 if self.resolved is None else now - self.resolved

    def connects(self, sock: socket.socket) -> None:
        """The address is known, and this socket is tried."""
        self.resolved = self.resolved or asyncio.get_running_loop().time()
        self._sockets.append(sock)

    @staticmethod
    def noting(make: MakeSocket) -> MakeSocket:
        """`make`, whose sockets are noted by the set-up in whose task it is called."""

        def made(address: AddrInfoType) -> socket.socket:
            sock = make(address)
            if (current := _current.get()) is not None:
                current.connects(sock)
            return sock

        return made


class Connections:
    """At most so many connections to `host`, each set up within `seconds` by `connect`. To be made in a running loop.

    `proxy` is the one that leads there: being connected with the host is a part of the set-up, and no arrival.
    `trouble` is the latest set-up that failed, until somebody takes note and clears it.
    """

    def __init__(
        self,
        host: str,
        connect: Callable[[], Awaitable[Connection]],
        *,
        most: int,
        seconds: float,
        proxy: Proxy | None = None,
    ) -> None:
        self.host, self.seconds, self.proxy = host, seconds, proxy
        self.trouble: NotReady | None = None
        self.made = 0
        self._connect, self._most = connect, most
        self._loop = asyncio.get_running_loop()
        self._open: set[Connection] = set()
        self._ready: deque[tuple[Connection, float]] = deque()
        self._under_way: set[SetUp] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._change = asyncio.Event()
        self._took = float("inf")
        self._tidy: asyncio.TimerHandle | None = None

    @property
    def ready(self) -> int:
        """How many may be written to at once."""
        return len(self._ready)

    @property
    def under_way(self) -> SetUp | None:
        """The oldest set-up that is under way."""
        return min(self._under_way, key=lambda each: each.began, default=None)

    @property
    def set_up_seconds(self) -> float:
        """The least that it took to set up a connection, without resolving the name; 0 while there was none.

        The least tells how far away the API is. What many set-ups at once take tells how many they are, and whoever
        went by that would begin more and more of them.
        """
        return self._took if self.made else 0.0

    def fill(self, wanted: int, *, least: int, most: int) -> None:
        """Once no more than `least` are ready or will be, begin so many set-ups that `wanted` are, or `most` in all."""
        there = len(self._ready) + len(self._under_way)
        if there > least:
            return
        for _ in range(min(wanted - there, min(most, self._most) - len(self._open) - len(self._under_way))):
            set_up = self._begin()
            task = asyncio.create_task(self._add(set_up))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def changed(self, seconds: float) -> None:
        """Wait until a set-up has ended or a connection came back, at most so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._change.wait()

    def take(self) -> Connection | None:
        """A connection that is ready, the one that has been so for longest."""
        oldest = self._loop.time() - IDLE_SECONDS
        while self._ready:
            connection, since = self._ready.popleft()
            if since >= oldest and _is_alive(connection):
                return connection
            self.close(connection)
        return None

    async def get(self) -> Connection:
        """A connection that is ready, or one that is made for the purpose. Raises NotReady."""
        while (connection := self.take()) is None:
            if len(self._open) + len(self._under_way) < self._most:
                return await self._make(self._begin())
            await self._change.wait()
        return connection

    def give_back(self, connection: Connection) -> None:
        """For others to use."""
        protocol = connection.protocol
        if protocol is None or protocol.should_close or not protocol.is_connected():
            self.close(connection)
            return
        self._ready.append((connection, self._loop.time()))
        self._tidy = self._tidy or self._loop.call_later(IDLE_SECONDS, self._close_idle)
        self._changed()

    def close(self, connection: Connection) -> None:
        """Not to be used any more."""
        self._open.discard(connection)
        connection.close()
        self._changed()

    async def aclose(self) -> None:
        """Give up what is under way, and close all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._tidy is not None:
            self._tidy.cancel()
        for connection in list(self._open):
            self.close(connection)

    def _changed(self) -> None:
        self._change.set()
        self._change.clear()

    def _begin(self) -> SetUp:
        set_up = SetUp(self._loop.time())
        self._under_way.add(set_up)
        return set_up

    async def _add(self, set_up: SetUp) -> None:
        try:
            self.give_back(await self._make(set_up))
        except NotReady as exc:
            self.trouble = exc
            self._changed()

    async def _make(self, set_up: SetUp) -> Connection:
        """Set a connection up. Raises NotReady."""
        token = _current.set(set_up)
        step: list[str] = []
        # A moment before the end, since the sockets are closed by then and tell nothing any more.
        look = self._loop.call_later(self.seconds * 0.98, lambda: step.append(set_up.step))
        try:
            async with asyncio.timeout(self.seconds):
                connection = await self._connect()
        except Exception as exc:
            step.append(set_up.step)
            raise unreachable(
                exc,
                self.host,
                step=step[0],
                seconds=self.seconds,
                began=set_up.began,
                known=bool(self.made),
                proxy=self.proxy,
            ) from exc
        finally:
            look.cancel()
            _current.reset(token)
            self._under_way.discard(set_up)
            self._changed()
        self._open.add(connection)
        if (protocol := connection.protocol) is not None and (closed := protocol.closed) is not None:
            closed.add_done_callback(partial(self._lost, connection))
        self.made += 1
        self._took = min(self._took, set_up.took(self._loop.time()))
        return connection

    def _lost(self, connection: Connection, closed: asyncio.Future[None]) -> None:
        if not closed.cancelled():
            closed.exception()  # or it would be logged as one that nobody took note of
        if any(each is connection for each, _ in self._ready):
            self._ready = deque(each for each in self._ready if each[0] is not connection)
            self.close(connection)

    def _close_idle(self) -> None:
        oldest = self._loop.time() - IDLE_SECONDS
        while self._ready and self._ready[0][1] <= oldest:
            self.close(self._ready.popleft()[0])
        self._tidy = None
        if self._ready:
            self._tidy = self._loop.call_at(self._ready[0][1] + IDLE_SECONDS, self._close_idle)


def _is_alive(connection: Connection) -> bool:
    protocol = connection.protocol
    return protocol is not None and protocol.is_connected() and not protocol.should_close


def _is_connected(sock: socket.socket) -> bool:
    with suppress(OSError):
        sock.getpeername()
        return True
    return False
