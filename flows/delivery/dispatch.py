"""From the queue into the air: a connection, a permit, a claim, and then the exchange."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import redis

from flows.delivery.bookkeeping import Bookkeeping
from flows.delivery.claiming import Claiming
from flows.delivery.connecting import Connecting
from flows.delivery.context import Context
from flows.delivery.gate import Gate
from flows.delivery.job import Job
from flows.delivery.queue import Queue
from flows.errors import Broken, Stopped, Superseded
from flows.ledger.patience import AWAY_SECONDS
from flows.limit.limiter import Permit
from flows.limit.places import Places

logger = logging.getLogger(__name__)

NOT_YET_SECONDS = 0.2  # after which a claim that came too early is tried again
LOOK_AHEAD = 2000  # parcels that may overtake one whose own limit is full
OFFERED = 200  # of them, in one question to the limits
OF_ONE_KIND = 20  # and so many that take the same places


class Dispatch:
    """Lets what waits in `queue` go. `fly` is the way of a parcel that has been claimed, under its permit."""

    def __init__(
        self,
        context: Context,
        queue: Queue,
        gate: Gate,
        connecting: Connecting,
        claiming: Claiming,
        books: Bookkeeping,
        *,
        fly: Callable[[Job, Permit, Sequence[int]], Awaitable[None]],
    ) -> None:
        self._context, self._queue, self._gate, self._connecting = context, queue, gate, connecting
        self._claiming, self._books, self._fly = claiming, books, fly
        self._under_way: set[asyncio.Task[None]] = set()

    def __bool__(self) -> bool:
        """Whether anything is under way."""
        return bool(self._under_way)

    async def landed(self) -> None:
        """Wait until nothing is under way."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def run(self) -> None:
        """Send until there is no more to be sent. Raises Stopped."""
        while True:
            await self._have_parcels()
            if self._context.is_ending:
                return
            if not (most := await self._connecting.have(self._wanted)):
                continue
            await self._context.admit()
            jobs, permits = await self._granted(most)
            if jobs:
                self._gate.leave(len(jobs))
                self._connecting.note_granted(len(jobs))
                self._spawn(self._depart(jobs, permits), jobs)

    async def _granted(self, most: int) -> tuple[list[Job], list[Permit]]:
        """Parcels that may go, each with its permit. Trouble may have been seen while they were waited for."""
        demand = self._context.demand
        if demand.fixed is not None:
            permits = await self._context.limit.acquire(most, demand.fixed)
            jobs = self._queue.take(min(len(permits), self._gate.room))
            unused = permits[len(jobs) :]
        else:
            granted = await self._context.limit.acquire_any(most, self._offer)
            jobs = self._queue.pick([job for job, _ in granted[: self._gate.room]])
            of = {id(job): permit for job, permit in granted}
            permits = [of.pop(id(job)) for job in jobs]
            unused = list(of.values())
        for permit in unused:
            permit.unused()
        return jobs, permits[: len(jobs)]

    def _offer(self) -> list[Job]:
        """Parcels that may go in any order: a few of each value, so that none holds up those of others."""
        if self._context.is_ending:
            return []
        found: list[Job] = []
        times: Counter[Places] = Counter()
        for job in self._queue.offer(LOOK_AHEAD):
            job.places = job.places or self._context.demand.places(job.parcel.rows)
            if why := self._context.demand.too_dear(job.places):
                reason = f"The request of row {job.tickets[0].row.row} {why}, so it can never go."
                self._context.stop(Stopped(reason, hint="Raise the units of the limit, then resume the run."))
                return []
            times[job.places] += 1
            if times[job.places] <= OF_ONE_KIND:
                found.append(job)
                if len(found) == OFFERED:
                    break
        return found

    def _wanted(self) -> int:
        """For how many parcels a permit could be used now."""
        return 0 if self._context.is_ending else min(len(self._queue), self._gate.room)

    async def _have_parcels(self) -> None:
        while not self._context.is_ending and not self._wanted():
            self._context.wake.clear()
            due = [self._queue.next_in, self._gate.opens_in if self._queue else None]
            seconds = min((each for each in due if each is not None), default=None)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._context.wake.wait(), seconds)

    def _spawn(self, coroutine: Coroutine[Any, Any, None], jobs: Sequence[Job]) -> None:
        task = asyncio.create_task(coroutine)
        self._under_way.add(task)
        task.add_done_callback(partial(self._over, jobs=jobs))

    def _over(self, task: asyncio.Task[None], *, jobs: Sequence[Job]) -> None:
        self._under_way.discard(task)
        if task.cancelled() or (exc := task.exception()):
            exc = None if task.cancelled() else exc
            logger.error("an attempt failed inside", exc_info=exc)
            for ticket in (ticket for job in jobs for ticket in (*job.tickets, *job.apart)):
                ticket.slice.abandon()
            self._context.stop(Broken.of(exc))

    async def _depart(self, jobs: list[Job], permits: list[Permit]) -> None:
        flying = 0
        try:
            flying = await self._claim(jobs, permits)
        finally:
            self._connecting.granted -= len(jobs) - flying

    async def _claim(self, jobs: list[Job], permits: list[Permit]) -> int:
        """Claim the parcels and let those that could be claimed fly; returns how many."""
        claimed_before = [bool(job.serial) for job in jobs]
        try:
            why, answers = await self._claiming.claim(jobs)
        except Exception as exc:
            # Redis may have taken the claims: they are asked for again under the same serials, or taken back.
            self._unused(permits)
            for job in jobs:
                self._books.again(job, AWAY_SECONDS)
            if not isinstance(exc, redis.RedisError):
                raise
            self._claiming.failed(exc)
            return 0
        if why != "ok":
            self._unused(permits)
            for job, before in zip(jobs, claimed_before, strict=True):
                job.serial = job.serial if before else 0
            self._books.give_back(jobs)
            self._refused(why)
            return 0
        flying = 0
        for job, permit, generations in zip(jobs, permits, answers, strict=True):
            if min(generations) >= 0:
                flying += 1
                self._spawn(self._fly_one(job, permit, generations), [job])
            else:
                self._unused([permit])
                self._unclaimed(job, generations)
        return flying

    async def _fly_one(self, job: Job, permit: Permit, generations: Sequence[int]) -> None:
        self._connecting.granted -= 1  # it takes its connection at once
        await self._fly(job, permit, generations)

    def _unused(self, permits: Sequence[Permit]) -> None:
        for permit in permits:
            permit.unused()
        self._books.land(len(permits))

    def _unclaimed(self, job: Job, answers: Sequence[int]) -> None:
        """A parcel is not to be had as it is: its rows that are not to be sent at all leave it."""
        job.serial = 0
        late = [ticket for ticket, answer in zip(job.tickets, answers, strict=True) if answer == -2]
        for ticket, answer in zip(job.tickets, answers, strict=True):
            if answer != -2:
                ticket.slice.end("elsewhere")
        if job.resends and len(late) < len(job.tickets):  # as that very parcel it is not to be had any more
            for ticket in late:
                ticket.slice.end("elsewhere")
            late = []
        stays = job.resends or (job.whole and not job.apart and len(late) == len(job.tickets))
        job.tickets, loose, job.places = late, Job(job.apart), ()
        job.others, job.held = [], []
        if loose.tickets:
            self._books.again(loose, 0.0)
        if late:
            job.whole = stays
            self._books.again(job, NOT_YET_SECONDS)

    def _refused(self, why: str) -> None:
        if why == "superseded":
            self._context.stop(Superseded("Another process has taken over this run."))
        elif why == "cancelled":
            self._context.end(cancelled=True)
        else:
            self._context.stop(Stopped(f"The run is {why}."))
