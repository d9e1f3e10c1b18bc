"""Runs that come too late: after a downtime Prefect starts every scheduled run that was missed, all at once.

One of them is made up for. The others were due before it began, so it does all that they were for.
"""

from __future__ import annotations


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
