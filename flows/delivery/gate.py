"""How many parcels may leave now. What a kill leaves `unknown` is bounded by what is claimed and not recorded."""

from __future__ import annotations

from collections.abc import Callable

from flows.delivery.breaker import Breaker
from flows.limit.clock import Clock

CLAIMED_AT_ONCE = 400  # parcels a block
PROBING_TOLD_SECONDS = 60.0  # an API in trouble is worth an event once in so long


class Gate:
    """Lets at most `in_flight` parcels be under way, and fewer while the API is in trouble."""

    def __init__(
        self, breaker: Breaker, *, in_flight: int, clock: Clock, on_event: Callable[[str], None] = lambda text: None
    ) -> None:
        self._breaker, self._in_flight, self._clock, self._event = breaker, in_flight, clock, on_event
        self._under_way = 0  # claimed, and the ledger has not got the outcome
        self._told = float("-inf")

    @property
    def room(self) -> int:
        """How many may leave."""
        free = min(CLAIMED_AT_ONCE, self._in_flight - self._under_way)
        return max(0, min(free, self._breaker.room(self._under_way, self._clock())))

    @property
    def opens_in(self) -> float | None:
        """Seconds until there is room though nothing is recorded; None where time alone changes nothing."""
        full = self._under_way >= self._in_flight
        return None if full else self._breaker.wait(self._under_way, self._clock())

    def leave(self, parcels: int) -> None:
        """So many are about to be claimed."""
        self._breaker.leaving(self._under_way)
        self._under_way += parcels
        if self._breaker.probes and self._clock() - self._told > PROBING_TOLD_SECONDS:
            self._told = self._clock()
            self._event("Nothing but trouble comes from the API; it is tried with one request at a time")

    def land(self, parcels: int) -> None:
        """So many are recorded, or were not claimed after all."""
        self._under_way -= parcels
