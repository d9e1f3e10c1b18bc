"""Pauses and latches that Redis has not heard of yet."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from flows.limit.script import Report
from flows.limit.stops import Stops

log = logging.getLogger(__name__)


class Unheard:
    """The stops of one limit that hold in this process, until Redis has been told. They outlive it on disk."""

    def __init__(self, limit: str, stops: Stops) -> None:
        self._limit, self._kept = limit, stops
        self._stops = stops.read()
        self._changed = asyncio.Event()

    def __bool__(self) -> bool:
        return bool(self._stops)

    @property
    def latch(self) -> Report | None:
        """The latch among them, if there is one."""
        return next((stop for stop in self._stops if stop.kind == "l"), None)

    def standing(self) -> list[Report]:
        """What is to be told now. Not what another process has told: a person may have opened the limit since."""
        self._stops = [stop for stop in self._stops if self._kept.stands(stop)]
        return list(self._stops)

    def heard(self, told: int) -> None:
        """Redis has heard so many of those that stand."""
        for stop in self._stops[:told]:
            self._kept.forget(stop)
        self._stops = self._stops[told:]
        self.tell()

    def tell(self) -> None:
        """A visit has ended, well or not."""
        self._changed.set()

    def add(self, stop: Report) -> None:
        """One more."""
        self._stops.append(stop)

    async def told(self, stop: Report, *, is_away: Callable[[], bool]) -> None:
        """Wait until Redis has heard of a stop, or is away; then it is on the disk."""
        if stop.kind == "l":  # a ban must outlive us, whatever happens from here on
            await self._keep(stop)
        while stop in self._stops:
            self._changed.clear()
            await self._changed.wait()
            if is_away():
                await self._keep(stop)
                return

    async def _keep(self, stop: Report) -> None:
        try:
            try:
                await asyncio.to_thread(self._kept.keep, stop)
            except RuntimeError:  # no memory for another thread; a stop may hold the loop up
                self._kept.keep(stop)
        except OSError as exc:
            log.warning("limit %s: a stop could not be written to disk (%s)", self._limit, exc)
        if stop not in self._stops:  # Redis has been told in the meantime
            self._kept.forget(stop)
