"""The exchanges of one sender: each request under a permit of its own, until there is an outcome of each row."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from flows.client.client import Client
from flows.client.request import parcel_key
from flows.delivery.job import Job
from flows.limit.limiter import Limit, Permit
from flows.records import Outcome, Parcel, Reply, RowState

logger = logging.getLogger(__name__)

UNTRIED = Reply(RowState.WAITING, wrote=False, attempted=False)
_NO_REQUEST = Reply(RowState.FAILED, wrote=False)


@dataclass(slots=True)
class Came:
    """What an exchange came to: its last permit, the reply to it, and the outcomes by row."""

    permit: Permit
    reply: Reply
    outcomes: list[Outcome]


class Exchanges:
    """Drives exchanges. `on_reply` hears of each reply but an exchange's last, which `carry` returns."""

    def __init__(
        self, run: str, client: Client, limit: Limit, *, on_reply: Callable[[Reply, Permit], Awaitable[None]]
    ) -> None:
        self._run, self._client, self._limit, self._on_reply = run, client, limit, on_reply
        self._under_way: dict[asyncio.Task[None], Job] = {}
        self._broken_off = False

    @property
    def jobs(self) -> list[Job]:
        """What is under way."""
        return list(self._under_way.values())

    @property
    def broken_off(self) -> bool:
        """Whether no answer is waited for any more."""
        return self._broken_off

    def break_off(self) -> None:
        """Give up what is under way: rows of which anything was written become `unknown`. Nothing begins any more."""
        self._broken_off = True
        for task in self._under_way:
            task.cancel()

    async def carry(self, job: Job, permit: Permit, generations: Sequence[int]) -> Came:
        """The exchange of a claimed parcel. It may be broken off at any moment; whether it was, the reply says."""
        task = asyncio.current_task()
        assert task is not None
        came = Came(permit, UNTRIED, [])
        self._under_way[task] = job
        try:
            if self._broken_off:
                permit.unused()
            else:
                await self._drive(job.parcel, generations, came)
                return came
        except asyncio.CancelledError:
            came.permit.lost()
            if not came.permit.is_unused:
                came.reply = Reply(RowState.UNKNOWN, "interrupted before the answer came")
        except Exception as exc:
            logger.exception("rows %s failed inside", job.rows)
            came.permit.lost()
            came.reply = Reply(RowState.UNKNOWN, f"internal error: {exc!r}", wrote=not came.permit.is_unused)
        finally:
            del self._under_way[task]
        reply = came.reply
        came.outcomes = [Outcome(row, reply.means, reply.reason, again=reply.again) for row in job.rows]
        return came

    async def _drive(self, parcel: Parcel, generations: Sequence[int], came: Came) -> None:
        exchange = self._client.exchange(parcel, key=parcel_key(self._run, parcel, generations))
        try:
            request = next(exchange)
        except BaseException as exc:
            came.permit.unused()
            if not isinstance(exc, StopIteration):
                raise
            came.reply, came.outcomes = _NO_REQUEST, exc.value
            return
        while True:
            came.reply = await self._client.send(request, came.permit)
            try:
                request = exchange.send(came.reply)
            except StopIteration as end:
                came.outcomes = end.value
                return
            await self._on_reply(came.reply, came.permit)
            (came.permit,) = await self._limit.acquire(1)
