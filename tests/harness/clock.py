"""A clock that a test moves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class MovedClock:
    """Shows what it is set to."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now
