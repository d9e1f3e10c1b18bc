"""Outcomes on their way into the ledger: in batches, on disk while Redis takes none, said again after its restart."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice

import msgspec
import redis

from flows.delivery.context import Context
from flows.delivery.job import Entry
from flows.delivery.journal import Journal
from flows.errors import LimitLost
from flows.ledger.moves import Answer
from flows.ledger.patience import AWAY_SECONDS, Outage, patiently
from flows.records import RowState

logger = logging.getLogger(__name__)

FLUSH_ROWS = 200  # outcomes a write: Redis' cost a row is flat from here on
FLUSH_SECONDS = 0.01  # outcomes wait this long for company
KEEP_SECONDS = 10.0  # acknowledged outcomes are remembered this long, in case Redis comes back without them
_ANSWERS = msgspec.msgpack.Decoder(list[Answer])


def _batches(answers: list[Answer]) -> Iterator[list[Answer]]:
    for first in range(0, len(answers), FLUSH_ROWS):
        yield answers[first : first + FLUSH_ROWS]


class Recorder:
    """Writes one run's outcomes.

    `on_taken` hears of each parcel which states the ledger gave its rows (None: the claim was another's by then), and
    `on_kept` of each that stays on the disk for the next who takes up the run, after that has been stopped.
    """

    def __init__(
        self,
        context: Context,
        journal: Journal,
        *,
        on_taken: Callable[[Entry, Sequence[RowState | None]], None],
        on_kept: Callable[[Entry], None],
    ) -> None:
        self._run, self._ledger, self._journal, self._call = context.run, context.ledger, journal, context.call
        self._clock, self._give_up, self._event, self._stop = (
            context.clock,
            context.give_up_seconds,
            context.event,
            context.stop,
        )
        self._on_taken, self._on_kept = on_taken, on_kept
        self._buffer: list[Entry] = []
        self._filled = asyncio.Event()
        self._recent: deque[tuple[float, bytes]] = deque()  # packed: tens of thousands are remembered at full speed
        self._journaled = 0  # so many of the buffer, from its beginning, lie on the disk
        self._refused = Outage(context.clock)

    def __len__(self) -> int:
        """How many parcels' outcomes the ledger has not got."""
        return len(self._buffer)

    def put(self, entry: Entry) -> None:
        """Record the outcomes of a parcel soon."""
        self._buffer.append(entry)
        self._filled.set()

    async def replay(self) -> None:
        """Tell the ledger what the disk has kept of earlier deliverers. Raises redis.RedisError."""
        for answers in _batches(await self._call(self._journal.read)):
            say = partial(self._ledger.answer, self._run, answers)
            await self._call(patiently, say, seconds=self._give_up)
        await self._call(self._journal.clear)

    async def say_again(self) -> None:
        """Tell a Redis that was restarted what it had acknowledged before and may have lost."""
        some: list[Answer] = []
        for _, packed in list(self._recent):
            some += _ANSWERS.decode(packed)
            if len(some) >= FLUSH_ROWS:
                await self._say(some)
                some = []
        await self._say(some)

    async def _say(self, answers: list[Answer]) -> None:
        for some in _batches(answers):
            await self._call(self._ledger.answer, self._run, some)

    def forget(self, heard: float) -> None:
        """What was acknowledged long enough before Redis was last heard, by the clock, is on its disk."""
        while self._recent and self._recent[0][0] < heard - KEEP_SECONDS:
            self._recent.popleft()

    async def record(self) -> None:
        """Write what there is, for ever."""
        while True:
            await self._filled.wait()
            if len(self._buffer) < FLUSH_ROWS:
                await asyncio.sleep(FLUSH_SECONDS)
            self._filled.clear()
            while self._buffer:
                await self._flush()

    async def _flush(self) -> None:
        entries = self._buffer[:FLUSH_ROWS]
        answers = [answer for entry in entries for answer in entry.answers]
        try:
            taken = [
                state for some in _batches(answers) for state in await self._call(self._ledger.answer, self._run, some)
            ]
        except redis.RedisError as exc:
            await self._keep_on_disk(str(exc))
            if self._refused.lasts(self._give_up):
                self._stop(LimitLost(f"Redis has taken no outcomes for {self._give_up:g} s: {exc}"))
                await self.give_up()
            else:
                await asyncio.sleep(AWAY_SECONDS)
            return
        self._refused.over()
        del self._buffer[: len(entries)]
        self._recent.append((self._clock(), msgspec.msgpack.encode(answers)))
        states = iter(taken)
        for entry in entries:
            self._on_taken(entry, list(islice(states, len(entry.answers))))
        if self._journaled:
            await self._clear_disk(len(entries))

    async def _clear_disk(self, recorded: int) -> None:
        """The ledger has so many more of what lies on disk; the file goes when it has them all."""
        self._journaled = max(0, self._journaled - recorded)
        if not self._journaled:
            with suppress(OSError):  # what is said twice does no harm
                await self._call(self._journal.clear)

    async def drain(self, seconds: float) -> None:
        """Wait until the ledger has all, at most so long."""
        deadline = self._clock() + seconds
        while self._buffer and self._clock() < deadline:
            self._filled.set()
            await asyncio.sleep(FLUSH_SECONDS)

    async def give_up(self) -> None:
        """Let go of the outcomes that the ledger does not take; a resume reads them from the disk."""
        while self._buffer:
            try:
                await self._keep_on_disk("it has been given up")
            except Exception:
                logger.exception("%d outcomes are only in the log: %s", len(self._buffer), self._buffer)
            kept, self._buffer, self._journaled = self._buffer, [], 0
            for entry in kept:
                self._on_kept(entry)

    async def _keep_on_disk(self, why: str) -> None:
        entries = self._buffer[self._journaled :]
        fresh = [answer for entry in entries for answer in entry.answers]
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
        self._journaled += len(entries)
