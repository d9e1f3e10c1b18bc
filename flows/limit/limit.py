"""One process's share of a limit, as senders and permits see it."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from functools import partial

from flows.limit.asker import Asker, Counters, latched, waiting_for
from flows.limit.clock import Clock
from flows.limit.permit import Permit
from flows.limit.script import LimitScript, Report, fresh_seconds
from flows.limit.stops import Stops
from flows.limit.unheard import Unheard
from flows.limit.waiting import Waiter
from flows.records import LimitTerms

log = logging.getLogger(__name__)


class Limit:
    """This process's share of one limit. Made by `Limiter.limit`."""

    def __init__(
        self, script: LimitScript, terms: LimitTerms, *, clock: Clock, give_up_seconds: float, stops: Stops
    ) -> None:
        self.terms, self.clock = terms, clock
        self.fresh_seconds = fresh_seconds(terms)
        self.generation = 0
        self.void_because = ""
        self.other_numbers = False  # somebody uses this limit with other numbers; both are kept
        self.on_event: Callable[[str], None] = log.info  # told in plain words what people should know
        self._unheard = Unheard(terms.name, stops)
        self._asker = Asker(script, terms, self, self._unheard, clock=clock, give_up=give_up_seconds)
        self._closed = False
        if self._unheard:
            self._asker.start()

    async def acquire(self, want: int = 1) -> list[Permit]:
        """Wait for 1 to `want` permits. They start 0.15 s from now at most, and where Redis is far away from anybody so
        much later as a round trip there takes, up to 0.5 s. Unused ones must be handed back.

        First come, first served. Cancelling leaks nothing. Raises LimitLatched when the limit is latched, and LimitLost
        when Redis has not answered for `give_up_seconds`.
        """
        if want < 1:
            raise ValueError(f"want must be at least 1, not {want}")
        if self._closed:
            raise RuntimeError("the limiter is closed")
        if latch := self._unheard.latch:
            raise latched(self.terms.name, json.loads(latch.id))
        waiter, waiting = Waiter(want), self._asker.waiting
        if not waiting:
            self._asker.expect()
        waiting.add(waiter)
        self._asker.start()
        try:
            return await waiter.future
        except asyncio.CancelledError:
            waiting.remove(waiter)
            if waiter.future.done() and not waiter.future.cancelled() and not waiter.future.exception():
                for permit in waiter.future.result():
                    permit.unused()
            raise

    async def pause(self, seconds: float, reason: str) -> None:
        """Let nobody who shares the limit send for `seconds`; permits not yet used are void, here at once.

        Returns when Redis has been told, or did not answer; then it is told as soon as it does.
        """
        await self._stop(Report("p", reason, self.clock() + seconds), "the API asked for a pause")

    async def latch(self, reason: str, run: str) -> None:
        """Let nobody who shares the limit send until a person opens it (`open_limit`). Otherwise like `pause`."""
        found = {"reason": reason, "run": run, "at": time.time()}
        await self._stop(Report("l", json.dumps(found)), "the limit was latched")
        self._asker.waiting.fail(partial(latched, self.terms.name, found))

    async def _stop(self, stop: Report, why: str) -> None:
        self.void(why)
        self._unheard.add(stop)
        self._asker.start()
        await self._unheard.told(stop, is_away=lambda: self._asker.is_away)

    @property
    def waiting_for(self) -> str:
        """What holds the waiters, in plain words; empty if nobody waits or permits flow."""
        return waiting_for(self._asker)

    @property
    def counters(self) -> Counters:
        """What the limit did in this process."""
        return self._asker.counters

    @property
    def company(self) -> int:
        """How many processes ask at the time, this one included."""
        return self._asker.company

    @property
    def ahead_seconds(self) -> float:
        """How long before their starts permits are granted."""
        return self._asker.ahead_seconds

    def report(self, kind: str, permit: Permit) -> None:
        """Take note of what became of a permit; it goes to Redis with the next visit."""
        self._asker.report(kind, permit)

    def void(self, why: str) -> None:
        """Make every permit that has not been used yet useless."""
        self.generation += 1
        self.void_because = why

    def heed(self, event: str) -> None:
        """Act on what another process told: `pause`, `latch`, `open`, or `free`: a slot was handed back."""
        if event in ("pause", "latch"):
            self.void(f"another process saw a {event}")
        self._asker.hurry()

    def compare_numbers(self, sets: int) -> None:
        """So many sets of numbers are in force; people are told when there is more than one, and when no more."""
        if (sets > 1) == self.other_numbers:
            return
        self.other_numbers = sets > 1
        name = self.terms.name
        if self.other_numbers:
            text = f"another process uses the limit {name!r} with other numbers, or did a moment ago; all are kept"
        else:
            text = f"the limit {name!r} is used with one set of numbers again"
        self.on_event(text)

    async def close(self) -> None:
        """Let go of whoever waits, tell Redis what is left to tell, if it answers, and stop."""
        self._closed = True
        self._asker.waiting.fail(partial(asyncio.CancelledError, "the limiter was closed"))
        await self._asker.close()
