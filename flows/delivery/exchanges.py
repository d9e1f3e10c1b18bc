"""The exchanges of one sender: each request under a permit of its own, until there is an outcome of each row."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import httpx
import redis

from flows.client.client import Client
from flows.client.exchange import Progress
from flows.client.items import adjusted
from flows.client.request import parcel_keys
from flows.delivery.context import Context
from flows.delivery.job import Job
from flows.delivery.stepping import note_progress
from flows.errors import Stopped
from flows.limit.limiter import Permit
from flows.records import Outcome, Reply, RowState

logger = logging.getLogger(__name__)

UNTRIED = Reply(RowState.WAITING, wrote=False, attempted=False)
_TAKEN_OVER = "another process took the run over between two steps"
_NO_REQUEST = Reply(RowState.FAILED, wrote=False)


@dataclass(slots=True)
class Came:
    """What an exchange came to: its last permit, the reply to it, and the outcomes by row."""

    permit: Permit
    reply: Reply
    outcomes: list[Outcome]
    reads: bool = False  # what is under way changes nothing


class Exchanges:
    """Drives exchanges. `on_reply` hears of each reply but an exchange's last, which `carry` returns."""

    def __init__(
        self, context: Context, client: Client, *, on_reply: Callable[[Reply, Permit], Awaitable[None]]
    ) -> None:
        self._context, self._run, self._limit = context, context.run, context.limit
        self._client, self._on_reply = client, on_reply
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
                await self._drive(job, generations, came)
                came.reply = adjusted(came.reply, came.outcomes)
                return came
        except asyncio.CancelledError:
            came.permit.lost()
            if came.reads:
                came.reply = UNTRIED
            elif not came.permit.is_unused:
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

    async def _drive(self, job: Job, generations: Sequence[int], came: Came) -> None:
        key, own_keys = parcel_keys(self._run, job.parcel, generations)
        exchange = self._client.exchange(job.parcel, key=key, own_keys=own_keys, parts=job.parts, progress=job.progress)
        try:
            step = next(exchange)
        except BaseException as exc:
            came.permit.unused()
            if not isinstance(exc, StopIteration):
                raise
            came.reply, came.outcomes = _NO_REQUEST, exc.value
            return
        asked = False  # a request was sent, so that the next one needs a permit of its own
        try:
            while True:
                if isinstance(step, Progress):
                    if why := await self._noted(job, step):
                        came.outcomes = [Outcome(row, RowState.UNKNOWN, why) for row in job.rows]
                        return
                    step = exchange.send(None)
                    continue
                if asked:
                    await self._on_reply(came.reply, came.permit)
                    if not await self._next_permit(job, came):
                        return
                if not await self._may_go(job, step, came):
                    return
                came.reply, asked = await self._client.send(step, came.permit), True
                step = exchange.send(came.reply)
        except StopIteration as end:
            came.outcomes = end.value

    async def _next_permit(self, job: Job, came: Came) -> bool:
        """A permit for another request; False where nothing more is sent, and the row goes on another time."""
        came.reads = True  # nothing is under way
        try:
            (came.permit,) = await self._limit.acquire(1)
        except Stopped as exc:
            self._context.stop(exc)
            came.reply = UNTRIED
            came.outcomes = [Outcome(row, RowState.WAITING) for row in job.rows]
            return False
        return True

    async def _may_go(self, job: Job, request: httpx.Request, came: Came) -> bool:
        """Note that a step that writes goes now; it does not where that cannot be noted."""
        progress: Progress | None = request.extensions.get("progress")
        if progress is None:
            return True
        if not progress.writes or not await self._noted(job, progress):
            came.reads = not progress.writes
            return True
        came.permit.unused()
        came.reply = UNTRIED
        came.outcomes = [Outcome(row, RowState.WAITING) for row in job.rows]
        return False

    async def _noted(self, job: Job, progress: Progress) -> str:
        """Note how far the steps of a row are; why that was not taken, or ""."""
        try:
            return "" if await note_progress(self._context, job, progress) else _TAKEN_OVER
        except redis.RedisError as exc:
            return f"Redis did not take how far the steps are: {exc}"
