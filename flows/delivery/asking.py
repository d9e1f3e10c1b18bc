"""Questions that change nothing: what became of a row, or of a job. Under the limit, until there is an answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

import httpx

from flows.client import retry
from flows.client.client import Client
from flows.delivery.context import Context
from flows.errors import Stopped
from flows.limit.limiter import Permit
from flows.records import Reply, RowState

MOST_AT_ONCE = 200


class Asking:
    """Asks for one sender. `on_reply` hears of each reply what it means for everybody."""

    def __init__(
        self, context: Context, client: Client, *, on_reply: Callable[[Reply, Permit], Awaitable[None]]
    ) -> None:
        self._context, self._client, self._on_reply = context, client, on_reply
        self._retry, self._rng = context.definition.retry, random.Random()

    async def ask(self, requests: Sequence[httpx.Request]) -> list[Reply | None]:
        """What was answered to each; None where nothing was that says anything, or nothing more is to be sent."""
        few = asyncio.Semaphore(min(MOST_AT_ONCE, self._context.limit.terms.in_flight))

        async def one(request: httpx.Request) -> Reply | None:
            async with few:
                return await self._one(request)

        return list(await asyncio.gather(*map(one, requests)))

    async def _one(self, request: httpx.Request) -> Reply | None:
        attempts = 0
        while not self._context.is_ending:
            try:
                (permit,) = await self._context.limit.acquire(1)
            except Stopped as exc:
                self._context.stop(exc)
                return None
            reply = await self._client.send(request, permit)
            await self._on_reply(reply, permit)
            if not reply.attempted:
                continue
            if reply.means is not RowState.WAITING or not reply.again:
                return reply
            waits = reply.by_rule is not None and reply.by_rule.means == "wait"
            attempts += not waits
            if attempts >= self._retry.attempts:
                return None
            await asyncio.sleep(reply.pause_seconds or retry.backoff(max(1, attempts), self._rng))
        return None
