"""What is due once a second while rows are sent, beside the sending."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import redis

from flows.delivery.context import Context
from flows.delivery.recorder import Recorder
from flows.errors import LimitLost
from flows.ledger.patience import Outage

EVERY_SECONDS = 1.0
CHART_SECONDS = 900  # of which the chart keeps every second
TRIM_SECONDS = 60  # between two times that older ones are folded into minutes


class Chores:
    """Notices a Redis that was restarted or stays away, and keeps the run's chart short.

    `on_restart` says again what a restarted Redis may have lost.
    """

    def __init__(
        self,
        context: Context,
        recorder: Recorder,
        *,
        on_restart: Callable[[], Awaitable[None]],
        on_second: Callable[[], Awaitable[None]],
    ) -> None:
        self._context, self._recorder, self._on_restart, self._on_second = context, recorder, on_restart, on_second
        self._redis_id = ""
        self._trimmed = int(time.time()) - CHART_SECONDS

    async def run(self) -> None:
        """For ever."""
        clock, give_up = self._context.clock, self._context.give_up_seconds
        outage = Outage(clock)
        while True:
            try:
                before = clock()
                await self._once()
                outage.over()
                self._recorder.forget(before)
            except redis.RedisError:
                if outage.lasts(give_up):
                    self._context.stop(LimitLost(f"Redis has not answered for {give_up:g} s."))
            await asyncio.sleep(EVERY_SECONDS)

    async def _once(self) -> None:
        context = self._context
        found = str((await context.call(context.ledger.client.info, "server")).get("run_id", ""))
        if self._redis_id and found != self._redis_id:
            context.event("Redis was restarted; the last outcomes were written again")
            await self._on_restart()
        self._redis_id = found
        await self._on_second()
        if (old := int(time.time()) - CHART_SECONDS) >= self._trimmed:
            await context.call(context.ledger.trim, context.run, old)
            self._trimmed = old + TRIM_SECONDS
