"""What one process knows of a pause of one limit, also where Redis forgets it."""

from __future__ import annotations

from flows.limit.places import Place
from flows.limit.script import Report

PAUSED = "the API asked for a pause"
_SURE_SECONDS = 1.0  # a pause that ends sooner than we know of, by more than that, has been lost


class Pause:
    """The pause of the limit at `place`, as far as Redis has told of one."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._until = 0.0  # by Redis's clock
        self._ends = 0.0  # the same by ours, which nobody sets

    def forget(self) -> None:
        """Redis's clock was set: what it said of moments says nothing any more."""
        self._until = 0.0

    def is_news(self, seconds: float, theirs: float) -> bool:
        """Whether a pause that lasts `seconds` more at this moment of Redis's clock is one that was not known."""
        if not seconds or theirs + seconds <= self._until + 0.001:
            return False
        self._until = theirs + seconds
        return True

    def reminder(self, seconds: float, received: float) -> Report | None:
        """What a Redis is to be told that has lost a pause: its clock was set forward, or its memory is gone."""
        ends = received + seconds
        if self._ends > ends + _SURE_SECONDS:
            return Report("p", PAUSED, self._ends, (self._place,))
        if seconds:
            self._ends = ends
        return None
