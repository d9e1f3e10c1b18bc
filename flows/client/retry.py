"""What follows from one attempt: send the row again, and when; or what its state shall be. Pure."""

from __future__ import annotations

import random
from dataclasses import replace

from flows.records import RowState, Verdict

BASE_SECONDS = 0.5
CAP_SECONDS = 30.0
_STREAK_STATUSES = (401, 403, 404, 408, 425, 429)


def backoff(attempts: int, rng: random.Random) -> float:
    """Seconds to wait after this many attempts: exponential, with full jitter.

    Full jitter spreads the retries of many rows best (Marc Brooker, "Exponential Backoff And Jitter", 2015).
    """
    return rng.uniform(0, min(CAP_SECONDS, BASE_SECONDS * 2.0**attempts))


def after(
    verdict: Verdict, *, attempts: int, elapsed_seconds: float, most: int, most_seconds: float, rng: random.Random
) -> tuple[Verdict, float | None]:
    """The verdict to record, and the seconds to wait before the next attempt (None: there is none).

    `attempts` counts this one; an attempt that never was does not count and is repeated at once. A row that
    surely had no effect ends as `failed` when its attempts or seconds are used up. `elapsed_seconds` leaves out, and
    so does this, the time that the API asked for: its pauses hold everybody, and are no failure of the row.
    """
    if not verdict.attempted:
        return verdict, 0.0
    wait = backoff(attempts, rng)
    if verdict.again and attempts < most and elapsed_seconds + wait <= most_seconds:
        return verdict, max(wait, verdict.pause_seconds or 0.0)
    if verdict.state is RowState.WAITING:
        return replace(verdict, state=RowState.FAILED, reason=f"{verdict.reason}; tried {attempts} times"), None
    return verdict, None


def streak_kind(verdict: Verdict) -> str:
    """What an attempt has in common with the one before if both speak of trouble with the API; empty if not.

    A refusal of one row (400, 409, 422, …) says nothing about the next, nor does a row that makes no request; an
    expired token, a login page that answers everything, a quota that is used up, an API that fails, hangs or cannot
    be reached does.
    """
    makes_no_request = verdict.state is RowState.FAILED and not verdict.wrote
    if not verdict.attempted or makes_no_request or verdict.state is RowState.DONE:
        return ""
    if verdict.status is None:
        return verdict.reason
    of_all = verdict.status in _STREAK_STATUSES or verdict.status >= 500 or verdict.status < 400
    return f"status {verdict.status}" if of_all else ""
