"""The way of a row through one process: permit → claim → attempt → outcome, on one event loop.

Rows come in as batches, wait for the shared limit, are claimed in the ledger right before their requests leave, and
count as finished only when the ledger has their outcome.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, ParamSpec, TypeVar

import redis

from flows.client import retry
from flows.client.breakage import NotReady
from flows.client.client import Client
from flows.client.request import parcel_key
from flows.delivery.answers import KeptNames, Pardon
from flows.delivery.breaker import Breaker
from flows.delivery.connecting import Connecting
from flows.delivery.job import Batch, Entry, Job
from flows.delivery.journal import Journal
from flows.delivery.recorder import FLUSH_ROWS, FLUSH_SECONDS, Recorder
from flows.delivery.staleness import Staleness
from flows.errors import Broken, LimitLatched, LimitLost, Stopped, Superseded
from flows.ledger import keys as ledger_keys
from flows.ledger.connection import AWAY_SECONDS, may_pass
from flows.ledger.ledger import LEASE_SECONDS, SERIALS, Answer, Claim, Ledger
from flows.limit.limiter import Limit, Permit
from flows.limit.pace import Pace
from flows.pipeline.definition import Definition
from flows.records import Outcome, Parcel, Reply, Row, RowState

logger = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

RENEW_SECONDS = LEASE_SECONDS / 5
CHART_SECONDS = 900  # of which the chart keeps every second
PROBING_TOLD_SECONDS = 60.0  # an API in trouble is worth an event once in so long
CLAIMED_AT_ONCE = 400  # rows a block
TRIM_SECONDS = 60  # between two times that older ones are folded into minutes
_UNTRIED = Reply(RowState.WAITING, wrote=False, attempted=False)
_NO_REQUEST = Reply(RowState.FAILED, wrote=False)


class Sender:
    """Delivers rows of one run from this process, until it is drained or has to stop.

    `stopped` says why sending ended early, if it did. `on_event` is told in plain words what people should
    know; `on_renewed` is called, off the loop, each time the run has been kept.
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
        on_renewed: Callable[[], None] = lambda: None,
    ) -> None:
        self.run = run
        self.stopped: Stopped | None = None
        self.cancelled = False
        self.pace = Pace(limit.terms)
        self._definition, self._epoch, self._ledger, self._limit = definition, epoch, ledger, limit
        self._client, self._give_up, self._event, self._on_renewed = client, give_up_seconds, on_event, on_renewed
        self._names = tuple(definition.response.keep)
        self._memory = definition.idempotency_hours * 3600.0 if definition.idempotent else 0.0
        self._serials = iter(range(first_serial, first_serial + SERIALS))
        self._numbering = asyncio.Lock()
        self._claims_refused_since = 0.0
        self._ready: deque[Job] = deque()
        self._backing_off: list[tuple[float, int, Job]] = []
        self._wake = asyncio.Event()
        self._unrecorded = 0  # rows claimed whose outcome the ledger has not got
        self._flying: dict[int, Job] = {}
        self._attempts: set[asyncio.Task[None]] = set()
        self._in_the_air: set[asyncio.Task[None]] = set()  # those of them that may be broken off
        self._closing = self._leaving = False
        self._breaker = Breaker(stop_after=definition.stop_after, in_flight=limit.terms.in_flight)
        self._pardon = Pardon()
        self._kept_names = KeptNames(definition.response.keep)
        self._probing_told = float("-inf")
        self._trimmed = 0
        self._redis_id = ""
        self._rng = random.Random()
        self._threads = ThreadPoolExecutor(4, "ledger")
        self._workers: list[asyncio.Task[None]] = []
        self._connecting = Connecting(
            lambda: client.connections, limit, on_event=on_event, on_trouble=self._unreachable
        )
        self._staleness = Staleness(clock=limit.clock, on_event=on_event)
        self._recorder = Recorder(
            run,
            ledger,
            journal,
            call=self._call,
            give_up_seconds=give_up_seconds,
            on_taken=self._taken,
            on_kept=self._kept,
            on_lost=self._stop,
            on_event=on_event,
        )

    async def start(self) -> None:
        """Replay what the journal kept, then begin to deliver."""
        self._trimmed = int(time.time()) - CHART_SECONDS
        await self._recorder.replay()
        self._workers = [
            asyncio.create_task(self._guarded(work)) for work in (self._dispatch, self._recorder.record, self._keep)
        ]

    async def _guarded(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except Exception as exc:
            logger.exception("the sender's %s failed", work.__name__)
            self._stop(Broken.of(exc))
            if work == self._recorder.record:  # whoever is still under way would wait for it in vain
                while self._attempts or self._recorder:
                    await self._recorder.give_up()
                    await asyncio.sleep(FLUSH_SECONDS)

    async def deliver(self, rows: Sequence[Row], *, resends: bool = False) -> Counter[str]:
        """Deliver rows; returns how many ended in which state, `left` those that were not sent."""
        batch = Batch(len(rows), asyncio.get_running_loop().create_future())
        if not rows:
            return batch.states
        jobs = [Job(row, batch, resends=resends) for row in rows]
        if self._ending():
            for job in jobs:
                job.batch.end("left")
        else:
            self._ready.extend(jobs)
            self._wake.set()
        return await batch.done

    def drain(self, *, cancelled: bool = False) -> None:
        """Take no new rows; those under way are waited for."""
        self.cancelled = self.cancelled or cancelled
        self._closing = True
        self._leave()

    def interrupt(self) -> None:
        """End at once: attempts under way are given up. Rows of which anything was written become `unknown`."""
        self.drain(cancelled=True)
        self._leaving = True
        for task in self._in_the_air:
            task.cancel()

    async def close(self) -> None:
        """Wait for the attempts under way and for their outcomes to be recorded, then end."""
        self.drain()
        while self._attempts:
            await asyncio.wait(self._attempts)
        await self._tell_kept(self._kept_names.rest())
        await self._recorder.drain(min(self._give_up, 30.0))
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await self._recorder.give_up()  # or whoever waits for those rows would wait for ever
        self._threads.shutdown(wait=True)

    def _ending(self) -> bool:
        return self._closing or self.stopped is not None

    def _stop(self, reason: Stopped) -> None:
        if self.stopped is None:
            self.stopped = reason
            self._event(reason.message)
        self._leave()

    def _leave(self) -> None:
        waiting = [*self._ready, *(job for *_, job in self._backing_off)]
        self._ready.clear()
        self._backing_off.clear()
        for job in waiting:
            self._give_back(job)
        self._wake.set()

    def _give_back(self, job: Job) -> None:
        """A row that is not sent after all. A claim that Redis may have taken is taken back."""
        if job.serial:
            untried = Outcome(job.row.row, RowState.WAITING)
            self._put(job, _UNTRIED, untried, None, attempted=False, without_effect=True)
        else:
            job.batch.end("left")

    async def _call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *args, **kwargs))

    async def _dispatch(self) -> None:
        try:
            while not self._ending():
                await self._have_rows()
                if self._ending():
                    return
                if not (most := await self._connecting.have(self._wanted)):
                    continue
                permits = await self._limit.acquire(self.run, most)
                most = min(len(permits), len(self._ready), self._room)  # trouble may have been seen meanwhile
                jobs = [self._ready.popleft() for _ in range(most)]
                for permit in permits[len(jobs) :]:
                    permit.unused()
                if jobs:
                    self._depart(len(jobs))
                    self._connecting.note_granted(len(jobs))
                    self._spawn(self._block(jobs, permits[: len(jobs)]), jobs)
        except Stopped as exc:
            self._stop(exc)

    def _wanted(self) -> int:
        """For how many rows a permit could be used now."""
        return 0 if self._ending() else min(len(self._ready), self._room)

    def _unreachable(self, trouble: NotReady, times: int) -> None:
        now = self._limit.clock()
        began = now - (asyncio.get_running_loop().time() - trouble.began)
        self._breaker.trouble("no connection", left=began, seen=now)
        if self._breaker.is_open:
            reason = self._breaker.reason(str(trouble))
            if times >= self._definition.stop_after:
                reason = f"The API could not be reached {times} times in a row: {trouble}."
            raise Stopped(reason, hint="Find out why, then resume the run: what is finished stays finished.")

    async def _have_rows(self) -> None:
        while not self._ending():
            now = time.monotonic()
            while self._backing_off and self._backing_off[0][0] <= now:
                self._ready.appendleft(heapq.heappop(self._backing_off)[2])  # its seconds are counted
            if self._ready and self._room > 0:
                return
            self._wake.clear()
            due = [self._backing_off[0][0] - now] if self._backing_off else []
            if self._ready and (probe_in := self._breaker.wait(self._unrecorded, self._limit.clock())) is not None:
                due.append(probe_in)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), min(due, default=None))

    @property
    def _room(self) -> int:
        """Rows that may still be claimed: what a kill leaves `unknown` is bounded by what is claimed and unrecorded."""
        free = min(CLAIMED_AT_ONCE, self._limit.terms.in_flight - self._unrecorded)
        return max(0, min(free, self._breaker.room(self._unrecorded, self._limit.clock())))

    def _depart(self, rows: int) -> None:
        self._breaker.leaving(self._unrecorded)
        self._unrecorded += rows
        if self._breaker.probes and self._limit.clock() - self._probing_told > PROBING_TOLD_SECONDS:
            self._probing_told = self._limit.clock()
            self._event("Nothing but trouble comes from the API; it is tried with one request at a time")

    def _recorded(self, rows: int) -> None:
        self._unrecorded -= rows
        self._wake.set()

    def _spawn(self, coroutine: Coroutine[Any, Any, None], jobs: Sequence[Job]) -> None:
        task = asyncio.create_task(coroutine)
        self._attempts.add(task)
        task.add_done_callback(partial(self._over, jobs=jobs))

    def _over(self, task: asyncio.Task[None], *, jobs: Sequence[Job]) -> None:
        self._attempts.discard(task)
        if task.cancelled() or (exc := task.exception()):
            exc = None if task.cancelled() else exc
            logger.error("an attempt failed inside", exc_info=exc)
            for job in jobs:
                job.batch.abandon()
            self._stop(Broken.of(exc))

    async def _block(self, jobs: list[Job], permits: list[Permit]) -> None:
        flying = 0
        try:
            flying = await self._claimed(jobs, permits)
        finally:
            self._connecting.granted -= len(jobs) - flying

    async def _claimed(self, jobs: list[Job], permits: list[Permit]) -> int:
        """Claim the rows and let those that could be claimed fly; returns how many."""
        asked_before = [bool(job.serial) for job in jobs]
        try:
            why, generations = await self._claim(jobs)
        except Exception as exc:
            # Redis may have taken the claims: they are asked for again under the same tokens, or taken back.
            self._recorded(len(jobs))
            for job, permit in zip(jobs, permits, strict=True):
                permit.unused()
                self._again(job, AWAY_SECONDS)
            if not isinstance(exc, redis.RedisError):
                raise
            self._claims_failed(exc)
            return 0
        self._claims_refused_since = 0.0
        if why != "ok":
            self._recorded(len(jobs))
            for job, permit, asked in zip(jobs, permits, asked_before, strict=True):
                permit.unused()
                if not asked:
                    job.serial = 0
                self._give_back(job)
            self._refused(why)
            return 0
        for job, permit, (generation,) in zip(jobs, permits, generations, strict=True):
            if generation >= 0:
                self._spawn(self._attempt(job, permit, generation), [job])
                continue
            self._recorded(1)
            permit.unused()
            job.serial = 0
            if generation == -2:
                self._again(job, 0.2)
            else:
                job.batch.end("elsewhere")
        return sum(generation >= 0 for (generation,) in generations)

    async def _claim(self, jobs: Sequence[Job]) -> tuple[str, list[list[int]]]:
        for job in jobs:
            job.serial = job.serial or await self._serial()
        return await self._call(
            self._ledger.claim,
            self.run,
            self._epoch,
            [Claim((job.row.row,), job.serial) for job in jobs],
            patience_seconds=2 * self._definition.request.timeout_seconds + 1.0,
            idempotency_seconds=self._memory if any(job.resends for job in jobs) else 0.0,
        )

    async def _serial(self) -> int:
        """The next claim number. They rise, as they order the claims of a row, and no process has another's."""
        async with self._numbering:
            if (serial := next(self._serials, None)) is None:
                serial = await self._call(self._ledger.serials, self.run)
                self._serials = iter(range(serial + 1, serial + SERIALS))
            return serial

    def _claims_failed(self, exc: redis.RedisError) -> None:
        """Redis refused to take claims. One that is merely away is waited for elsewhere."""
        if not isinstance(exc, redis.ResponseError):
            return
        if not self._claims_refused_since:
            self._claims_refused_since = time.monotonic()
            self._event(f"Redis refuses claims, so nothing is sent: {exc}")
        if not may_pass(exc) or time.monotonic() - self._claims_refused_since > self._give_up:
            self._stop(Stopped(f"Redis refuses claims: {exc}", hint="Mend that, then resume the run."))

    def _refused(self, why: str) -> None:
        if why == "superseded":
            self._stop(Superseded("Another process has taken over this run."))
        elif why == "cancelled":
            self.drain(cancelled=True)
        else:
            self._stop(Stopped(f"The run is {why}."))

    def _again(self, job: Job, wait: float) -> None:
        if self._ending():
            self._give_back(job)
            return
        heapq.heappush(self._backing_off, (time.monotonic() + wait, id(job), job))
        self._wake.set()

    async def _attempt(self, job: Job, permit: Permit, generation: int) -> None:
        self._connecting.granted -= 1  # it takes its connection at once
        reply, outcomes = await self._fly(job, permit, generation)
        self._staleness.note(permit, wrote=reply.wrote)
        now = time.monotonic()
        if reply.attempted:
            job.attempts += 1
            job.first = job.first or now
            if reply.wrote:
                self.pace.note(permit.start, reply.took_seconds if reply.status is not None else None)
        (found,) = outcomes
        outcome, wait = retry.after(
            found,
            reply,
            attempts=job.attempts,
            elapsed_seconds=now - job.first,
            most=self._definition.retry.attempts,
            most_seconds=self._definition.retry.max_seconds,
            rng=self._rng,
        )
        job.first += reply.pause_seconds or 0.0
        self._put(job, reply, outcome, wait, without_effect=found.state is RowState.WAITING or not reply.wrote)
        if self._pardon.is_spent(reply, left=permit.start, seen=self._limit.clock()):
            reply = replace(reply, ban=True, reason=f"{reply.reason}, and again after that: a ban")
        self._judge(reply, permit.start)
        await self._heed(reply)
        await self._tell_kept(self._kept_names.note(outcome))

    async def _fly(self, job: Job, permit: Permit, generation: int) -> tuple[Reply, list[Outcome]]:
        """The part of an attempt that may be broken off at any moment; whether it was, the reply says."""
        task = asyncio.current_task()
        assert task is not None
        self._flying[job.row.row] = job
        self._in_the_air.add(task)
        try:
            if not self._leaving:
                return await self._exchange(Parcel((job.row,)), permit, [generation])
            permit.unused()
            reply = _UNTRIED
        except asyncio.CancelledError:
            permit.lost()
            reply = _UNTRIED if permit.is_unused else Reply(RowState.UNKNOWN, "interrupted before the answer came")
        except Exception as exc:
            logger.exception("row %d failed inside", job.row.row)
            permit.lost()
            reply = Reply(RowState.UNKNOWN, f"internal error: {exc!r}", wrote=not permit.is_unused)
        finally:
            self._in_the_air.discard(task)
            self._flying.pop(job.row.row, None)
        return reply, [Outcome(job.row.row, reply.means, reply.reason, again=reply.again)]

    async def _exchange(
        self, parcel: Parcel, permit: Permit, generations: Sequence[int]
    ) -> tuple[Reply, list[Outcome]]:
        """Send what the parcel's exchange yields, under a permit each, and feed it the replies."""
        reply = _NO_REQUEST
        exchange = self._client.exchange(parcel, key=parcel_key(self.run, parcel, generations))
        try:
            request = next(exchange)
        except BaseException as exc:
            permit.unused()
            if isinstance(exc, StopIteration):
                return reply, exc.value
            raise
        while True:
            reply = await self._client.send(request, permit)
            try:
                request = exchange.send(reply)
            except StopIteration as end:
                return reply, end.value
            (permit,) = await self._limit.acquire(self.run, 1)

    def _judge(self, reply: Reply, left: float) -> None:
        """Whether the API is in trouble, and has been for so long that the run stops. A ban is a reason of its own."""
        kind = None if reply.ban or self._leaving else retry.trouble(reply)
        if kind is None:
            self._breaker.unsent()
        elif not kind:
            self._breaker.well(left=left)
        else:
            pause = reply.pause_seconds or 0.0
            self._breaker.trouble(kind, left=left, seen=self._limit.clock(), pause_seconds=pause)
        if kind and self._breaker.is_open:
            hint = "Find out why, then resume the run: what is finished stays finished."
            self._stop(Stopped(self._breaker.reason(reply.reason), hint=hint))

    async def _tell_kept(self, text: str) -> None:
        if not text:
            return
        self._event(text)
        with suppress(redis.RedisError):  # the event was said, or could not be either
            await self._call(self._ledger.facts, self.run, kept_notice=text)

    async def _heed(self, reply: Reply) -> None:
        """What a reply means for everybody: a ban, or a pause."""
        if reply.ban:
            self._stop(LimitLatched.of(self._limit.terms.name, reply.reason))
            await self._limit.latch(reply.reason, self.run)
        elif reply.pause_seconds:
            self._event(f"API asked us to wait {reply.pause_seconds:g} s")
            await self._limit.pause(reply.pause_seconds, reply.reason)

    def _put(
        self,
        job: Job,
        reply: Reply,
        outcome: Outcome,
        wait: float | None,
        *,
        without_effect: bool,
        attempted: bool = True,
    ) -> None:
        tail, detail = ledger_keys.pack(
            self._names,
            status=reply.status,
            took_seconds=reply.took_seconds,
            kept=outcome.kept,
            reason=outcome.reason,
            excerpt=outcome.excerpt,
        )
        answer = Answer(
            row=job.row.row,
            epoch=self._epoch,
            serial=job.serial,
            state=outcome.state,
            tail=tail,
            detail=detail,
            sent_second=int(time.time() - reply.took_seconds) if reply.wrote else None,
            wait_seconds=wait or 0.0,
            without_effect=without_effect,
        )
        self._recorder.put(Entry(answer, job, wait, attempted))

    def _kept(self, entry: Entry) -> None:
        if entry.attempted:
            self._recorded(1)
        entry.job.batch.end("kept")

    def _taken(self, entry: Entry, state: RowState | None) -> None:
        if entry.attempted:
            self._recorded(1)
        job = entry.job
        job.serial = 0
        if state is None:
            job.batch.end("elsewhere")
        elif entry.wait is None:
            job.batch.end("left" if state is RowState.WAITING else state)
        else:
            job.resends = state is RowState.UNKNOWN
            self._again(job, entry.wait)

    async def _keep(self) -> None:
        heard = time.monotonic()
        while True:
            try:
                before = time.monotonic()
                await self._renew()
                heard = before
                self._recorder.forget(heard)
            except redis.RedisError:
                if time.monotonic() - heard > self._give_up:
                    self._stop(LimitLost(f"Redis has not answered for {self._give_up:g} s."))
            await asyncio.sleep(RENEW_SECONDS)

    async def _renew(self) -> None:
        """Keep the run, hear whether it is still wanted, and do what is due once in a while."""
        ours, _, cancel = await self._call(self._ledger.renew, self.run, self._epoch)
        await self._notice_restart()
        if not ours:
            self._stop(Superseded("Another process has taken over this run."))
            return
        if cancel:
            self.drain(cancelled=True)
        self.pace.settle(self._limit.clock())
        await self._call(self._on_renewed)
        if (old := int(time.time()) - CHART_SECONDS) >= self._trimmed:
            await self._call(self._ledger.trim, self.run, old)
            self._trimmed = old + TRIM_SECONDS

    async def _notice_restart(self) -> None:
        """A Redis that was restarted may have lost its last writes: say again what it had acknowledged."""
        found = str((await self._call(self._ledger.client.info, "server")).get("run_id", ""))
        if self._redis_id and found != self._redis_id:
            self._event("Redis was restarted; the last outcomes were written again")
            flying = list(self._flying.values())
            for first in range(0, len(flying), FLUSH_ROWS):
                await self._claim(flying[first : first + FLUSH_ROWS])
            await self._recorder.say_again()
        self._redis_id = found
