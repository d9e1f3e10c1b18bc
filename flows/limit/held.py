"""What holds those who wait for a limit, in words."""

from __future__ import annotations

import time
from typing import Any, Protocol

from flows.errors import LimitLatched
from flows.limit.waiting import Waiting

UNSURE = ("new", "restart", "clock")


class Asks(Protocol):
    """Who asks Redis, as far as this needs to know."""

    waiting: Waiting
    held_by: str

    @property
    def is_away(self) -> bool:
        """Whether Redis does not answer."""


def waiting_for(asker: Asks) -> str:
    """What holds the waiters, in plain words; empty if nobody waits or permits flow."""
    if not asker.waiting:
        return ""
    if asker.is_away:
        return "redis"
    return "quarantine" if asker.held_by in (*UNSURE, "window") else asker.held_by


def latched(name: str, latch: dict[str, Any]) -> LimitLatched:
    """Why nothing is sent under a limit that is latched."""
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(latch.get("at", 0)))
    return LimitLatched(
        f"The limit {name!r} is latched: {latch.get('reason', '')} (run {latch.get('run', '?')}, {when}). "
        "Nothing is sent under it.",
        hint=f"Find out from the API's owner why. When it lets you in again: `rowrelay limits open {name}`, or the "
        "dashboard's button, then resume the run.",
    )
