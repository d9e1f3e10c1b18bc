"""What a deliverer writes down of its pace when it ends."""

from __future__ import annotations

import json
from dataclasses import asdict

from flows.ledger.view import Run
from flows.limit.limiter import Counters
from flows.limit.pace import Summary


def summary(before: Run, pace: Summary, counters: Counters) -> dict[str, str | int | float]:
    """The facts of a run as they stand, and of one that has sent under it since, together."""
    figures = {name: value for name, value in asdict(pace).items() if value is not None}
    figures["peak"] = max(int(figures["peak"]), int(before.fact("peak")))
    figures["seconds"] = before.fact("seconds") + figures["seconds"]
    figures["sent"] = int(before.fact("sent")) + int(figures["sent"])
    held = {why: round(seconds, 1) for why, seconds in counters.held_seconds.items() if seconds >= 0.1}
    return {
        **{name: round(float(value), 4) for name, value in figures.items()},
        "held_by": json.dumps(dict(sorted(held.items(), key=lambda item: -item[1]))),
        "permits": counters.granted,
        "permits_unused": counters.unused,
        "limit_visits": counters.visits,
    }
