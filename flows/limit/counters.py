"""What a limit did in one process, for the summary of a run."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """What the limit did in this process. `held_seconds` tells how long waiters waited, by what held them."""

    granted: int = 0
    unused: int = 0
    visits: int = 0
    failures: int = 0
    jumps: int = 0
    held_seconds: dict[str, float] = field(default_factory=dict)

    def held(self, by: str, seconds: float) -> None:
        """Somebody waited."""
        self.held_seconds[by] = self.held_seconds.get(by, 0.0) + seconds
