"""What follows from one attempt: send the row again, and when; or what its state shall be. Pure."""

from __future__ import annotations

import random
import re

from msgspec.structs import replace

from flows.records import Outcome, Reply, RowState

BASE_SECONDS = 0.5
CAP_SECONDS = 30.0
LEAST_WAIT_SECONDS = 0.1  # of a row that was asked to wait for no time at all
_CONNECT_BASE_SECONDS, _CONNECT_CAP_SECONDS = 0.25, 2.0
NO_CONNECTION = "no connection"
_STATUSES_OF_ALL = (401, 403, 404, 408, 425, 429)
_DETAILS = re.compile(r" \(|; |: ")  # what follows differs from one time to the next


def backoff(attempts: int, rng: random.Random) -> float:
    """Seconds to wait after this many attempts: exponential, with full jitter.

    Full jitter spreads the retries of many rows best (Marc Brooker, "Exponential Backoff And Jitter", 2015).
    """
    return rng.uniform(0, min(CAP_SECONDS, BASE_SECONDS * 2.0**attempts))


def before_connecting(times: int, rng: random.Random) -> float:
    """Seconds to wait after no connection came about so many times in a row: never 0."""
    return min(_CONNECT_CAP_SECONDS, _CONNECT_BASE_SECONDS * 2.0 ** min(times, 10)) * rng.uniform(0.5, 1.0)


def after(
    outcome: Outcome,
    reply: Reply,
    *,
    attempts: int,
    elapsed_seconds: float,
    most: int,
    most_seconds: float,
    rng: random.Random,
    unconnected: int = 0,
) -> tuple[Outcome, float | None]:
    """The outcome to record, and the seconds to wait before the next attempt (None: there is none).

    `attempts` counts this one; an attempt that never was does not count and is repeated at once, or after a while
    where no connection came about, `unconnected` times in a row with this one. A row that
    surely had no effect ends as `failed` when its attempts or seconds are used up. `elapsed_seconds` leaves out, and
    so does this, the time that the API asked for: its pauses hold everybody, and are no failure of the row.
    """
    if reply.renews:
        return outcome, 0.0
    if reply.no_connection:
        return outcome, before_connecting(unconnected, rng)
    if not reply.attempted or outcome.refused:
        return outcome, 0.0
    if reply.stop:  # the rows wait for whoever resumes the run
        return outcome, None
    if outcome.again and not outcome.counts:  # it was asked to wait, and will be heard when it comes back
        asked = outcome.pause_seconds or reply.pause_seconds or 0.0
        return outcome, asked if asked >= LEAST_WAIT_SECONDS else max(LEAST_WAIT_SECONDS, backoff(1, rng))
    if outcome.again and attempts < most:
        wait = backoff(attempts, rng)
        if elapsed_seconds + wait <= most_seconds:
            return outcome, max(wait, reply.pause_seconds or 0.0)
    if outcome.state is RowState.WAITING:
        return replace(outcome, state=RowState.FAILED, reason=f"{outcome.reason}; tried {attempts} times"), None
    return outcome, None


def trouble(reply: Reply) -> str | None:
    """What a reply says of the API: the kind of its trouble, nothing where it is well, None where it says nothing.

    A refusal of one row (400, 409, 422, …) shows that the API is well; an expired token, a login page that answers
    everything, a quota that is used up, an API that fails, hangs or cannot be reached are troubles of all rows.
    """
    if reply.no_connection:
        return NO_CONNECTION
    makes_no_request = reply.means is RowState.FAILED and not reply.wrote
    if not reply.attempted or makes_no_request:
        return None
    if reply.stop or reply.renews:
        return None
    if reply.means in (RowState.DONE, RowState.ACCEPTED):
        return ""
    if reply.by_rule is not None and reply.means is RowState.FAILED:
        return ""
    if reply.status is None:
        return _DETAILS.split(reply.reason, maxsplit=1)[0]
    of_all = reply.status in _STATUSES_OF_ALL or reply.status >= 500 or reply.status < 400
    return str(reply.status) if of_all else ""
