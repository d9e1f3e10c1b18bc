"""How long it takes until anything is sent, for the estimates of the pages."""

from __future__ import annotations

import time

from dashboard.parts import cached
from flows.errors import RowrelayError
from flows.limit.pace import first_wait_seconds
from flows.records import LimitTerms


def wait_seconds(terms: LimitTerms) -> float:
    """How long nothing may be sent under a limit, as far as that is known: it is new, cooling down or paused."""
    try:
        known = next((each for each in cached.limits() if each.name == terms.name), None)
    except RowrelayError:
        return 0.0
    return known.wait_seconds(time.time()) if known else first_wait_seconds(terms)
