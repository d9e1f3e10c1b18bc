"""One process's share of some limits, as senders and permits see it."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar, cast

from flows.limit.asker import Asker
from flows.limit.clock import Clock
from flows.limit.counters import Counters
from flows.limit.held import latched, waiting_for
from flows.limit.pause import PAUSED
from flows.limit.permit import Permit
from flows.limit.places import Place, Places, bounding
from flows.limit.script import LimitScript, Report, fresh_seconds
from flows.limit.stops import Stops
from flows.limit.unheard import Unheard
from flows.limit.waiting import Offer, Waiter
from flows.records import LimitTerms

log = logging.getLogger(__name__)
T = TypeVar("T", bound=Offer)


class Limit:
    """This process's share of the limits that its requests need a place under, all of them at once.

    Made by `Limiter.limit`. `each` holds their terms, and `terms` what they allow together.
    """

    def __init__(
        self,
        script: LimitScript,
        terms: Sequence[LimitTerms],
        *,
        clock: Clock,
        give_up_seconds: float,
        stops: Sequence[Stops],
        together: LimitTerms | None = None,
    ) -> None:
        self.each, self.terms, self.clock = tuple(terms), together or bounding(terms), clock
        self.fresh_seconds = min(map(fresh_seconds, terms))
        self.usual: Places = tuple(Place(index) for index in range(len(terms)))
        self.generation = 0
        self.void_because = ""
        self.other_numbers: set[str] = set()  # limits that somebody uses with other numbers; both are kept
        self.on_event: Callable[[str], None] = log.info  # told in plain words what people should know
        self._unheard = [Unheard(each.name, some) for each, some in zip(terms, stops, strict=True)]
        self._asker = Asker(
            script, self.each, self, self._unheard, clock=clock, give_up=give_up_seconds, pace=self.terms
        )
        self._closed = False
        if any(self._unheard):
            self._asker.start()

    async def acquire(self, want: int = 1, places: Places | None = None) -> list[Permit]:
        """Wait for 1 to `want` permits. They start 0.15 s from now at most, and where Redis is far away from anybody so
        much later as a round trip there takes, up to 0.5 s. Unused ones must be handed back.

        `places`: those that each request takes; by default one under each limit. First come, first served. Cancelling
        leaks nothing. Raises LimitLatched when a limit is latched, and LimitLost when Redis has not answered for
        `give_up_seconds`.
        """
        return [permit for permit, _ in await self._wait(Waiter(want, self.usual if places is None else places))]

    async def acquire_any(self, want: int, offer: Callable[[], Sequence[T]]) -> list[tuple[T, Permit]]:
        """Wait until 1 to `want` of the requests that `offer` offers may go, in its order; no other holds them up.

        It is called whenever Redis is asked, so what it offers may change. Otherwise like `acquire`.
        """
        return [(cast(T, offered), permit) for permit, offered in await self._wait(Waiter(want, (), offer))]

    async def _wait(self, waiter: Waiter) -> list[tuple[Permit, Offer | None]]:
        if waiter.want < 1:
            raise ValueError(f"want must be at least 1, not {waiter.want}")
        if self._closed:
            raise RuntimeError("the limiter is closed")
        for terms, unheard in zip(self.each, self._unheard, strict=True):
            if latch := unheard.latch:
                raise latched(terms.name, json.loads(latch.id))
        waiting = self._asker.waiting
        if not waiting:
            self._asker.expect()
        waiting.add(waiter)
        self._asker.start()
        try:
            return await waiter.future
        except asyncio.CancelledError:
            waiting.remove(waiter)
            if waiter.future.done() and not waiter.future.cancelled() and not waiter.future.exception():
                for permit, _ in waiter.future.result():
                    permit.unused()
            raise

    async def pause(self, seconds: float, reason: str, places: Places | None = None) -> None:
        """Let nobody who shares these limits (all, or those of `places`) send for `seconds`.

        Permits not yet used are void, here at once. Returns when Redis has been told, or did not answer; then it is
        told as soon as it does.
        """
        ends = self.clock() + seconds
        for place in self.usual if places is None else places:
            if place.value:  # one value of many: no other process need remember it
                self.void(PAUSED)
                self._asker.tell(Report("p", reason, ends, (place,)))
                self._asker.start()
            else:
                await self._stop(place.limit, Report("p", reason, ends), PAUSED)

    async def slow(self, remaining: int, seconds: float) -> None:
        """Let at most `remaining` more requests start within `seconds`, evenly, for all who share the first limit.

        Never quicker than the limits allow, nor than what another budget says that still holds.
        """
        self._asker.tell(Report("r", str(remaining), self.clock() + seconds, (Place(0),)))
        self._asker.start()

    async def latch(self, reason: str, run: str) -> None:
        """Let nobody who shares these limits send until a person opens them (`open_limit`). Otherwise like `pause`."""
        found = {"reason": reason, "run": run, "at": time.time()}
        if len(self.each) > 1:
            found["limits"] = [each.name for each in self.each]
        stop = Report("l", json.dumps(found))
        stops = (self._stop(limit, stop, "the limit was latched") for limit in range(len(self.each)))
        await asyncio.gather(*stops)  # none of them waits for another one to be told
        self._asker.waiting.fail(partial(latched, self.each[0].name, found))

    async def _stop(self, limit: int, stop: Report, why: str) -> None:
        self.void(why)
        self._unheard[limit].add(stop)
        self._asker.start()
        await self._unheard[limit].told(stop, is_away=lambda: self._asker.is_away)

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

    def compare_numbers(self, name: str, sets: int) -> None:
        """So many sets of numbers are in force; people are told when there is more than one, and when no more."""
        if (sets > 1) == (name in self.other_numbers):
            return
        self.other_numbers ^= {name}
        if name in self.other_numbers:
            text = f"another process uses the limit {name!r} with other numbers, or did a moment ago; all are kept"
        else:
            text = f"the limit {name!r} is used with one set of numbers again"
        self.on_event(text)

    async def close(self) -> None:
        """Let go of whoever waits, tell Redis what is left to tell, if it answers, and stop."""
        self._closed = True
        self._asker.waiting.fail(partial(asyncio.CancelledError, "the limiter was closed"))
        await self._asker.close()
