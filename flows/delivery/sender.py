"""The way of a parcel through one process: permit → claim → exchange → outcomes, on one event loop.

Rows come in as slices, wait as parcels for the shared limit, are claimed in the ledger right before their requests
leave, and count as finished only when the ledger has their outcomes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import httpx

from flows.client.client import Client
from flows.delivery.alarm import Alarm
from flows.delivery.asking import Asking
from flows.delivery.bookkeeping import Bookkeeping
from flows.delivery.breaker import Breaker
from flows.delivery.chores import Chores
from flows.delivery.claiming import Claiming
from flows.delivery.connecting import Connecting
from flows.delivery.context import Context
from flows.delivery.demand import Demand
from flows.delivery.dispatch import Dispatch
from flows.delivery.exchanges import Exchanges
from flows.delivery.gate import Gate
from flows.delivery.job import Job, Slice, Ticket
from flows.delivery.journal import Journal
from flows.delivery.packing import packing
from flows.delivery.queue import Queue
from flows.delivery.recorder import FLUSH_ROWS, FLUSH_SECONDS
from flows.delivery.slowing import Slowing
from flows.delivery.staleness import Staleness
from flows.errors import Broken, Stopped
from flows.ledger.ledger import Ledger
from flows.limit.clock import Clock
from flows.limit.limiter import Limit, Permit
from flows.limit.pace import Pace
from flows.pipeline.definition import Definition
from flows.records import Reply, Row

logger = logging.getLogger(__name__)


class Sender:
    """Delivers rows of one run from this process, until it is drained or has to stop.

    `on_event` is told in plain words what people should know; `on_second` is called about once a second, off the loop.
    `clock` shows seconds.
    """

    def __init__(
        self,
        *,
        run: str,
        definition: Definition,
        epoch: int,
        first_serial: int,
        ledger: Ledger,
        limit: Limit,
        client: Client,
        journal: Journal,
        give_up_seconds: float,
        on_event: Callable[[str], None] = lambda text: None,
        on_second: Callable[[], None] = lambda: None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.pace = Pace(limit.terms)
        self._context = context = Context(
            run=run,
            epoch=epoch,
            definition=definition,
            ledger=ledger,
            limit=limit,
            give_up_seconds=give_up_seconds,
            clock=clock,
            event=on_event,
            on_end=self._empty,
            demand=Demand.of(definition),
            admit=client.admit,
        )
        self._limit, self._on_second = limit, on_second
        breaker = Breaker(stop_after=definition.stop_after, in_flight=limit.terms.in_flight)
        self._alarm = Alarm(context, breaker)
        self._slowing = Slowing(context, limit)
        self._staleness = Staleness(clock=limit.clock, on_event=on_event)
        self._exchanges = Exchanges(context, client, on_reply=partial(self._heed, last=False))
        self._asking = Asking(context, client, on_reply=self._heed)
        self._claiming = Claiming(context, first_serial=first_serial)
        self._queue = Queue(clock, packing(client.compiled))
        gate = Gate(breaker, in_flight=limit.terms.in_flight, clock=limit.clock, on_event=on_event)
        self._books = Bookkeeping(context, journal, self._queue, gate)
        connecting = Connecting(
            lambda: client.connections, limit, on_event=on_event, on_trouble=self._alarm.unreachable
        )
        self._dispatch = Dispatch(context, self._queue, gate, connecting, self._claiming, self._books, fly=self._fly)
        self._chores = Chores(context, self._books.recorder, on_restart=self._say_again, on_second=self._every_second)
        self._workers: list[asyncio.Task[None]] = []

    @property
    def stopped(self) -> Stopped | None:
        """Why sending ended early, if it did."""
        return self._context.stopped

    @property
    def cancelled(self) -> bool:
        """Whether somebody wished the run to end."""
        return self._context.cancelled

    @property
    def is_ending(self) -> bool:
        """Whether nothing more is sent."""
        return self._context.is_ending

    async def start(self) -> None:
        """Replay what the journal kept, then begin to deliver."""
        await self._books.recorder.replay()
        for work in (self._dispatch.run, self._books.recorder.record, self._chores.run):
            self._workers.append(asyncio.create_task(self._guarded(work)))

    async def _guarded(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        recorder = self._books.recorder
        try:
            await work()
        except Stopped as exc:
            self._context.stop(exc)
        except Exception as exc:
            logger.exception("the sender's %s failed", work.__qualname__)
            self._context.stop(Broken.of(exc))
            if work == recorder.record:  # whoever is still under way would wait for it in vain
                while self._dispatch or recorder:
                    await recorder.give_up()
                    await asyncio.sleep(FLUSH_SECONDS)

    async def deliver(
        self, rows: Sequence[Row], *, parcels: Sequence[Sequence[Row]] = (), resends: bool = False
    ) -> Counter[str]:
        """Deliver rows; returns how many ended in which state, `left` those that were not sent.

        `parcels` are rows that go as the parcels in which they went before, or not at all.
        """
        whole = Slice(len(rows) + sum(map(len, parcels)), asyncio.get_running_loop().create_future())
        if not whole.left:
            return whole.states
        if resends and self._queue.packing.rows == 1:
            parcels, rows = [*parcels, *([row] for row in rows)], []
        self._queue.add(Ticket(row, whole) for row in rows)
        self._queue.add_whole(
            Job([Ticket(row, whole) for row in each], resends=resends, whole=True) for each in parcels
        )
        if self.is_ending:
            self._empty()
        self._context.wake.set()
        return await whole.done

    async def ask(self, questions: Sequence[tuple[httpx.Request, Row | None]]) -> list[Reply | None]:
        """Ask what changes nothing, under the limits; None where nothing was answered that says anything.

        With each request comes the row that it is about, if it is about one.
        """
        return await self._asking.ask(questions)

    def drain(self, *, cancelled: bool = False) -> None:
        """Take no new rows; those under way are waited for."""
        self._context.end(cancelled=cancelled)

    def stop(self, reason: Stopped) -> None:
        """The same, for a reason that the run ends with."""
        self._context.stop(reason)

    def interrupt(self) -> None:
        """End at once: attempts under way are given up. Rows of which anything was written become `unknown`."""
        self.drain(cancelled=True)
        self._exchanges.break_off()

    async def close(self) -> None:
        """Wait for the attempts under way and for their outcomes to be recorded, then end."""
        self.drain()
        await self._dispatch.landed()
        await self._books.tell_rest()
        await self._books.recorder.drain(min(self._context.give_up_seconds, 30.0))
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await self._books.recorder.give_up()  # or whoever waits for those rows would wait for ever
        self._context.threads.shutdown(wait=True)

    def _empty(self) -> None:
        self._books.give_back(self._queue.clear())

    async def _fly(self, job: Job, permit: Permit, generations: Sequence[int]) -> None:
        came = await self._exchanges.carry(job, permit, generations)
        outcomes = self._books.note(job, came)
        await self._heed(came.reply, came.permit)
        await self._books.tell_kept(outcomes)

    async def _heed(self, reply: Reply, permit: Permit, *, last: bool = True) -> None:
        """What a reply means for everybody."""
        self._staleness.note(permit, wrote=reply.wrote)
        if reply.attempted and reply.wrote:
            self.pace.note(permit.start, reply.took_seconds if reply.status is not None else None)
        await self._alarm.heed(reply, permit, broken_off=self._exchanges.broken_off, last=last)
        await self._slowing.heed(reply)

    async def _say_again(self) -> None:
        """Claims under way and the latest outcomes, of which a restarted Redis may have lost the last."""
        flying = self._exchanges.jobs
        for first in range(0, len(flying), FLUSH_ROWS):
            await self._claiming.claim(flying[first : first + FLUSH_ROWS])
        await self._books.recorder.say_again()

    async def _every_second(self) -> None:
        self.pace.settle(self._limit.clock())
        await self._context.call(self._on_second)
