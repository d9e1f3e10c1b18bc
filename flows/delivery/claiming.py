"""Claims of parcels in the ledger, right before their requests leave: their numbers, and a Redis that refuses them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import redis

from flows.delivery.context import Context
from flows.delivery.job import Job
from flows.delivery.packing import held_names, key_of
from flows.delivery.stepping import notes_of
from flows.errors import Stopped
from flows.ledger.ledger import SERIALS
from flows.ledger.moves import Claim
from flows.ledger.patience import Outage, may_pass


class Claiming:
    """Claims parcels under one epoch."""

    def __init__(self, context: Context, *, first_serial: int) -> None:
        self._context = context
        definition = context.definition
        self._patience = 2 * definition.timeout_seconds + 1.0
        self._memory = definition.idempotency_hours * 3600.0 if definition.idempotent else 0.0
        self.serials = iter(range(first_serial, first_serial + SERIALS))
        self._numbering = asyncio.Lock()
        self._refused = Outage(context.clock)

    async def claim(self, jobs: Sequence[Job]) -> tuple[str, list[list[int]]]:
        """As `Ledger.claim` answers. Repeated for the same jobs it does no harm. Raises redis.RedisError."""
        for job in jobs:
            job.serial = job.serial or next(self.serials, 0) or await self._serial()
        found = await self._context.call(
            self._context.ledger.claim,
            self._context.run,
            self._context.epoch,
            [Claim(job.rows, job.serial, self._key(job)) for job in jobs],
            patience_seconds=self._patience,
            idempotency_seconds=self._memory if any(job.resends for job in jobs) else 0.0,
        )
        self._refused.over()
        if self._context.definition.steps:
            await self._learn(jobs)
        return found

    def _key(self, job: Job) -> str:
        """What its rows must hold while they are under way, where a lookup of one has to see what another has made."""
        names = held_names(self._context.definition)
        return ",".join(key_of(ticket.row, names) for ticket in job.tickets) if names else ""

    async def _learn(self, jobs: Sequence[Job]) -> None:
        """How far the steps of these rows were before."""
        found = await self._context.call(
            notes_of, self._context.ledger.client, self._context.run, [job.rows[0] for job in jobs]
        )
        for job, note in zip(jobs, found, strict=True):
            job.note = note

    async def _serial(self) -> int:
        """The next claim number. They rise, as they order the claims of a row, and no process has another's."""
        async with self._numbering:
            if (serial := next(self.serials, None)) is None:
                serial = await self._context.call(self._context.ledger.serials, self._context.run)
                self.serials = iter(range(serial + 1, serial + SERIALS))
            return serial

    def failed(self, exc: redis.RedisError) -> None:
        """Stop the run where Redis refuses claims for good. One that is merely away is waited for elsewhere."""
        if not isinstance(exc, redis.ResponseError):
            return
        if self._refused.since is None:
            self._context.event(f"Redis refuses claims, so nothing is sent: {exc}")
        if self._refused.lasts(self._context.give_up_seconds) or not may_pass(exc):
            self._context.stop(Stopped(f"Redis refuses claims: {exc}", hint="Mend that, then resume the run."))
