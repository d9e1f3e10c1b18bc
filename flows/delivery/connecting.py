"""Connections before permits: the limit is asked for no more permits than there are connections ready to use them.

A connection takes a part of a second where the API is far away, longer than a permit stays fresh. Trouble while one is
set up is no row's: rows go on waiting, people are told, it is tried again after a while that grows, and at last the run
stops; at once where waiting cannot mend it.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable

from flows.client.breakage import NotReady
from flows.client.connections import IDLE_SECONDS, Connections
from flows.errors import Stopped
from flows.limit.limiter import Limit

TOLD_AFTER_SECONDS = 2.0
_BASE_SECONDS, _CAP_SECONDS = 0.25, 2.0
_LOOK_SECONDS = 0.05
SMOOTHED_SECONDS = 60.0  # windows up to this length are paced evenly
_DOING = {
    "name": "the name {name} has not been resolved yet",
    "connect": "{host} has not taken the connection yet",
    "tls": "{host} has taken the connection, but the TLS handshake is not over yet",
}
_DOING_BY_PROXY = {
    "name": "the name {name} of the proxy has not been resolved yet",
    "connect": "the proxy {proxy} has not taken the connection yet",
    "tls": "the proxy {proxy} has taken the connection, but has not connected it to {host} yet",
}


class Connecting:
    """Has connections of one sender ready. `granted` counts permits whose requests have not taken theirs yet.

    No more are made than the sender's share of what may be in flight: who has none free leaves the permit to others.

    `on_event` is told in plain words what people should know; `on_trouble` is told of each trouble and how many there
    were without a connection in between, and raises Stopped when that is too much.
    """

    def __init__(
        self,
        connections: Callable[[], Connections | None],
        limit: Limit,
        *,
        on_event: Callable[[str], None],
        on_trouble: Callable[[NotReady, int], None],
    ) -> None:
        self.granted = 0
        self._granted_at = -math.inf
        self._connections, self._limit = connections, limit
        self._rate = min(
            (n / seconds for n, seconds in limit.terms.windows if seconds <= SMOOTHED_SECONDS), default=None
        )
        self._event, self._on_trouble = on_event, on_trouble
        self._made = self._troubles = 0  # connections so far, and troubles since the latest of them
        self._seen = self._not_before = -math.inf  # when the latest trouble was, and when it is tried again
        self._told = False

    async def have(self, wanted: Callable[[], int]) -> int:
        """Wait until a connection is free; returns for how many permits to ask, at most `wanted()`; 0 once it is.

        Raises Stopped.
        """
        if (connections := self._connections()) is None:
            return wanted()
        loop = asyncio.get_running_loop()
        tell_at = loop.time() + TOLD_AFTER_SECONDS
        while (most := wanted()) > 0:
            self._heed(connections)
            if loop.time() >= self._not_before:
                spare = self._spare(connections)
                share = math.ceil(self._limit.terms.in_flight / self._limit.company)
                connections.fill(self.granted + min(most, spare), least=self.granted + spare // 4, most=share)
            if (free := connections.ready - self.granted) > 0:
                return min(free, most)
            if loop.time() >= tell_at and not self._told and (set_up := connections.under_way) is not None:
                self._told = True
                doing = _doing(connections, set_up.step)
                self._event(f"Nothing is sent while there is no connection to the API: {doing}")
            await connections.changed(_LOOK_SECONDS)
        return 0

    def note_granted(self, permits: int) -> None:
        """So many permits were granted, and will be used."""
        self.granted += permits
        self._granted_at = asyncio.get_running_loop().time()

    def _spare(self, connections: Connections) -> int:
        """How many to have ready: what the pace uses up while another one is set up, all if nothing bounds it.

        Used ones come back at that pace, so more are made only when few are left. One as long as no permits flow: more
        would be too old when they do, after a pause or for want of quota.
        """
        if self._troubles or asyncio.get_running_loop().time() - self._granted_at > IDLE_SECONDS:
            return 1
        if self._rate is None:
            return 1 << 30
        pace = self._rate / self._limit.company
        return max(1, math.ceil(pace * max(self._limit.ahead_seconds, connections.set_up_seconds)))

    def _heed(self, connections: Connections) -> None:
        """Take note of set-ups that ended, well or not."""
        now = asyncio.get_running_loop().time()
        if connections.made > self._made:
            self._made, self._troubles, self._not_before = connections.made, 0, -math.inf
            if self._told:
                self._told = False
                self._event(f"There is a connection to {connections.host}; sending goes on")
        trouble, connections.trouble = connections.trouble, None
        if trouble is None or trouble.began <= self._seen:  # begun before the latest was seen: one with it
            return
        wait = min(_CAP_SECONDS, _BASE_SECONDS * 2.0**self._troubles) * random.uniform(0.5, 1.0)
        self._seen, self._not_before = now, now + wait
        self._troubles += 1
        if connections.ready <= self.granted:
            self._unreachable(trouble, now)

    def _unreachable(self, trouble: NotReady, now: float) -> None:
        if trouble.final:
            raise Stopped(f"The API cannot be reached: {trouble}.", hint="Correct this, then resume the run.")
        if not self._told:
            self._told = True
            self._event(f"The API cannot be reached, it is tried again and again: {trouble}")
        self._on_trouble(trouble, self._troubles)


def _doing(connections: Connections, step: str) -> str:
    """What is waited for, in words."""
    host, proxy = connections.host, connections.proxy
    if proxy is None:
        return _DOING[step].format(host=host, name=host.rpartition(":")[0])
    return _DOING_BY_PROXY[step].format(host=host, name=proxy.host, proxy=proxy.address)
