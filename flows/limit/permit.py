"""One permit: the right to send one request, once, from a moment on, and soon."""

from __future__ import annotations

from typing import Protocol

from flows.errors import RowrelayError
from flows.limit.clock import Clock, sleep_until
from flows.limit.places import ONE, Places


class StalePermit(RowrelayError):
    """The permit may no longer be used: too much time has passed, or the limit was stopped since it was granted."""


class Issuer(Protocol):
    """What a permit needs of the limit that granted it."""

    clock: Clock
    fresh_seconds: float

    @property
    def generation(self) -> int:
        """Goes up whenever all unused permits become void: a pause, a latch, a step of Redis's clock."""

    @property
    def void_because(self) -> str:
        """Why it last went up."""

    def report(self, kind: str, permit: Permit) -> None:
        """Tell the limit: `a` answered, `g` given up, `u` not used, `f` flight ended."""


class Permit:
    """A granted start. Exactly one request may be written under it, after `check()` and before `deadline`.

    `start` is the earliest moment to write, `deadline` the latest for the head of the answer, both in seconds of
    the limit's clock (CLOCK_BOOTTIME). Every report may be made more than once and in any order; the first of
    `unused` and `lost`/`answered` counts. A permit that is never reported lapses by itself.
    """

    __slots__ = (
        "_checked",
        "_ended",
        "_fate",
        "_generation",
        "_granted",
        "_issuer",
        "deadline",
        "id",
        "places",
        "stale_seconds",
        "start",
    )

    def __init__(
        self, issuer: Issuer, id: str, *, start: float, granted: float, deadline: float, places: Places = ONE
    ) -> None:
        self.id, self.start, self.deadline, self.places = id, start, deadline, places
        self._issuer, self._generation = issuer, issuer.generation
        self.stale_seconds = 0.0  # by how much it was too old when it was checked
        self._granted = granted  # the start at the earliest that it can have meant: Redis's reply took a while
        self._fate = ""
        self._checked = self._ended = False

    def __repr__(self) -> str:
        return f"<Permit {self.id} {self._fate or 'open'}, starts in {self.start - self._issuer.clock():.3f} s>"

    @property
    def is_unused(self) -> bool:
        """Whether it was handed back before anything was written."""
        return self._fate == "unused"

    async def wait(self) -> None:
        """Sleep until `start`."""
        await sleep_until(self.start, self._issuer.clock)

    def check(self) -> None:
        """To be called when the connection is there, right before the write.

        Raises StalePermit, and hands the permit back, if nothing may be written under it any more.
        """
        if trouble := self._trouble():
            if not self._checked:
                self.unused()
            raise StalePermit(trouble)
        self._checked = True

    def _trouble(self) -> str:
        now = self._issuer.clock()
        if self._fate or self._ended:
            return "The permit has been used or handed back."
        if self._generation != self._issuer.generation:
            return f"The permit is void: {self._issuer.void_because}."
        if now < self.start:
            return f"The permit starts in {self.start - now:.3f} s."
        if now > self._granted + self._issuer.fresh_seconds:
            self.stale_seconds = now - self._granted - self._issuer.fresh_seconds
            return f"The permit is {now - self._granted:.3f} s old, more than {self._issuer.fresh_seconds:g} s."
        return ""

    def unused(self) -> None:
        """Nothing was written and nothing will be: the slot is free again."""
        if not self._fate and not self._ended:
            self._fate = "unused"
            self._ended = True
            self._issuer.report("u", self)

    def answered(self) -> None:
        """The head of the answer is here: the slot becomes free one window from now."""
        if self._fate in ("", "lost"):
            self._fate = "answered"
            self._issuer.report("a", self)

    def lost(self) -> None:
        """The request may have been written and will not be answered: its connection is closed, the slot kept."""
        if not self._fate:
            self._fate = "lost"
            self._issuer.report("g", self)
        self.finished()

    def finished(self) -> None:
        """The flight is over: the body has been read, or the connection is closed."""
        if not self._ended:
            self._ended = True
            self._issuer.report("f", self)
