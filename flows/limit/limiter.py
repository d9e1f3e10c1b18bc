"""The shared limit: no window of `seconds` ever holds more than `requests` arrivals, as the receiver counts them.

A slot is taken before a request is sent and becomes free one window after the head of its answer came. All
processes keep their slots in one Redis; `limiter.lua` is the rule and its guards. Who wants to send acquires a
permit, waits for its start, checks it right before the write, and reports what became of it:

    async with Limiter(redis_url) as limiter:
        limit = limiter.limit(terms)
        for permit in await limit.acquire(1):
            await permit.wait()
            ...  # connect, permit.check(), write, read the head, permit.answered(), read the body, permit.finished()

What it rests on: a request that was given up arrives within `grace_seconds` or never (or any within `late_seconds`,
if stated), counted from when its connection was closed, which a process that was frozen meanwhile does late; nobody
else uses the same account; one Redis that neither evicts, fails over nor is restored from a backup while requests of
the last window may still count.

A stop (a pause, or the latch after a ban) holds in this process at once. Redis is told as soon as it answers; until
then the stop lies in `stops_folder`, where the next process finds it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
from pathlib import Path
from typing import Any, Self

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from flows.limit.asker import ANSWER_SECONDS, CONNECT_SECONDS, end
from flows.limit.clock import Clock, boot_time
from flows.limit.counters import Counters
from flows.limit.limit import Limit
from flows.limit.permit import Permit, StalePermit
from flows.limit.script import EVENTS, SCRIPT, LimitScript, decoded
from flows.limit.status import LimitStatus, names, open_limit, status, trust
from flows.limit.stops import Stops
from flows.records import LimitTerms

__all__ = [
    "Counters",
    "Limit",
    "LimitStatus",
    "Limiter",
    "Permit",
    "StalePermit",
    "names",
    "open_limit",
    "status",
    "trust",
]


class Limiter:
    """All limits of one process and event loop. `async with` it; one asker a limit talks to Redis.

    `redis_url` may also be a redis.asyncio client, which is then left open; it should neither retry nor wait long.
    `clock` must count suspended time; `stops_folder` keeps what Redis has not heard of; `script` is there for tests.
    """

    def __init__(
        self,
        redis_url: str | redis.asyncio.Redis,
        *,
        asker_id: str = "",
        give_up_seconds: float = 300.0,
        clock: Clock = boot_time,
        stops_folder: Path | None = None,
        script: str = SCRIPT,
    ) -> None:
        self._own = isinstance(redis_url, str)
        self._client: Any = connect(redis_url) if isinstance(redis_url, str) else redis_url
        self.asker_id = asker_id or f"{os.uname().nodename}-{os.getpid()}-{secrets.token_hex(3)}"
        self._give_up, self._clock, self._text = give_up_seconds, clock, script
        self._stops_folder = stops_folder
        self._limits: dict[tuple[LimitTerms, ...], Limit] = {}
        self._ears: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._ears = asyncio.create_task(self._listen(), name="limit events")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def limit(self, *terms: LimitTerms, together: LimitTerms | None = None) -> Limit:
        """The limit of these terms, or all of them together: a request needs a place under each.

        `together`: what they allow together, if requests cost more than one unit. The same object for the same terms.
        Other numbers under one name: both are kept.
        """
        if terms not in self._limits:
            script = LimitScript(self._client, terms, asker_id=self.asker_id, script=self._text)
            stops = [Stops(self._stops_folder, each.name, clock=self._clock) for each in terms]
            self._limits[terms] = Limit(
                script, terms, clock=self._clock, give_up_seconds=self._give_up, stops=stops, together=together
            )
        return self._limits[terms]

    async def close(self) -> None:
        """Hand back what is unused and stop."""
        await asyncio.gather(*(limit.close() for limit in self._limits.values()))
        if self._ears is not None:
            await end(self._ears)
        if self._own:
            await self._client.aclose()

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(RedisError, OSError):
                await self._hear()
            await asyncio.sleep(random.uniform(0.1, 0.3))

    async def _hear(self) -> None:
        """Pass on what other processes announce. What is missed is learnt with the next visit."""
        async with self._client.pubsub(ignore_subscribe_messages=True) as ears:
            await ears.psubscribe(EVENTS.replace("{*}", "*"))
            while True:
                message = await ears.get_message(timeout=30.0)
                if not message or message["type"] not in ("pmessage", b"pmessage"):
                    continue
                channel, data = decoded(message["channel"]), decoded(message["data"])
                event, _, asker = data.partition(" ")
                for terms, limit in self._limits.items():
                    if asker != self.asker_id and any(f":{{{each.name}}}:" in channel for each in terms):
                        limit.heed(event)


def connect(redis_url: str) -> redis.asyncio.Redis:
    """A client that would rather fail than be late or ask twice."""
    return redis.asyncio.Redis.from_url(
        redis_url,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )
