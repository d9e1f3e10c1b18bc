"""The one coroutine of a process that visits Redis for its limits: it asks for permits, tells what became of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import random
import secrets
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from itertools import count
from typing import Protocol

from redis.exceptions import RedisError

from flows.errors import LimitLost
from flows.limit.clock import Clock, ClockGuard, Distance
from flows.limit.counters import Counters
from flows.limit.held import UNSURE, latched, waiting_for
from flows.limit.pause import PAUSED, Pause
from flows.limit.permit import Issuer, Permit
from flows.limit.places import Place, Places
from flows.limit.rhythm import HORIZON_SECONDS, POLL_SECONDS, Rhythm
from flows.limit.script import LimitScript, Reply, Report, Visit
from flows.limit.unheard import Unheard
from flows.limit.waiting import Asked, Granted, Waiting, unpaused
from flows.records import LimitTerms

log = logging.getLogger(__name__)

ANSWER_SECONDS = 1.0  # a Redis slower than this counts as away: its permits would be too old
CONNECT_SECONDS = 3.0  # and so does one that cannot be connected to within this
_REPORT_SECONDS = 0.02  # reports wait this long for an ask to travel with
_DOUBT_SECONDS = 5.0  # what a lost reply may have granted is handed back again and again for so long


class Share(Issuer, Protocol):
    """The process' share of the limits, for which the asker asks."""

    def void(self, why: str) -> None:
        """Make every permit that has not been used yet useless."""

    def compare_numbers(self, limit: str, sets: int) -> None:
        """So many sets of numbers are in force under a limit."""


class Asker:
    """Serves all who wait in this process. `share` is what its permits are of; `unheard`, of each limit."""

    def __init__(
        self,
        script: LimitScript,
        terms: Sequence[LimitTerms],
        share: Share,
        unheard: Sequence[Unheard],
        *,
        clock: Clock,
        give_up: float,
        pace: LimitTerms,
    ) -> None:
        self.counters = Counters()
        self.waiting = Waiting()
        self.distance = Distance()
        self.held_by = ""
        self.bound = 0  # the limit that holds it
        self.company = 1  # how many processes ask at the time, this one included
        self._script, self._terms, self._share, self._unheard = script, terms, share, unheard
        self._clock, self._give_up = clock, give_up
        self._prefix, self._next_id = _prefix(), 1
        self._names = [each.name for each in terms]
        self._lead_seconds = min(each.max_timeout_seconds for each in terms)
        self._rhythm = Rhythm(pace)
        self._reports: deque[Report] = deque()
        self._doubtful: list[tuple[float, Report]] = []
        self._guard, self._trusted, self._report_jump = ClockGuard(), 0.0, False
        self._wake = asyncio.Event()
        self._ask_at = self._report_at = self._held_since = 0.0
        self._failing_since: float | None = None
        self._pauses = [Pause(Place(limit)) for limit in range(len(terms))]
        self._task: asyncio.Task[None] | None = None

    @property
    def is_away(self) -> bool:
        """Whether Redis does not answer."""
        return self._failing_since is not None

    @property
    def ahead_seconds(self) -> float:
        """How long before their starts permits are granted."""
        return min(HORIZON_SECONDS, POLL_SECONDS + 2 * self.distance.away)

    @property
    def names(self) -> str:
        """The limits, for people."""
        return ", ".join(self._names)

    def start(self) -> None:
        """Begin to visit, if it is not yet done."""
        if self._task is None:
            self._task = asyncio.create_task(self._serve(), name=f"limit {self.names}")
        self._wake.set()

    def expect(self) -> None:
        """Somebody begins to wait where nobody did."""
        self._held_since = self._clock()
        if self._failing_since is not None:
            self._failing_since = self._held_since

    def report(self, kind: str, permit: Permit) -> None:
        """Take note of what became of a permit; it goes to Redis with the next visit."""
        now = self._clock()
        if not self._reports:
            self._report_at = now + _REPORT_SECONDS
        self._reports.append(Report(kind, permit.id, now, permit.places))
        if kind == "u":
            self.counters.unused += 1
        if kind in "uf" and self.held_by == "in flight":
            self._ask_at = min(self._ask_at, max(now, self._rhythm.visited_at + 0.005))
        self._wake.set()

    def tell(self, report: Report) -> None:
        """Tell it with the next visit, which is now."""
        self._reports.append(report)
        self._report_at = 0.0
        self._wake.set()

    def hurry(self) -> None:
        """Ask at once: something has changed."""
        self._ask_at = 0.0
        self._wake.set()

    async def close(self) -> None:
        """Tell Redis what is left to tell, if it answers, and stop."""
        if self._task is None:
            return
        await end(self._task)
        with contextlib.suppress(RedisError, OSError):
            await self._visit()

    async def _serve(self) -> None:
        while True:
            try:
                await self._until_due()
                await asyncio.sleep(0)  # after a freeze whoever has to give up a request says so first
                await self._visit()
            except (RedisError, OSError) as exc:
                self._failed(exc)
            except Exception as exc:  # a bug must not leave the waiters waiting for ever
                log.exception("the asker of limit %s failed", self.names)
                self.waiting.fail(partial(RuntimeError, f"the limiter failed: {exc!r}"))
                self._failed(exc)

    async def _until_due(self) -> None:
        while True:
            self._wake.clear()
            due = self._due()
            left = math.inf if due is None else due - self._clock()
            if left <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else left):
                    await self._wake.wait()

    def _due(self) -> float | None:
        """When to visit Redis next; None if there is nothing to say."""
        urgent = any(self._unheard) or self._report_jump
        if self.is_away:
            return self._ask_at if self.waiting or self._reports or urgent else None
        moments = [0.0] if urgent else []
        if self.waiting:
            moments.append(self._ask_at)
        if self._reports:
            moments.append(self._report_at)
        return min(moments, default=None)

    async def _visit(self) -> None:
        async with asyncio.timeout(CONNECT_SECONDS + ANSWER_SECONDS):
            await self._script.prepare()
        reports, stops = list(self._reports), [unheard.standing() for unheard in self._unheard]
        self._reports.clear()
        wanted = min(self.waiting.wanted, self._rhythm.block(self.ahead_seconds))
        asked = self.waiting.asked(wanted)
        first, self._next_id = self._next_id, self._next_id + len(asked.offered)
        jumped, self._report_jump = self._report_jump, False
        sent = self._clock()
        self.distance = self._guard.distance(sent)
        self._doubtful = [(until, report) for until, report in self._doubtful if until > sent]
        self.counters.visits += 1
        told = [
            *(stop._replace(places=(Place(limit),)) for limit, some in enumerate(stops) for stop in some),
            *reports,
            *(report for _, report in self._doubtful),
        ]
        visit = Visit(
            wanted=wanted,
            prefix=self._prefix,
            first=first,
            jumped=jumped,
            trusted=self._guard.unset(sent) if jumped else self._trusted,
            away=self.distance.away,
            own_earlier=self.distance.own_earlier,
            moment=self._trusted or time.time(),
            demands=asked.demands,
            reports=[(report, report.number(sent)) for report in told],
        )
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reply = await self._script.visit(visit)
        except BaseException:
            # It may have been carried out all the same: what it granted is handed back, for a while again and again.
            self._reports.extendleft(reversed(reports))
            self._report_jump = self._report_jump or jumped
            self._doubtful += [
                (sent + _DOUBT_SECONDS, Report("u", f"{self._prefix}{number}", places=places))
                for number, places in enumerate(asked.places, first)
            ]
            self._script.loss = None
            self._begin_anew()  # nobody knows how quickly the reports came there
            raise
        if jumped:
            self._guard.told()
        for unheard, some in zip(self._unheard, stops, strict=True):
            unheard.heard(len(some))
        self._take(reply, first, asked, sent, self._clock())

    def _take(self, reply: Reply, first: int, asked: Asked, sent: float, received: float) -> None:
        self._failing_since = None
        self._rhythm.visited(received)
        jumped = self._guard.jumped(reply.now, sent, received)
        if jumped:
            self._report_jump = True
            self.counters.jumps += 1
            for pause in self._pauses:
                pause.forget()
            self._share.void("Redis's clock was set")
        else:
            self._trusted = reply.now
        latch = None
        for pause, name, limit in zip(self._pauses, self._names, reply.limits, strict=True):
            if pause.is_news(limit.paused, reply.now):
                self._share.void(PAUSED)
            if again := pause.reminder(limit.paused, received):
                self.tell(again)
            self._share.compare_numbers(name, limit.sets)
            latch = latch or (limit.latch and (name, limit.latch))
        self.company = max(limit.company for limit in reply.limits)
        granted = unpaused(self._granted(reply, first, asked, sent, received), self._reports)
        all_granted = len(granted) >= asked.wanted
        self._count_wait(received, "" if all_granted else reply.held_by, reply.bound)
        if jumped or latch or any(self._unheard):
            for each in granted:
                each.permit.unused()
            if latch:
                self.waiting.fail(partial(latched, *latch))
        else:
            self.counters.granted += len(granted)
            for permit in self.waiting.share(granted):
                permit.unused()
        unsure = any(limit.unsure in UNSURE for limit in reply.limits)
        if jumped or unsure or (self.distance.away and self._guard.worn):
            self._begin_anew()
        wait = 0.0 if (all_granted and asked.wanted) or jumped else self._rhythm.pause(reply, self.distance.away)
        self._ask_at = received + wait

    def _granted(self, reply: Reply, first: int, asked: Asked, sent: float, received: float) -> list[Granted]:
        each = zip(count(first), reply.starts, asked.places, asked.offered)
        return [
            Granted(self._permit(number, start, reply.now, sent, received, places), *offered)
            for number, start, places, offered in each
            if start is not None
        ]

    def _begin_anew(self) -> None:
        """From here on our requests are another asker's: of those before, less is known by Redis's clock."""
        self._prefix, self._next_id = _prefix(), 1
        self._guard.begin_anew()

    def _permit(self, number: int, start: float, now: float, sent: float, received: float, places: Places) -> Permit:
        away, low, own_earlier = self.distance
        deadline = sent + start + self._lead_seconds
        return Permit(
            self._share,
            f"{self._prefix}{number}",
            start=now + start - low if own_earlier else received + start,
            granted=min(sent + start + away, deadline - self._share.fresh_seconds),
            deadline=deadline,
            places=places,
        )

    def _count_wait(self, now: float, held_by: str, bound: int) -> None:
        if self.held_by and self._held_since:
            why = waiting_for(self) or self.held_by
            of = f" ({self._names[self.bound]})" if len(self._names) > 1 and why != "redis" else ""
            self.counters.held(why + of, now - self._held_since)
        self.held_by, self.bound, self._held_since = held_by, bound, now

    def _failed(self, exc: BaseException) -> None:
        now = self._clock()
        trouble = f"{type(exc).__name__}: {exc}".rstrip(": ")
        self.counters.failures += 1
        for unheard in self._unheard:
            unheard.tell()
        if self._failing_since is None:
            self._failing_since = self._held_since = now
            log.warning("limit %s: no answer from Redis, nothing is sent (%s)", self.names, trouble)
        else:
            self.counters.held("redis", now - self._held_since)
            self._held_since = now
        if now - self._failing_since > self._give_up:
            lost = partial(
                LimitLost,
                f"Redis has not answered for {now - self._failing_since:.0f} s, so the limit {self.names!r} "
                f"cannot be kept and nothing may be sent ({trouble}).",
                hint="Start Redis again (or correct ROWRELAY_REDIS_URL), then resume the run.",
            )
            self.waiting.fail(lost)
        self._ask_at = now + random.uniform(0.1, 0.2)


def _prefix() -> str:
    return f"{os.getpid():x}-{secrets.token_hex(5)}."


async def end(task: asyncio.Task[None]) -> None:
    """Cancel until it is over: redis-py may swallow a cancellation that comes while it connects."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.1)
