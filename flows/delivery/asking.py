"""Questions that change nothing: what became of a row, or of a job. Under the limit, until there is an answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import httpx

from flows.client import retry
from flows.client.client import Client
from flows.delivery.context import Context
from flows.errors import Stopped
from flows.limit.limiter import Permit
from flows.limit.places import Places
from flows.records import Reply, Row, RowState

MOST_AT_ONCE = 200


class Asking:
    """Asks for one sender. `on_reply` hears of each reply what it means for everybody."""

    def __init__(
        self, context: Context, client: Client, *, on_reply: Callable[[Reply, Permit], Awaitable[None]]
    ) -> None:
        self._context, self._client, self._on_reply = context, client, on_reply
        self._retry, self._rng = context.definition.retry, random.Random()

    async def ask(self, questions: Sequence[tuple[httpx.Request, Row | None]]) -> list[Reply | None]:
        """What was answered to each, which may be about a row.

        None where nothing was that says anything, or nothing more is to be sent.
        """
        few = asyncio.Semaphore(min(MOST_AT_ONCE, self._context.limit.terms.in_flight))

        async def one(request: httpx.Request, row: Row | None) -> Reply | None:
            async with few:
                return await self._one(request, self._context.demand.places([] if row is None else [row]))

        return list(await asyncio.gather(*(one(request, row) for request, row in questions)))

    async def _one(self, request: httpx.Request, places: Places) -> Reply | None:
        attempts = unconnected = 0
        while (permit := await self._permit(places)) is not None:
            reply = await self._client.send(request, permit)
            await self._on_reply(reply, permit)
            unconnected = unconnected + 1 if reply.no_connection else 0
            if unconnected:
                await self._sleep(retry.before_connecting(unconnected, self._rng))
            if not reply.attempted:
                continue
            if reply.means is not RowState.WAITING or not reply.again:
                return reply
            waits = reply.by_rule is not None and reply.by_rule.means == "wait"
            attempts += not waits
            if attempts >= self._retry.attempts:
                return None
            await self._sleep(reply.pause_seconds or retry.backoff(max(1, attempts), self._rng))
        return None

    async def _permit(self, places: Places) -> Permit | None:
        """The right to ask once more; None where nothing more is to be sent."""
        if self._context.is_ending:
            return None
        granted = asyncio.ensure_future(self._granted(places))
        ended = asyncio.ensure_future(self._context.ended.wait())
        try:
            await asyncio.wait([granted, ended], return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            if not granted.done():
                granted.cancel()  # what it would be granted is handed back
                await asyncio.wait([granted])
        try:
            (permit,) = granted.result()
        except asyncio.CancelledError:
            return None
        except Stopped as exc:
            self._context.stop(exc)
            return None
        if self._context.ended.is_set():
            permit.unused()
            return None
        return permit

    async def _granted(self, places: Places) -> list[Permit]:
        await self._context.admit()
        return await self._context.limit.acquire(1, places)

    async def _sleep(self, seconds: float) -> None:
        """Wait so long, or until nothing more is to be sent."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._context.ended.wait()
