"""The shared limit: no window of `seconds` ever holds more than `requests` arrivals, as the receiver counts them.

A slot is taken before a request is sent and becomes free one window after the head of its answer came. All
processes keep their slots in one Redis; `limiter.lua` is the rule and its guards. Who wants to send acquires a
permit, waits for its start, checks it right before the write, and reports what became of it:

    async with Limiter(redis_url) as limiter:
        limit = limiter.limit(terms)
        for permit in await limit.acquire(run, want=1):
            await permit.wait()
            ...  # connect, permit.check(), write, read the head, permit.answered(), read the body, permit.finished()

What it rests on: a request that was given up arrives within `grace_seconds` or never (or any within `late_seconds`,
if stated), counted from when its connection was closed, which a process that was frozen meanwhile does late; nobody
else uses the same account; one Redis that neither evicts, fails over nor is restored from a backup while requests of
the last window may still count.

A stop (a pause, or the latch after a ban) holds in this process at once. Redis is told as soon as it answers; until
then the stop lies in `stops_folder`, where the next process finds it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import os
import random
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from flows.errors import LimitLatched, LimitLost
from flows.limit.clock import Clock, ClockGuard, Distance, boot_time
from flows.limit.permit import Permit, StalePermit
from flows.limit.script import EVENTS, SCRIPT, LimitScript, Reply, Report, decoded, fresh_seconds
from flows.limit.status import LimitStatus, names, open_limit, status, trust
from flows.limit.stops import Stops
from flows.limit.waiters import Waiter, Waiters
from flows.records import LimitTerms

__all__ = ["Limit", "LimitStatus", "Limiter", "Permit", "StalePermit", "names", "open_limit", "status", "trust"]

log = logging.getLogger(__name__)

_ANSWER_SECONDS = 1.0  # a Redis slower than this counts as away: its permits would be too old
_CONNECT_SECONDS = 3.0  # and so does one that cannot be connected to within this
_POLL_SECONDS = 0.1  # starts are granted this far ahead, so that asking this often loses none
_HORIZON_SECONDS = 0.5  # and so far at most, where Redis is far away
_SLEEP_SECONDS = 5.0  # who has longer to wait asks this often: Redis tells what it can, but a message may be lost
_REPORT_SECONDS = 0.02  # reports wait this long for an ask to travel with
_SMOOTHED_SECONDS = 60.0  # windows up to this length are paced evenly
_UNBOUND_BLOCK = 50  # permits a visit where no such window bounds the pace
_UNSURE = ("new", "restart", "clock")
_QUARANTINE = (*_UNSURE, "window")


@dataclass(slots=True)
class Counters:
    """What the limit did in this process. `held_seconds` tells how long waiters waited, by what held them."""

    granted: int = 0
    unused: int = 0
    visits: int = 0
    failures: int = 0
    jumps: int = 0
    held_seconds: dict[str, float] = field(default_factory=dict)

    def held(self, by: str, seconds: float) -> None:
        """Somebody waited."""
        self.held_seconds[by] = self.held_seconds.get(by, 0.0) + seconds


class Limit:
    """This process's share of one limit. Made by `Limiter.limit`."""

    def __init__(
        self, script: LimitScript, terms: LimitTerms, *, clock: Clock, give_up_seconds: float, stops: Stops
    ) -> None:
        self.terms, self.clock = terms, clock
        self.fresh_seconds = fresh_seconds(terms)
        self.counters = Counters()
        self.generation = 0
        self.void_because = ""
        self.other_numbers = False  # somebody uses this limit with other numbers; both are kept
        self.company = 1  # how many processes ask at the time, this one included
        self.on_event: Callable[[str], None] = log.info  # told in plain words what people should know
        self._script, self._give_up = script, give_up_seconds
        self._prefix, self._next_id = _prefix(), 1
        self._waiters = Waiters()
        self._reports: deque[Report] = deque()
        self._doubtful: list[tuple[float, Report]] = []
        self._kept, self._stops = stops, stops.read()  # pauses and latches that Redis has not heard of yet
        self._guard, self._trusted, self._report_jump = ClockGuard(), 0.0, False
        self._wake, self._told = asyncio.Event(), asyncio.Event()
        self._ask_at = self._report_at = 0.0
        self._visited_at = self._cycle = 0.0  # the latest visit; seconds from one to the next, on average
        self._failing_since: float | None = None
        self._trouble = ""
        self._held_by, self._held_since = "", 0.0
        self._paused_until = 0.0  # by Redis's clock
        self._pause_ends = 0.0  # the same by ours, which nobody sets
        self._distance = Distance()
        self._windows = [seconds for _, seconds in terms.windows]
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        if self._stops:
            self._start()

    # For the sender

    async def acquire(self, run: str, want: int = 1) -> list[Permit]:
        """Wait for 1 to `want` permits. They start 0.15 s from now at most, and where Redis is far away from anybody so
        much later as a round trip there takes, up to 0.5 s. Unused ones must be handed back.

        The runs of this process take turns. Cancelling leaks nothing. Raises LimitLatched when the limit is
        latched, and LimitLost when Redis has not answered for `give_up_seconds`.
        """
        if want < 1:
            raise ValueError(f"want must be at least 1, not {want}")
        if self._closed:
            raise RuntimeError("the limiter is closed")
        if latch := next((stop for stop in self._stops if stop.kind == "l"), None):
            raise _latched(self.terms.name, json.loads(latch.id))
        self._start()
        waiter = Waiter(want)
        if not self._waiters:
            self._held_since = self.clock()
            if self._failing_since is not None:
                self._failing_since = self._held_since
        self._waiters.add(run, waiter)
        self._wake.set()
        try:
            return await waiter.future
        except asyncio.CancelledError:
            self._waiters.remove(run, waiter)
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
        text = json.dumps({"reason": reason, "run": run, "at": time.time()})
        await self._stop(Report("l", text), "the limit was latched")
        self._waiters.fail(lambda: _latched(self.terms.name, json.loads(text)))

    @property
    def waiting_for(self) -> str:
        """What holds the waiters, in plain words; empty if nobody waits or permits flow."""
        if not self._waiters:
            return ""
        if self._failing_since is not None:
            return "redis"
        return "quarantine" if self._held_by in _QUARANTINE else self._held_by

    @property
    def ahead_seconds(self) -> float:
        """How long before their starts permits are granted."""
        return min(_HORIZON_SECONDS, _POLL_SECONDS + 2 * self._distance.away)

    # For permits

    def report(self, kind: str, permit: Permit) -> None:
        """Take note of what became of a permit; it goes to Redis with the next visit."""
        now = self.clock()
        if not self._reports:
            self._report_at = now + _REPORT_SECONDS
        self._reports.append(Report(kind, permit.id, now))
        if kind == "u":
            self.counters.unused += 1
        if kind in "uf" and self._held_by == "in flight":
            self._ask_at = min(self._ask_at, max(now, self._visited_at + 0.005))
        self._wake.set()

    def void(self, why: str) -> None:
        """Make every permit that has not been used yet useless."""
        self.generation += 1
        self.void_because = why

    def heed(self, event: str) -> None:
        """Act on what another process told: `pause`, `latch`, `open`, or `free`: a slot was handed back."""
        if event in ("pause", "latch"):
            self.void(f"another process saw a {event}")
        self._ask_at = 0.0
        self._wake.set()

    # The asker: one coroutine that visits Redis for everybody in this process

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._serve(), name=f"limit {self.terms.name}")

    async def _serve(self) -> None:
        while True:
            try:
                await self._until_due()
                await asyncio.sleep(0)  # after a freeze whoever has to give up a request says so first
                await self._visit()
            except (RedisError, OSError) as exc:
                self._failed(exc)
            except Exception as exc:  # a bug must not leave the waiters waiting for ever
                log.exception("the asker of limit %s failed", self.terms.name)
                self._waiters.fail(partial(RuntimeError, f"the limiter failed: {exc!r}"))
                self._failed(exc)

    async def _until_due(self) -> None:
        while True:
            self._wake.clear()
            due = self._due()
            left = math.inf if due is None else due - self.clock()
            if left <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else left):
                    await self._wake.wait()

    def _due(self) -> float | None:
        """When to visit Redis next; None if there is nothing to say."""
        if self._failing_since is not None:
            return self._ask_at if self._waiters or self._reports or self._stops or self._report_jump else None
        moments = []
        if self._stops or self._report_jump:
            moments.append(0.0)
        if self._waiters:
            moments.append(self._ask_at)
        if self._reports:
            moments.append(self._report_at)
        return min(moments, default=None)

    async def _visit(self) -> None:
        async with asyncio.timeout(_CONNECT_SECONDS + _ANSWER_SECONDS):
            await self._script.prepare()
        self._stops = [stop for stop in self._stops if self._kept.stands(stop)]
        reports, stops = list(self._reports), list(self._stops)
        self._reports.clear()
        wanted = min(self._waiters.wanted, self._block())
        first, self._next_id = self._next_id, self._next_id + wanted
        jumped, self._report_jump = self._report_jump, False
        sent = self.clock()
        self._distance = self._guard.distance(sent)
        self._doubtful = [(until, report) for until, report in self._doubtful if until > sent]
        self.counters.visits += 1
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                reply = await self._script.visit(
                    wanted=wanted,
                    prefix=self._prefix,
                    first=first,
                    jumped=jumped,
                    trusted=self._trusted,
                    away=self._distance.away,
                    own_earlier=self._distance.own_earlier,
                    reports=[r.args(sent) for r in (*stops, *reports, *(r for _, r in self._doubtful))],
                )
        except BaseException:
            # It may have been carried out all the same: what it granted is handed back, for a while again and again.
            self._reports.extendleft(reversed(reports))
            self._report_jump = self._report_jump or jumped
            asked = (Report("u", f"{self._prefix}{number}") for number in range(first, first + wanted))
            self._doubtful += [(sent + 5.0, report) for report in asked]
            self._script.loss = None
            self._begin_anew()  # nobody knows how quickly the reports came there
            raise
        self._stops = self._stops[len(stops) :]
        for stop in stops:
            self._kept.forget(stop)
        self._told.set()
        self._take(reply, first, wanted, sent, self.clock())

    def _take(self, reply: Reply, first: int, wanted: int, sent: float, received: float) -> None:
        self._failing_since, self._trouble = None, ""
        if self._visited_at and received - self._visited_at < 1.0:
            self._cycle += 0.1 * (received - self._visited_at - self._cycle)
        self._visited_at = received
        jumped = self._guard.jumped(reply.now, sent, received)
        if jumped:
            self._report_jump = True
            self.counters.jumps += 1
            self._paused_until = 0.0
            self.void("Redis's clock was set")
        else:
            self._trusted = reply.now
        self._mind_pause(reply, received)
        self._compare_numbers(reply.sets)
        self.company = reply.company
        self._count_wait(received, reply.held_by if len(reply.starts) < wanted else "")
        permits = [self._permit(first + i, start, reply.now, sent, received) for i, start in enumerate(reply.starts)]
        if jumped or reply.latch or self._stops:
            for permit in permits:
                permit.unused()
            if reply.latch:
                self._waiters.fail(partial(_latched, self.terms.name, reply.latch))
        else:
            self.counters.granted += len(permits)
            for permit in self._waiters.share(permits):
                permit.unused()
        if jumped or reply.held_by in _UNSURE or (self._distance.away and self._guard.worn):
            self._begin_anew()
        all_granted = len(permits) == wanted
        self._ask_at = received if all_granted or jumped else received + self._pause_before_asking(reply)

    def _begin_anew(self) -> None:
        """From here on our requests are another asker's: of those before, less is known by Redis's clock."""
        self._prefix, self._next_id = _prefix(), 1
        self._guard.begin_anew()

    def _mind_pause(self, reply: Reply, received: float) -> None:
        """Heed a pause, and remind a Redis that has lost one: its clock was set forward, or its memory is gone."""
        if reply.paused and reply.now + reply.paused > self._paused_until + 0.001:
            self._paused_until = reply.now + reply.paused
            self.void("the API asked for a pause")
        ends = received + reply.paused
        if self._pause_ends > ends + _ANSWER_SECONDS:
            self._reports.append(Report("p", "the API asked for a pause", self._pause_ends))
            self._report_at = received
        elif reply.paused:
            self._pause_ends = ends

    def _compare_numbers(self, sets: int) -> None:
        if (sets > 1) == self.other_numbers:
            return
        self.other_numbers = sets > 1
        name = self.terms.name
        if self.other_numbers:
            text = f"another process uses the limit {name!r} with other numbers, or did a moment ago; all are kept"
        else:
            text = f"the limit {name!r} is used with one set of numbers again"
        self.on_event(text)

    def _permit(self, number: int, start: float, now: float, sent: float, received: float) -> Permit:
        away, low, own_earlier = self._distance
        deadline = sent + start + self.terms.max_timeout_seconds
        return Permit(
            self,
            f"{self._prefix}{number}",
            start=now + start - low if own_earlier else received + start,
            granted=min(sent + start + away, deadline - self.fresh_seconds),
            deadline=deadline,
        )

    def _block(self) -> int:
        """How many permits to ask for at once: 20 ms worth, so that other processes get their turn.

        More where a visit and what follows takes longer (a busy machine, a slow disk under Redis), lest the visits
        bound the pace; never more than what is granted ahead.
        """
        rates = [n / seconds for n, seconds in self.terms.windows if seconds <= _SMOOTHED_SECONDS]
        if not rates:
            return _UNBOUND_BLOCK
        return max(1, int(min(rates) * min(self.ahead_seconds, max(0.02, 2 * self._cycle))))

    def _pause_before_asking(self, reply: Reply) -> float:
        if reply.held_by == "rate" or not reply.held_by:
            often, spread = _POLL_SECONDS, 0.05
        elif reply.held_by == "in flight":
            often, spread = 0.05, 0.02
        else:
            often, spread = 0.5, 0.05
        shortest = min(self._windows, default=1.0)
        longest = max(min(often, shortest / 4), min(reply.hint / 10, _SLEEP_SECONDS))
        in_vain = max(0.0, reply.hint - self._distance.away)  # the next visit is that long on its way
        return min(in_vain, longest) + random.uniform(0, min(spread, shortest / 20))

    def _count_wait(self, now: float, held_by: str) -> None:
        if self._held_by and self._held_since:
            self.counters.held(self.waiting_for or self._held_by, now - self._held_since)
        self._held_by, self._held_since = held_by, now

    def _failed(self, exc: BaseException) -> None:
        now = self.clock()
        self.counters.failures += 1
        self._told.set()
        self._trouble = f"{type(exc).__name__}: {exc}".rstrip(": ")
        if self._failing_since is None:
            self._failing_since = self._held_since = now
            log.warning("limit %s: no answer from Redis, nothing is sent (%s)", self.terms.name, self._trouble)
        else:
            self.counters.held("redis", now - self._held_since)
            self._held_since = now
        if now - self._failing_since > self._give_up:
            lost = partial(
                LimitLost,
                f"Redis has not answered for {now - self._failing_since:.0f} s, so the limit {self.terms.name!r} "
                f"cannot be kept and nothing may be sent ({self._trouble}).",
                hint="Start Redis again (or correct ROWRELAY_REDIS_URL), then resume the run.",
            )
            self._waiters.fail(lost)
        self._ask_at = now + random.uniform(0.1, 0.2)

    async def _stop(self, report: Report, why: str) -> None:
        self.void(why)
        self._stops.append(report)
        self._start()
        self._wake.set()
        if report.kind == "l":  # a ban must outlive us, whatever happens from here on
            await self._keep(report)
        while report in self._stops:
            self._told.clear()
            await self._told.wait()
            if self._failing_since is not None:
                await self._keep(report)
                return

    async def _keep(self, stop: Report) -> None:
        try:
            try:
                await asyncio.to_thread(self._kept.keep, stop)
            except RuntimeError:  # no memory for another thread; a stop may hold the loop up
                self._kept.keep(stop)
        except OSError as exc:
            log.warning("limit %s: a stop could not be written to disk (%s)", self.terms.name, exc)
        if stop not in self._stops:  # Redis has been told in the meantime
            self._kept.forget(stop)

    async def close(self) -> None:
        """Let go of whoever waits, tell Redis what is left to tell, if it answers, and stop."""
        self._closed = True
        self._waiters.fail(partial(asyncio.CancelledError, "the limiter was closed"))
        if self._task is None:
            return
        await _end(self._task)
        with contextlib.suppress(RedisError, OSError):
            await self._visit()


class Limiter:
    """All limits of one process and event loop. `async with` it; one asker a limit talks to Redis.

    `redis_url` may also be a redis.asyncio client, which is then left open; it should neither retry nor wait long.
    `clock` must count suspended time; `stops_folder` keeps what Redis has not heard of; `script` is there for tests.
    """

    def __init__(
        self,
        redis_url: str | redis.asyncio.Redis,
        *,
        asker_id: str = "",
        give_up_seconds: float = 300.0,
        clock: Clock = boot_time,
        stops_folder: Path | None = None,
        script: str = SCRIPT,
    ) -> None:
        self._own = isinstance(redis_url, str)
        self._client: Any = connect(redis_url) if isinstance(redis_url, str) else redis_url
        self.asker_id = asker_id or f"{os.uname().nodename}-{os.getpid()}-{secrets.token_hex(3)}"
        self._give_up, self._clock, self._text = give_up_seconds, clock, script
        self._stops_folder = stops_folder
        self._limits: dict[LimitTerms, Limit] = {}
        self._ears: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._ears = asyncio.create_task(self._listen(), name="limit events")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def limit(self, terms: LimitTerms) -> Limit:
        """The limit of these terms; the same object for the same terms. Other numbers under one name: both are kept."""
        if terms not in self._limits:
            script = LimitScript(self._client, terms, asker_id=self.asker_id, script=self._text)
            stops = Stops(self._stops_folder, terms.name, clock=self._clock)
            self._limits[terms] = Limit(script, terms, clock=self._clock, give_up_seconds=self._give_up, stops=stops)
        return self._limits[terms]

    async def close(self) -> None:
        """Hand back what is unused and stop."""
        await asyncio.gather(*(limit.close() for limit in self._limits.values()))
        if self._ears is not None:
            await _end(self._ears)
        if self._own:
            await self._client.aclose()

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(RedisError, OSError):
                await self._hear()
            await asyncio.sleep(random.uniform(0.1, 0.3))

    async def _hear(self) -> None:
        """Pass on what other processes announce. What is missed is learnt with the next visit."""
        async with self._client.pubsub(ignore_subscribe_messages=True) as ears:
            await ears.psubscribe(EVENTS.replace("{*}", "*"))
            while True:
                message = await ears.get_message(timeout=30.0)
                if not message or message["type"] not in ("pmessage", b"pmessage"):
                    continue
                channel, data = decoded(message["channel"]), decoded(message["data"])
                event, _, asker = data.partition(" ")
                for terms, limit in self._limits.items():
                    if asker != self.asker_id and f":{{{terms.name}}}:" in channel:
                        limit.heed(event)


def connect(redis_url: str) -> redis.asyncio.Redis:
    """A client that would rather fail than be late or ask twice."""
    return redis.asyncio.Redis.from_url(
        redis_url,
        socket_timeout=_ANSWER_SECONDS,
        socket_connect_timeout=_CONNECT_SECONDS,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )


def _prefix() -> str:
    return f"{os.getpid():x}-{secrets.token_hex(5)}."


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel until it is over: redis-py may swallow a cancellation that comes while it connects."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.1)


def _latched(name: str, latch: dict[str, Any]) -> LimitLatched:
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(latch.get("at", 0)))
    return LimitLatched(
        f"The limit {name!r} is latched: {latch.get('reason', '')} (run {latch.get('run', '?')}, {when}). "
        "Nothing is sent under it.",
        hint=f"Find out from the API's owner why. When it lets you in again: `rowrelay limits open {name}`, or the "
        "dashboard's button, then resume the run.",
    )
