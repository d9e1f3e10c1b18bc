"""Token requests that count at the API: each under a permit, and whoever waits for one holds up nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from flows.credentials.errand import START_SECONDS
from flows.credentials.store import Held, Store
from flows.limit.clock import Clock
from flows.limit.limiter import Permit, StalePermit

Acquire = Callable[[], Awaitable[Permit]]


class Overtaken(Exception):
    """While a permit was waited for, another process began to renew the token, or has done it."""


class Paying:
    """Of one token in one process. `acquire` grants a permit; None where token requests do not count.

    `waited_seconds` is how long all permits so far were waited for.

    Whoever waits for a permit does not have the lock meanwhile: a limit may be paused for an hour. So several may wait,
    and the first of them that gets a permit takes the lock, and asks.
    """

    def __init__(self, acquire: Acquire | None, store: Store, clock: Clock) -> None:
        self._acquire, self._store, self._clock = acquire, store, clock
        self.counts, self.waited_seconds = acquire is not None, 0.0

    @asynccontextmanager
    async def paid(self, held: Held) -> AsyncIterator[None]:
        """One arrival at the API, where it is one: under a permit, and with the lock.

        Raises Overtaken where another process renews what is `held`, or has done it, before there is a permit.
        """
        if self._acquire is None:
            yield
            return
        permit = await self._permitted(self._acquire, held)
        try:
            yield
        except BaseException:
            permit.lost()
            raise
        permit.answered()
        permit.finished()

    async def _permitted(self, acquire: Acquire, held: Held) -> Permit:
        while True:
            began = self._clock()
            permit = await acquire()
            try:
                await permit.wait()
                self.waited_seconds += self._clock() - began
                taken, now = await asyncio.to_thread(self._store.take, START_SECONDS)
                if not taken or now.generation != held.generation:
                    raise Overtaken
                permit.check()
            except StalePermit:
                await asyncio.to_thread(self._store.free)
                continue
            except BaseException:
                permit.unused()
                raise
            return permit
