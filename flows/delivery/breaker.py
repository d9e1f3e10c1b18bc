"""When trouble with the API stops a run, and how few rows find that out. Pure: outcomes and moments come in as values.

Troubles of any kind that follow each other are one series. A series is counted in waves, because a blip breaks all that
is under way at once: what left before a counted trouble was seen counts as one with it, and between two that count lies
a moment that grows. Something that left after the last counted trouble and was answered well ends the series. In a
series the places of requests that failed are not taken again; once none is free, one probe at a time goes out, so that
an outage touches at most `in_flight` + `stop_after` rows. Where only some requests fail, hardly a place is ever lost.
"""

from __future__ import annotations

from collections import Counter

WAVES = 20  # so many waves are an outage; together their gaps take some 8 s, which outlasts a blip
_FIRST_GAP_SECONDS, _GROWTH, _LONGEST_GAP_SECONDS = 0.05, 1.25, 1.0
_KINDS_TOLD = 5


class Breaker:
    """What has gone wrong since something last went well. Moments are seconds of one clock."""

    def __init__(self, *, stop_after: int, in_flight: int) -> None:
        self._stop_after, self._waves_needed = stop_after, min(stop_after, WAVES)
        self._places = in_flight + stop_after - self._waves_needed
        self._counted_at = self._paused_until = float("-inf")
        self._forget()

    def _forget(self) -> None:
        self._waves = self._troubles = 0
        self._kinds: Counter[str] = Counter()
        self._pauses_only = True
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether the run has to stop."""
        return self._waves >= self._waves_needed and self._troubles >= self._stop_after

    @property
    def probes(self) -> bool:
        """Whether a probe is under way."""
        return self._probing

    def room(self, flying: int, now: float) -> int:
        """How many requests may leave now, beside so many that are under way."""
        if (places := self._left(flying)) > 0:
            return places
        return int(self._probe_due(flying) <= now)

    def wait(self, flying: int, now: float) -> float | None:
        """Seconds until there is room though nothing comes back; None where time alone changes nothing."""
        due = self._probe_due(flying)
        return None if self._left(flying) > 0 or due == float("inf") else max(0.0, due - now)

    def leaving(self, flying: int) -> None:
        """Something leaves beside so many that are under way."""
        self._probing = self._probing or self._left(flying) <= 0

    def trouble(self, kind: str, *, left: float, seen: float, pause_seconds: float = 0.0) -> None:
        """A request came to nothing, through no fault of its row. `pause_seconds`: the API asked to wait so long.

        Of those that ask to wait, the ones that left before the last wish was over are one with it.
        """
        self._probing = self._probing and left <= self._counted_at
        if pause_seconds:
            same_wish, self._paused_until = left < self._paused_until, max(self._paused_until, seen + pause_seconds)
            if same_wish:
                return
        self._pauses_only = self._pauses_only and bool(pause_seconds)
        self._kinds[kind] += 1
        self._troubles += 1
        if left >= self._counted_at and (pause_seconds or seen >= self._counted_at + self._gap):
            self._waves += 1
            self._counted_at = seen

    def well(self, *, left: float) -> None:
        """The API dealt with a request, even if it refused the row."""
        if left > self._counted_at:
            self._forget()

    def unsent(self) -> None:
        """A request did not leave after all."""
        self._probing = False

    def reason(self, last: str) -> str:
        """What went wrong, in words; `last` is what the last request came to."""
        if self._pauses_only:
            return f"The API has asked to wait {self._troubles} times in a row: {last}."
        told = [f"{kind} ×{times}" for kind, times in self._kinds.most_common(_KINDS_TOLD)]
        if more := self._troubles - sum(times for _, times in self._kinds.most_common(_KINDS_TOLD)):
            told.append(f"others ×{more}")
        return f"{self._troubles} requests in a row failed: {', '.join(told)}. The last: {last}."

    def _left(self, flying: int) -> int:
        return self._places - self._troubles - flying

    def _probe_due(self, flying: int) -> float:
        return float("inf") if self._probing and flying else self._counted_at + self._gap

    @property
    def _gap(self) -> float:
        if self._waves < 2:
            return 0.0
        return min(_LONGEST_GAP_SECONDS, _FIRST_GAP_SECONDS * _GROWTH ** (self._waves - 2))
