"""What reached the stand-in API, and what can be proven from it: the receiver's own record, none of the sender's."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Arrival:
    """One request. `at` is CLOCK_MONOTONIC in nanoseconds; `answer` a status, or the name of a fault.

    `acted` says whether the API did what was asked: a row created and then not answered counts as acted.
    """

    at: int
    method: str
    path: str
    key: str = ""
    digest: str = ""
    tag: str = ""
    answer: int | str = ""
    acted: bool = False
    query: str = ""
    content_type: str = ""


def worst_window(stamps: Sequence[int], window_ns: int) -> int:
    """The most arrivals in any window of that length, open at one end: (t - window, t]. `stamps` in order."""
    first = worst = 0
    for last, at in enumerate(stamps):
        while stamps[first] <= at - window_ns:
            first += 1
        worst = max(worst, last - first + 1)
    return worst


def count_over(stamps: Sequence[int], window_ns: int, allowed: int) -> int:
    """How many arrivals had more than `allowed` in the window that ends with them."""
    return sum(1 for last, at in enumerate(stamps) if last + 1 - bisect_right(stamps, at - window_ns) > allowed)


class Arrivals:
    """Everything that arrived, in order. With `log` each arrival is also a line of JSON in that file, written when it
    was dealt with and not buffered, so that it outlives the process. With `details` off only the stamps are kept."""

    def __init__(self, *, log: Path | None = None, details: bool = True) -> None:
        self._keep = details
        self._file = log.open("a", buffering=1) if log else None
        self.clear()

    def clear(self) -> None:
        """Forget everything; the log file stays as it is."""
        self.stamps: array[int] = array("q")
        self.details: list[Arrival] = []
        self.answers: Counter[str] = Counter()
        self.refused = 0
        self._recent: deque[int] = deque()

    def add(self, arrival: Arrival, *, window_ns: int) -> int:
        """Record an arrival; the number of arrivals in the window that ends with it."""
        self.stamps.append(arrival.at)
        if self._keep:
            self.details.append(arrival)
        recent = self._recent
        recent.append(arrival.at)
        while recent[0] <= arrival.at - window_ns:
            recent.popleft()
        return len(recent)

    def settle(self, arrival: Arrival) -> None:
        """Note what became of the arrival, also in the log file."""
        self.answers[str(arrival.answer or "cut off")] += 1
        if self._file:
            self._file.write(json.dumps(asdict(arrival)) + "\n")

    def lines(self) -> Iterator[str]:
        """Every arrival as a line of JSON."""
        for arrival in list(self.details):
            yield json.dumps(asdict(arrival)) + "\n"

    def report(self, *, window_seconds: float, allowed: int | None) -> dict[str, Any]:
        """The facts about the limit and about repeated keys, ready for JSON."""
        window_ns = round(window_seconds * 1e9)
        stamps = array("q", sorted(self.stamps))  # a head that came in two parts was stamped before it was added
        span = (stamps[-1] - stamps[0]) / 1e9 if stamps else 0.0
        return {
            "arrivals": len(stamps),
            "window_seconds": window_seconds,
            "allowed": allowed,
            "worst": worst_window(stamps, window_ns),
            "over": 0 if allowed is None else count_over(stamps, window_ns, allowed),
            "refused": self.refused,
            "seconds": span,
            "first": stamps[0] if stamps else None,
            "last": stamps[-1] if stamps else None,
            "answers": dict(self.answers),
            **self._repeats(),
        }

    def _repeats(self) -> dict[str, Any]:
        bodies: dict[str, set[str]] = {}
        arrived: Counter[str] = Counter()
        acted: Counter[str] = Counter()
        acted_bodies: Counter[str] = Counter()
        for arrival in self.details:
            if arrival.key:
                arrived[arrival.key] += 1
                acted[arrival.key] += arrival.acted
                bodies.setdefault(arrival.key, set()).add(arrival.digest)
            if arrival.digest:
                acted_bodies[arrival.digest] += arrival.acted
        return {
            "keys": len(arrived),
            "keys_repeated": sum(1 for times in arrived.values() if times > 1),
            "keys_with_two_bodies": sum(1 for seen in bodies.values() if len(seen) > 1),
            "keys_acted_twice": sum(1 for times in acted.values() if times > 1),
            "bodies_acted_twice": sum(1 for times in acted_bodies.values() if times > 1),
        }
