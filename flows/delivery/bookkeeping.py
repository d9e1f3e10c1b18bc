"""What becomes of a parcel's rows: recorded, and sent again where they may be."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from contextlib import suppress

import redis
from msgspec.structs import replace

from flows.client import retry
from flows.client.answer import MESSAGE_CHARACTERS
from flows.delivery.answers import KeptNames
from flows.delivery.context import Context
from flows.delivery.exchanges import UNTRIED, Came
from flows.delivery.gate import Gate
from flows.delivery.job import Entry, Job, Ticket
from flows.delivery.journal import Journal
from flows.delivery.queue import Queue
from flows.delivery.recorder import Recorder
from flows.delivery.splitting import Next, decided, refused
from flows.errors import Stopped
from flows.ledger import keys
from flows.ledger.moves import Answer
from flows.records import Outcome, Reply, RowState

MOST_LET_OUT = 3  # tokens or sessions with which one row was refused in a row, though others may be let in
_LET_OUT = "Look whether the account may do what this row asks for, then resume the run."
MOST_LONG = 10_000  # excerpts that one sender keeps whole: some 20 MB


class Excerpts:
    """Keeps the first `most` long excerpts whole, of all others the beginning: a refused file must not fill Redis."""

    def __init__(self, most: int = MOST_LONG) -> None:
        self._left = most

    def cut(self, excerpt: str) -> str:
        """As much of it as is kept."""
        if len(excerpt) <= MESSAGE_CHARACTERS:
            return excerpt
        self._left -= 1
        return excerpt if self._left >= 0 else excerpt[:MESSAGE_CHARACTERS]


class Bookkeeping:
    """Records the outcomes of one sender. A parcel has landed, and may be queued again, when the ledger has them."""

    def __init__(self, context: Context, journal: Journal, queue: Queue, gate: Gate) -> None:
        self._context, self._queue, self._gate = context, queue, gate
        self._retry = context.definition.retry
        self._names = context.definition.kept
        self._kept_names = KeptNames(context.definition.response.keep)
        self._rng = random.Random()
        self._excerpts = Excerpts()
        self.recorder = Recorder(context, journal, on_taken=self._taken, on_kept=self._kept)

    def note(self, job: Job, came: Came) -> list[Outcome]:
        """What an exchange came to: its outcomes are recorded, and rows that may be sent again will be.

        Returns the outcomes as they are recorded.
        """
        reply, now = came.reply, self._context.clock()
        outcomes, waits, idle = [], [], []
        came.outcomes = [_definite(found, job) for found in came.outcomes]
        for ticket, found in zip(job.tickets, came.outcomes, strict=True):
            if reply.attempted:
                ticket.attempts += found.counts
                ticket.first = ticket.first or now
            ticket.unconnected = ticket.unconnected + 1 if reply.no_connection else 0
            ticket.let_out = ticket.let_out + reply.renews if reply.renews or not reply.attempted else 0
            outcome, wait = retry.after(
                found,
                reply,
                attempts=ticket.attempts,
                elapsed_seconds=now - ticket.first,
                most=self._retry.attempts,
                most_seconds=self._retry.max_seconds,
                rng=self._rng,
                unconnected=ticket.unconnected,
            )
            ticket.first += reply.pause_seconds or 0.0
            outcomes.append(outcome)
            waits.append(wait)
            idle.append(found.state is RowState.WAITING or not reply.wrote)
        self._record(job, reply, outcomes, waits, idle, refused=any(found.refused for found in came.outcomes))
        if any(ticket.let_out >= MOST_LET_OUT for ticket in job.tickets):
            rows = ", ".join(map(str, job.rows[:3]))
            why = f"row {rows}" if len(job.rows) == 1 else f"rows {rows}, …"
            self._context.stop(Stopped(f"The API does not let {why} in, whatever token it comes with.", hint=_LET_OUT))
        return outcomes

    async def tell_kept(self, outcomes: Sequence[Outcome]) -> None:
        """Say what the first answers do not have of what is kept of them."""
        for outcome in outcomes:
            await self._tell(self._kept_names.note(outcome))

    async def tell_rest(self) -> None:
        """The same at the end, where there were no more than a few."""
        await self._tell(self._kept_names.rest())

    async def _tell(self, text: str) -> None:
        if not text:
            return
        self._context.event(text)
        with suppress(redis.RedisError):  # the event was said, or could not be either
            await self._context.call(self._context.ledger.facts, self._context.run, kept_notice=text)

    def again(self, job: Job, seconds: float) -> None:
        """Let a parcel wait so long before it is sent, or give it back where nothing more is."""
        if self._context.is_ending:
            self.give_back([job])
            return
        self._queue.back_off(job, seconds)
        self._context.wake.set()

    def give_back(self, jobs: Sequence[Job]) -> None:
        """Parcels that are not sent after all. A claim that Redis may have taken is taken back."""
        for job in jobs:
            for ticket in job.apart:
                ticket.slice.end("left")
            job.others, job.held = [], []
            if job.serial:
                outcomes = [Outcome(row, RowState.WAITING) for row in job.rows]
                self._record(job, UNTRIED, outcomes, [None] * len(outcomes), [True] * len(outcomes), attempted=False)
            else:
                job.end("left")
        self._context.wake.set()

    def land(self, parcels: int) -> None:
        """So many are not under way any more."""
        self._gate.land(parcels)
        self._context.wake.set()

    def _record(
        self,
        job: Job,
        reply: Reply,
        outcomes: Sequence[Outcome],
        waits: Sequence[float | None],
        idle: Sequence[bool],
        *,
        attempted: bool = True,
        refused: bool = False,
    ) -> None:
        second = int(time.time() - reply.took_seconds) if reply.wrote else None
        lost = len(outcomes) > 1 and any(outcome.state is RowState.UNKNOWN for outcome in outcomes)
        parcel = ",".join(map(str, job.rows)) if lost else ""
        answers = []
        for outcome, wait, without_effect in zip(outcomes, waits, idle, strict=True):
            tail, detail = keys.pack(
                self._names,
                status=reply.status,
                took_seconds=reply.took_seconds,
                kept=outcome.kept,
                reason=outcome.reason,
                excerpt=self._excerpts.cut(outcome.excerpt),
            )
            answers.append(
                Answer(
                    row=outcome.row,
                    epoch=self._context.epoch,
                    serial=job.serial,
                    state=outcome.state,
                    tail=tail,
                    detail=detail,
                    sent_second=second,
                    wait_seconds=wait or 0.0,
                    without_effect=without_effect,
                    parcel=parcel,
                )
            )
            second, parcel = None, ""  # it is one request, however many rows it had
        self.recorder.put(Entry(answers, job, waits, attempted, refused))

    def _kept(self, entry: Entry) -> None:
        if entry.attempted:
            self.land(1)
        for ticket in entry.job.apart:
            ticket.slice.end("left")
        entry.job.end("kept")

    def _taken(self, entry: Entry, states: Sequence[RowState | None]) -> None:
        if entry.attempted:
            self.land(1)
        job = entry.job
        job.serial = 0
        if entry.refused and all(state is RowState.WAITING for state in states):
            self._next(refused(job))
            return
        again: list[tuple[Ticket, RowState, float]] = []
        for ticket, state, wait in zip(job.tickets, states, entry.waits, strict=True):
            if state is None:
                ticket.slice.end("elsewhere")
            elif wait is None:
                ticket.slice.end("left" if state is RowState.WAITING else state)
            else:
                again.append((ticket, state, wait))
        if len(again) == len(states) and len({state for _, state, _ in again}) == 1:
            job.resends = again[0][1] is RowState.UNKNOWN  # only as the parcel that the API knows by its key
            job.whole = job.whole or job.resends  # rows in doubt never travel with others
            self.again(job, max(wait for _, _, wait in again))
            return
        for ticket, state, wait in again:
            if state is RowState.UNKNOWN:
                ticket.slice.end(state)
            else:
                self.again(Job([ticket]), wait)
        if job.apart:
            failed = any(state is RowState.FAILED for state in states)
            lost = any(state is None or state is RowState.UNKNOWN for state in states)
            lost = lost or (job.resends and failed and len(states) > 1)
            is_one = len(states) == 1 and failed
            self._next(Next(loose=job.apart) if lost else decided(job, taken=not is_one))

    def _next(self, following: Next) -> None:
        """What follows on a parcel that was refused."""
        for job in reversed(following.whole):
            if self._context.is_ending:
                self.give_back([job])
            else:
                self._queue.first(job)
        loose = Job(following.loose)
        if self._context.is_ending:
            self.give_back([loose])
        elif loose.tickets:
            self._queue.first(loose)
        self._context.wake.set()


def _definite(outcome: Outcome, job: Job) -> Outcome:
    """What a refusal means for a row of a parcel that could only go as it was: that cannot be split."""
    if not outcome.refused or not (job.resends or (job.whole and not job.apart)):
        return outcome
    return replace(outcome, state=RowState.FAILED, again=False, refused=False)
