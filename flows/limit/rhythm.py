"""How often Redis is asked, and for how many permits at once."""

from __future__ import annotations

import random

from flows.limit.script import Reply
from flows.records import LimitTerms

POLL_SECONDS = 0.1  # starts are granted this far ahead, so that asking this often loses none
HORIZON_SECONDS = 0.5  # and so far at most, where Redis is far away
_SLEEP_SECONDS = 5.0  # who has longer to wait asks this often: Redis tells what it can, but a message may be lost
_SMOOTHED_SECONDS = 60.0  # windows up to this length are paced evenly
_UNBOUND_BLOCK = 50  # permits a visit where no such window bounds the pace


class Rhythm:
    """The visits of one asker. `visited_at` is the latest."""

    def __init__(self, terms: LimitTerms) -> None:
        self.visited_at = 0.0
        self._cycle = 0.0  # seconds from one visit to the next, on average
        self._rates = [n / seconds for n, seconds in terms.windows if seconds <= _SMOOTHED_SECONDS]
        self._shortest = min((seconds for _, seconds in terms.windows), default=1.0)

    def visited(self, now: float) -> None:
        """A visit has just been answered."""
        if self.visited_at and now - self.visited_at < 1.0:
            self._cycle += 0.1 * (now - self.visited_at - self._cycle)
        self.visited_at = now

    def block(self, ahead_seconds: float) -> int:
        """How many permits to ask for at once: 20 ms worth, so that other processes get their turn.

        More where a visit and what follows takes longer (a busy machine, a slow disk under Redis), lest the visits
        bound the pace; never more than what is granted ahead.
        """
        if not self._rates:
            return _UNBOUND_BLOCK
        return max(1, int(min(self._rates) * min(ahead_seconds, max(0.02, 2 * self._cycle))))

    def pause(self, reply: Reply, away: float) -> float:
        """Seconds until it is worth asking again, for who did not get all. `away`: a round trip to Redis."""
        if reply.held_by in ("rate", "slowed", ""):
            often, spread = POLL_SECONDS, 0.05
        elif reply.held_by == "in flight":
            often, spread = 0.05, 0.02
        else:
            often, spread = 0.5, 0.05
        longest = max(min(often, self._shortest / 4), min(reply.hint / 10, _SLEEP_SECONDS))
        in_vain = max(0.0, reply.hint - away)  # the next visit is that long on its way
        return min(in_vain, longest) + random.uniform(0, min(spread, self._shortest / 20))
