"""Runs that come too late: after a downtime Prefect starts every scheduled run that was missed, all at once.

One of them is made up for. The others were due before it began, so it does all that they were for.
"""

from __future__ import annotations

import hashlib
import json
import time
from functools import partial

from prefect.runtime import flow_run

from flows.ledger.inbox import Claims
from flows.settings import Settings


def too_late(due: float, now: float, *, allowed_seconds: float, last: float, what: str) -> str:
    """Why a run that was due at `due` has nothing to do any more, or "". Times are Unix seconds.

    `last` is when the like of it last began (0: never), `what` it did, for the message; `allowed_seconds` is how late
    a run may begin (0: however late).
    """
    late = now - due
    if allowed_seconds and late > allowed_seconds:
        return f"Started {late:.0f} s after it was due, which is more than ROWRELAY_MISSED_SECONDS allows."
    if due < last:
        return f"It was due {last - due:.0f} s before {what}."
    return ""


def missed(claims: Claims, settings: Settings) -> str:
    """Why a scheduled run must not send its file: of all that a downtime made late, one does."""
    if "auto-scheduled" not in (flow_run.tags or []):
        return ""
    due = flow_run.scheduled_start_time.timestamp()
    late = partial(too_late, due, time.time(), what="a run with the same parameters began")
    if why := late(allowed_seconds=settings.missed_seconds, last=0.0):
        return why
    what = hashlib.sha256(json.dumps(flow_run.parameters, sort_keys=True, default=str).encode()).hexdigest()
    return late(allowed_seconds=0.0, last=claims.begin(what, due, str(flow_run.id)))
