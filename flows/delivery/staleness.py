"""Permits that go stale again and again before anything is written: nothing is sent, and people should know why."""

from __future__ import annotations

from collections.abc import Callable

from flows.limit.limiter import Permit

TOLD_AFTER = 5  # so many times in a row
TOLD_AGAIN_SECONDS = 60.0


class Staleness:
    """Counts the permits of one sender that went stale since something was last written.

    `clock` is the permits'; `on_event` is told once a spell, in plain words.
    """

    def __init__(self, *, clock: Callable[[], float], on_event: Callable[[str], None]) -> None:
        self._clock, self._event = clock, on_event
        self._times = 0
        self._seen = self._told = float("-inf")

    def note(self, permit: Permit, *, wrote: bool) -> None:
        """What became of a permit. Those that were granted before the last one was seen to be stale are one with it."""
        now = self._clock()
        if wrote:
            self._times = 0
        elif permit.stale_seconds and permit.start > self._seen:
            self._times, self._seen = self._times + 1, now
            if self._times >= TOLD_AFTER and now - self._told > TOLD_AGAIN_SECONDS:
                self._told = now
                self._event(
                    f"Nothing is sent: {self._times} times in a row a permit of the limit was too old when its request"
                    f" could be written, the last by {permit.stale_seconds:.2f} s. Either this machine is overloaded,"
                    " or Redis or the network is slow. Give the machine less to do, or move it nearer to Redis"
                )
