"""How long it takes until anything is sent, for the estimates of the pages."""

from __future__ import annotations

import time

from dashboard.parts import cached
from flows.errors import RowrelayError
from flows.limit.pace import first_wait_seconds
from flows.records import LimitTerms


def wait_seconds(terms: LimitTerms) -> float:
    """How long nothing may be sent under limits, as far as that is known: one is new, cooling down or paused."""
    try:
        known = {each.name: each for each in cached.limits()}
    except RowrelayError:
        return 0.0
    new, now = first_wait_seconds(terms), time.time()
    return max(known[name].wait_seconds(now) if name in known else new for name in terms.name.split(", "))
