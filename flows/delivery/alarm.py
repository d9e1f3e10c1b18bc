"""What replies mean for everybody: a pause or a ban for the limit, trouble that ends in the run's stop."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from flows.client import retry
from flows.client.breakage import NotReady
from flows.delivery.answers import Pardon
from flows.delivery.breaker import Breaker
from flows.delivery.context import Context
from flows.errors import LimitLatched, Stopped
from flows.limit.limiter import Permit
from flows.limit.places import Places
from flows.records import Reply

_HINT = "Find out why, then resume the run: what is finished stays finished."


class Alarm:
    """Heeds the replies to one sender."""

    def __init__(self, context: Context, breaker: Breaker) -> None:
        self._context, self._limit, self._breaker = context, context.limit, breaker
        self._pardon = Pardon()
        # A request to one host that is answered well says nothing of another, to which the next one of a row goes.
        self._reach = Breaker(stop_after=context.definition.stop_after, in_flight=self._limit.terms.in_flight)

    async def heed(self, reply: Reply, permit: Permit, *, broken_off: bool, last: bool = True) -> None:
        """A reply to what left under this permit. Of one that was broken off nothing follows.

        `last`: no other request of that row follows on it.
        """
        left = permit.start
        if self._pardon.is_spent(reply, left=left, seen=self._limit.clock()):
            reply = replace(reply, ban=True, reason=f"{reply.reason}, and again after that: a ban")
        kind = None if reply.ban or broken_off else retry.trouble(reply)
        if kind is None:
            self._breaker.unsent()
        elif not kind:
            self._breaker.well(left=left)
            if last:
                self._reach.well(left=left)
        else:
            self._trouble(kind, reply, left)
        if reply.stop:
            who = "The API's answer stops the run" if reply.attempted else "The run stops"
            self._context.stop(Stopped(f"{who}: {reply.reason}", hint=_HINT))
        if reply.ban:
            self._context.stop(LimitLatched.of(self._limit.each[0].name, reply.reason))
            await self._limit.latch(reply.reason, self._context.run)
        elif reply.pause_seconds:
            self._context.event(f"API asked us to wait {reply.pause_seconds:g} s")
            await self._limit.pause(reply.pause_seconds, reply.reason, self._meant(reply, permit))

    def _meant(self, reply: Reply, permit: Permit) -> Places | None:
        """The places that have to wait: of the limit that the rule names, else all of them, whatever the value."""
        name = reply.by_rule.limit if reply.by_rule is not None else None
        names = [limit.name for limit in self._limit.each]
        return tuple(place for place in permit.places if names[place.limit] == name) or None if name else None

    def _trouble(self, kind: str, reply: Reply, left: float) -> None:
        self._breaker.trouble(kind, left=left, seen=self._limit.clock(), pause_seconds=reply.pause_seconds or 0.0)
        if kind == retry.NO_CONNECTION:
            self._reach.trouble(kind, left=left, seen=self._limit.clock())
        for breaker in (self._breaker, self._reach):
            if breaker.is_open:
                self._context.stop(Stopped(breaker.reason(reply.reason), hint=_HINT))

    def unreachable(self, trouble: NotReady, times: int) -> None:
        """No connection could be set up, so many times in a row. Raises Stopped when that is too much."""
        now = self._limit.clock()
        began = now - (asyncio.get_running_loop().time() - trouble.began)
        self._breaker.trouble(retry.NO_CONNECTION, left=began, seen=now)
        if self._breaker.is_open:
            reason = self._breaker.reason(str(trouble))
            if times >= self._context.definition.stop_after:
                reason = f"The API could not be reached {times} times in a row: {trouble}."
            raise Stopped(reason, hint=_HINT)
