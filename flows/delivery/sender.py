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
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, ParamSpec, TypeVar

import redis

from flows.client import retry
from flows.client.client import Client, idempotency_key
from flows.errors import LimitLatched, LimitLost, Stopped, Superseded
from flows.ledger import keys as ledger_keys
from flows.ledger.journal import Journal
from flows.ledger.ledger import LEASE_SECONDS, Answer, Ledger
from flows.limit.limiter import Limit, Permit
from flows.limit.pace import Pace
from flows.pipeline.definition import Definition
from flows.records import Row, RowState, Verdict

logger = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

FLUSH_ROWS = 200  # outcomes a write: Redis' cost a row is flat from here on
FLUSH_SECONDS = 0.01  # outcomes wait this long for company
KEEP_SECONDS = 10.0  # acknowledged outcomes are remembered this long, in case Redis comes back without them
RENEW_SECONDS = LEASE_SECONDS / 5
CHART_SECONDS = 900  # of which the chart keeps every second
TRIM_SECONDS = 60  # between two times that older ones are folded into minutes
AWAY_SECONDS = 0.3  # between two tries of a Redis that does not answer


@dataclass(slots=True)
class Batch:
    """Rows that were handed in together, and what became of them."""

    left: int
    done: asyncio.Future[Counter[str]]
    states: Counter[str] = field(default_factory=Counter)

    def end(self, state: str) -> None:
        """One row of the batch needs nothing more here."""
        self.states[state] += 1
        self.left -= 1
        if self.left == 0 and not self.done.done():
            self.done.set_result(self.states)


@dataclass(slots=True)
class _Job:
    row: Row
    batch: Batch
    attempts: int = 0
    first: float = 0.0  # when its first attempt began
    serial: int = 0  # of the claim it holds, or that Redis may have taken; 0: none
    resends: bool = False  # a claim may come from `unknown`: the API knows the row's key


@dataclass(frozen=True, slots=True)
class _Outcome:
    answer: Answer
    job: _Job
    wait: float | None  # seconds until the row's next attempt; None: there is none
    attempted: bool  # False: a claim that is only taken back


class Sender:
    """Delivers rows of one run from this process, until it is drained or has to stop.

    `stopped` says why sending ended early, if it did. The callbacks of `on_event` are plain words for people.
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
    ) -> None:
        self.run = run
        self.stopped: Stopped | None = None
        self.cancelled = False
        self.older = 0  # rows of dead deliverers whose attempts may still be answered
        self.pace = Pace(limit.terms)
        self._definition, self._epoch, self._ledger, self._limit = definition, epoch, ledger, limit
        self._client, self._journal, self._give_up, self._event = client, journal, give_up_seconds, on_event
        self._names = tuple(definition.response.keep)
        self._memory = definition.idempotency_hours * 3600.0 if definition.idempotent else 0.0
        self._serials = count(first_serial)
        self._ready: deque[_Job] = deque()
        self._backing_off: list[tuple[float, int, _Job]] = []
        self._wake = asyncio.Event()
        self._buffer: list[_Outcome] = []
        self._unrecorded = 0  # rows claimed whose outcome the ledger has not got
        self._filled = asyncio.Event()
        self._recent: deque[tuple[float, Answer]] = deque()
        self._flying: dict[int, _Job] = {}
        self._attempts: set[asyncio.Task[None]] = set()
        self._closing = False
        self._streak: tuple[str, int] = ("", 0)
        self._journaled = 0
        self._trimmed = 0
        self._refused_since = 0.0
        self._redis_id = ""
        self._rng = random.Random()
        self._threads = ThreadPoolExecutor(4, "ledger")
        self._workers: list[asyncio.Task[None]] = []

    # -- for the owner ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Replay what the journal kept, then begin to deliver."""
        self._trimmed = int(time.time()) - CHART_SECONDS
        kept = await self._call(self._journal.read)
        for first in range(0, len(kept), FLUSH_ROWS):
            await self._call(self._ledger.answer, self.run, kept[first : first + FLUSH_ROWS])
        await self._call(self._journal.clear)
        self._workers = [
            asyncio.create_task(self._guarded(work)) for work in (self._dispatch, self._record, self._keep)
        ]

    async def _guarded(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except Exception as exc:
            logger.exception("the sender's %s failed", work.__name__)
            self._stop(Stopped(f"Internal error: {exc!r}", hint="Resume the run; if it happens again, report it."))
            if work == self._record:  # whoever is still under way would wait for it in vain
                while self._attempts or self._buffer:
                    await self._give_up_recording()
                    await asyncio.sleep(FLUSH_SECONDS)

    async def deliver(self, rows: Sequence[Row], *, resends: bool = False) -> Counter[str]:
        """Deliver rows; returns how many ended in which state, `left` those that were not sent."""
        batch = Batch(len(rows), asyncio.get_running_loop().create_future())
        if not rows:
            return batch.states
        jobs = [_Job(row, batch, resends=resends) for row in rows]
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
        """End at once: attempts under way are given up, their rows become `unknown`."""
        self.drain(cancelled=True)
        for task in self._attempts:
            task.cancel()

    async def close(self) -> None:
        """Wait for the attempts under way and for their outcomes to be recorded, then end."""
        self.drain()
        while self._attempts:
            await asyncio.wait(self._attempts)
        deadline = time.monotonic() + min(self._give_up, 30.0)
        while self._buffer and time.monotonic() < deadline:
            self._filled.set()
            await asyncio.sleep(0.01)
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
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

    def _give_back(self, job: _Job) -> None:
        """A row that is not sent after all. A claim that Redis may have taken is taken back."""
        if job.serial:
            untried = Verdict(RowState.WAITING, wrote=False, attempted=False)
            self._put(job, untried, None, attempted=False, without_effect=True)
        else:
            job.batch.end("left")

    async def _call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *args, **kwargs))

    # -- permits and claims ----------------------------------------------------------------------------------------

    async def _dispatch(self) -> None:
        try:
            while not self._ending():
                await self._have_rows()
                if self._ending():
                    return
                permits = await self._limit.acquire(self.run, min(len(self._ready), self._room))
                jobs = [self._ready.popleft() for _ in range(min(len(permits), len(self._ready)))]
                for permit in permits[len(jobs) :]:
                    permit.unused()
                if jobs:
                    self._unrecorded += len(jobs)
                    self._spawn(self._block(jobs, permits[: len(jobs)]))
        except Stopped as exc:
            self._stop(exc)

    async def _have_rows(self) -> None:
        while not self._ending():
            now = time.monotonic()
            while self._backing_off and self._backing_off[0][0] <= now:
                self._ready.appendleft(heapq.heappop(self._backing_off)[2])  # its seconds are counted
            if self._ready and self._room > 0:
                return
            self._wake.clear()
            next_due = self._backing_off[0][0] - now if self._backing_off else None
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), next_due)

    @property
    def _room(self) -> int:
        """Rows that may still be claimed: what a kill leaves `unknown` is bounded by what is claimed and unrecorded."""
        return self._limit.terms.in_flight - self._unrecorded

    def _recorded(self, rows: int) -> None:
        self._unrecorded -= rows
        self._wake.set()

    def _spawn(self, coroutine: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(coroutine)
        self._attempts.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._attempts.discard(task)
        if not task.cancelled() and (exc := task.exception()):
            logger.error("an attempt failed inside", exc_info=exc)
            self._stop(Stopped(f"Internal error: {exc!r}", hint="Resume the run; if it happens again, report it."))

    async def _block(self, jobs: list[_Job], permits: list[Permit]) -> None:
        for job in jobs:
            job.serial = job.serial or next(self._serials)
        claiming = asyncio.ensure_future(self._claim(jobs))
        try:
            why, generations = await asyncio.shield(claiming)
        except (Exception, asyncio.CancelledError) as exc:
            # Or the claim, still in its thread, would overtake what takes it back.
            await asyncio.gather(claiming, return_exceptions=True)
            # Redis may have taken the claims: they are asked for again under the same tokens, or taken back.
            self._recorded(len(jobs))
            for job, permit in zip(jobs, permits, strict=True):
                permit.unused()
                self._again(job, AWAY_SECONDS)
            if not isinstance(exc, redis.RedisError):
                raise
            return
        if why != "ok":
            self._recorded(len(jobs))
            for job, permit in zip(jobs, permits, strict=True):
                permit.unused()
                job.serial = 0
                job.batch.end("left")
            self._refused(why)
            return
        for job, permit, generation in zip(jobs, permits, generations, strict=True):
            if generation >= 0:
                self._spawn(self._attempt(job, permit, generation))
                continue
            self._recorded(1)
            permit.unused()
            job.serial = 0
            if generation == -2:
                self._again(job, 0.2)
            else:
                job.batch.end("elsewhere")

    async def _claim(self, jobs: Sequence[_Job]) -> tuple[str, list[int]]:
        return await self._call(
            self._ledger.claim,
            self.run,
            self._epoch,
            [(job.row.row, job.serial) for job in jobs],
            patience_seconds=2 * self._definition.request.timeout_seconds + 1.0,
            idempotency_seconds=self._memory if any(job.resends for job in jobs) else 0.0,
        )

    def _refused(self, why: str) -> None:
        if why == "superseded":
            self._stop(Superseded("Another process has taken over this run."))
        elif why == "cancelled":
            self.drain(cancelled=True)
        else:
            self._stop(Stopped(f"The run is {why}."))

    def _again(self, job: _Job, wait: float) -> None:
        if self._ending():
            self._give_back(job)
            return
        heapq.heappush(self._backing_off, (time.monotonic() + wait, id(job), job))
        self._wake.set()

    # -- attempts --------------------------------------------------------------------------------------------------

    async def _attempt(self, job: _Job, permit: Permit, generation: int) -> None:
        self._flying[job.row.row] = job
        try:
            verdict = await self._send(job, permit, generation)
        except asyncio.CancelledError:
            permit.lost()
            verdict = Verdict(RowState.UNKNOWN, "interrupted before the answer came")
        except Exception as exc:
            logger.exception("row %d failed inside", job.row.row)
            permit.lost()
            verdict = Verdict(RowState.UNKNOWN, f"internal error: {exc!r}")
        finally:
            self._flying.pop(job.row.row, None)
        now = time.monotonic()
        if verdict.attempted:
            job.attempts += 1
            job.first = job.first or now
            if verdict.wrote:
                self.pace.note(permit.start, verdict.took_seconds if verdict.status is not None else None)
        without_effect = verdict.state is RowState.WAITING or not verdict.wrote
        verdict, wait = retry.after(
            verdict,
            attempts=job.attempts,
            elapsed_seconds=now - job.first,
            most=self._definition.retry.attempts,
            most_seconds=self._definition.retry.max_seconds,
            rng=self._rng,
        )
        job.first += verdict.pause_seconds or 0.0
        self._put(job, verdict, wait, without_effect=without_effect)
        await self._heed(verdict)

    async def _send(self, job: _Job, permit: Permit, generation: int) -> Verdict:
        key = idempotency_key(self.run, job.row, generation)
        return await self._client.send(job.row, key=key, permit=permit)

    async def _heed(self, verdict: Verdict) -> None:
        """What an answer means for everybody: a ban, a pause, a row of equal troubles."""
        if verdict.ban:
            self._stop(LimitLatched.of(self._limit.terms.name, verdict.reason))
            await self._limit.latch(verdict.reason, self.run)
        elif verdict.pause_seconds:
            self._event(f"API asked us to wait {verdict.pause_seconds:g} s")
            await self._limit.pause(verdict.pause_seconds, verdict.reason)
        kind = retry.streak_kind(verdict)
        if verdict.attempted:
            self._streak = (kind, self._streak[1] + 1 if kind and kind == self._streak[0] else 1)
        if kind and self._streak[1] >= self._definition.stop_after:
            self._stop(
                Stopped(
                    f"{self._streak[1]} requests in a row ended alike: {verdict.reason}.",
                    hint="Find out why, then resume the run: what is finished stays finished.",
                )
            )

    # -- outcomes --------------------------------------------------------------------------------------------------

    def _put(
        self, job: _Job, verdict: Verdict, wait: float | None, *, without_effect: bool, attempted: bool = True
    ) -> None:
        tail, detail = ledger_keys.pack(
            self._names,
            status=verdict.status,
            took_seconds=verdict.took_seconds,
            kept=verdict.kept,
            reason=verdict.reason,
            excerpt=verdict.excerpt,
        )
        answer = Answer(
            row=job.row.row,
            epoch=self._epoch,
            serial=job.serial,
            state=verdict.state,
            tail=tail,
            detail=detail,
            sent_second=int(time.time() - verdict.took_seconds) if verdict.wrote else None,
            wait_seconds=wait or 0.0,
            without_effect=without_effect,
        )
        self._buffer.append(_Outcome(answer, job, wait, attempted))
        self._filled.set()

    async def _record(self) -> None:
        while True:
            await self._filled.wait()
            if len(self._buffer) < FLUSH_ROWS:
                await asyncio.sleep(FLUSH_SECONDS)
            self._filled.clear()
            while self._buffer:
                await self._flush()

    async def _flush(self) -> None:
        batch = self._buffer[:FLUSH_ROWS]
        answers = [outcome.answer for outcome in batch]
        try:
            taken = await self._call(self._ledger.answer, self.run, answers)
        except redis.RedisError as exc:
            await self._keep_on_disk(str(exc))
            self._refused_since = self._refused_since or time.monotonic()
            if time.monotonic() - self._refused_since > self._give_up:
                self._stop(LimitLost(f"Redis has taken no outcomes for {self._give_up:g} s: {exc}"))
                await self._give_up_recording()
            else:
                await asyncio.sleep(AWAY_SECONDS)
            return
        self._refused_since = 0.0
        del self._buffer[: len(batch)]
        self._recorded(sum(outcome.attempted for outcome in batch))
        now = time.monotonic()
        for outcome, state in zip(batch, taken, strict=True):
            self._recent.append((now, outcome.answer))
            self._end(outcome, state)
        if self._journaled:
            await self._forget(len(batch))

    async def _forget(self, recorded: int) -> None:
        """The ledger has so many more of what lies on disk; the file goes when it has them all."""
        self._journaled = max(0, self._journaled - recorded)
        if not self._journaled:
            with suppress(OSError):  # what is said twice does no harm
                await self._call(self._journal.clear)

    def _end(self, outcome: _Outcome, state: RowState | None) -> None:
        job = outcome.job
        job.serial = 0
        if state is None:
            job.batch.end("elsewhere")
        elif outcome.wait is None:
            job.batch.end("left" if state is RowState.WAITING else state)
        else:
            job.resends = state is RowState.UNKNOWN
            self._again(job, outcome.wait)

    async def _give_up_recording(self) -> None:
        """Let go of the rows whose outcomes the ledger does not take; a resume reads them from the disk."""
        while self._buffer:
            try:
                await self._keep_on_disk("it has been given up")
            except Exception:
                logger.exception("%d outcomes are only in the log: %s", len(self._buffer), self._buffer)
            kept, self._buffer, self._journaled = self._buffer, [], 0
            self._recorded(sum(outcome.attempted for outcome in kept))
            for outcome in kept:
                outcome.job.batch.end("kept")

    async def _keep_on_disk(self, why: str) -> None:
        fresh = [outcome.answer for outcome in self._buffer[self._journaled :]]
        if not fresh:
            return
        try:
            await self._call(self._journal.append, fresh)
        except OSError as exc:
            rows = ", ".join(str(answer.row) for answer in fresh[:20])
            logger.error("%d outcomes are only in memory (rows %s): Redis: %s; disk: %s", len(fresh), rows, why, exc)
            self._event(f"Redis does not take outcomes ({why}), nor does the disk ({exc}); they are kept in memory")
            return
        if not self._journaled:
            self._event(f"Redis does not take outcomes ({why}); they are kept on disk")
        self._journaled += len(fresh)

    # -- keeping the run -------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        heard = time.monotonic()
        while True:
            try:
                before = time.monotonic()
                await self._renew()
                heard = before
                self._forget_recent(heard - KEEP_SECONDS)
            except redis.RedisError:
                if time.monotonic() - heard > self._give_up:
                    self._stop(LimitLost(f"Redis has not answered for {self._give_up:g} s."))
            await asyncio.sleep(RENEW_SECONDS)

    async def _renew(self) -> None:
        """Keep the run, hear whether it is still wanted, and do what is due once in a while."""
        ours, self.older, cancel = await self._call(self._ledger.renew, self.run, self._epoch)
        await self._notice_restart()
        if not ours:
            self._stop(Superseded("Another process has taken over this run."))
            return
        if cancel:
            self.drain(cancelled=True)
        peak = self.pace.settle(self._limit.clock())
        await self._call(partial(self._ledger.facts, self.run, epoch=self._epoch, peak=peak))
        if (old := int(time.time()) - CHART_SECONDS) >= self._trimmed:
            await self._call(self._ledger.trim, self.run, old)
            self._trimmed = old + TRIM_SECONDS

    def _forget_recent(self, before: float) -> None:
        """Outcomes acknowledged so long before Redis was last heard are on its disk."""
        while self._recent and self._recent[0][0] < before:
            self._recent.popleft()

    async def _notice_restart(self) -> None:
        """A Redis that was restarted may have lost its last writes: say again what it had acknowledged."""
        found = str((await self._call(self._ledger.client.info, "server")).get("run_id", ""))
        if self._redis_id and found != self._redis_id:
            self._event("Redis was restarted; the last outcomes were written again")
            flying = list(self._flying.values())
            for first in range(0, len(flying), FLUSH_ROWS):
                await self._claim(flying[first : first + FLUSH_ROWS])
            recent = [answer for _, answer in self._recent]
            for first in range(0, len(recent), FLUSH_ROWS):
                await self._call(self._ledger.answer, self.run, recent[first : first + FLUSH_ROWS])
        self._redis_id = found
