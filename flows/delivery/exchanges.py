"""The exchanges of one sender: each request under a permit of its own, until there is an outcome of each row."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import redis

from flows.client.client import Client
from flows.client.exchange import Note
from flows.client.items import adjusted
from flows.client.question import Question
from flows.client.request import parcel_keys
from flows.delivery.context import Context
from flows.delivery.job import Job
from flows.delivery.stepping import packed
from flows.errors import Stopped
from flows.ledger.patience import AWAY_SECONDS, Outage
from flows.limit.limiter import Permit
from flows.records import Outcome, Reply, RowState

logger = logging.getLogger(__name__)

UNTRIED = Reply(RowState.WAITING, wrote=False, attempted=False)
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
        self._context, self._run = context, context.run
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
            state = RowState.FAILED if came.reads else RowState.UNKNOWN
            why = self._client.compiled.masker.text(f"internal error: {exc!r}")
            came.reply = Reply(state, why, wrote=not came.permit.is_unused)
        finally:
            del self._under_way[task]
        reply = came.reply
        came.outcomes = [Outcome(row, reply.means, reply.reason, again=reply.again) for row in job.rows]
        return came

    async def _drive(self, job: Job, generations: Sequence[int], came: Came) -> None:
        key, own_keys = parcel_keys(self._run, job.parcel, generations)
        exchange = self._client.exchange(job.parcel, key=key, own_keys=own_keys, parts=job.parts, note=job.note)
        try:
            step = next(exchange)
        except BaseException as exc:
            came.permit.unused()
            if not isinstance(exc, StopIteration):
                raise
            came.reply, came.outcomes = _NO_REQUEST, exc.value
            return
        has_permit = True
        try:
            while True:
                if isinstance(step, Note) and step.open is None:
                    came.reads = True  # nothing is under way
                    if not await self._goes_on(job, step, came):
                        return
                    step = exchange.send(None)
                    continue
                if not has_permit:
                    await self._on_reply(came.reply, came.permit)
                    if not (has_permit := await self._next_permit(job, came)):
                        return
                if isinstance(step, Note):
                    if not await self._may_write(job, step, came):
                        return
                    step = exchange.send(None)
                    continue
                question: Question | None = step.extensions.get("question")
                came.reads = question is not None and question.reads
                came.reply, has_permit = await self._client.send(step, came.permit), False
                step = exchange.send(came.reply)
        except StopIteration as end:
            came.outcomes = end.value

    async def _next_permit(self, job: Job, came: Came) -> bool:
        """A permit for another request; False where nothing more is sent, and the row goes on another time."""
        came.reads = True  # nothing is under way
        try:
            await self._context.admit()
            places = self._context.demand.places(job.parcel.rows)
            (came.permit,) = await self._context.limit.acquire(1, places)
        except Stopped as exc:
            self._context.stop(exc)
            self._put_off(job, came)
            return False
        return True

    async def _may_write(self, job: Job, note: Note, came: Came) -> bool:
        """Note that a step that writes goes now; it does not where that is not taken."""
        try:
            if await self._take(job, note) == 1:
                return True
        except redis.RedisError:
            logger.warning("Redis did not take how far row %d is; its next step is put off", job.rows[0])
        came.permit.unused()
        self._put_off(job, came)
        return False

    async def _goes_on(self, job: Job, note: Note, came: Came) -> bool:
        """Note that a step that writes was answered. Redis is waited for: what is lost here may be written again."""
        outage = Outage(self._context.clock)
        while True:
            try:
                taken = await self._take(job, note)
                break
            except redis.RedisError as exc:
                if outage.lasts(self._context.give_up_seconds):
                    why = f"Redis did not take that a step was answered: {exc}"
                    came.outcomes = [Outcome(row, RowState.UNKNOWN, why) for row in job.rows]
                    return False
                await asyncio.sleep(AWAY_SECONDS)
        if taken == 1:
            return True
        await self._on_reply(came.reply, came.permit)
        self._put_off(job, came)
        return False

    def _put_off(self, job: Job, came: Came) -> None:
        """Nothing is under way: the row goes on another time, here or elsewhere."""
        came.reply = UNTRIED
        came.outcomes = [Outcome(row, RowState.WAITING) for row in job.rows]

    async def _take(self, job: Job, note: Note) -> int:
        """1: noted, and it may go on; 2: noted, and it may not; 0: not noted. Raises redis.RedisError."""
        return await self._context.call(
            self._context.ledger.progress,
            self._run,
            self._context.epoch,
            job.rows[0],
            job.serial,
            writes=note.open is not None,
            known=packed(note, self._client.compiled),
            patience_seconds=2 * self._context.definition.timeout_seconds + 1.0,
        )
