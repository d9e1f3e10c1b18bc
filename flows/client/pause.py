"""How long an answer asks us to wait: what its headers say. Pure."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

MAX_PAUSE_SECONDS = 3600.0
Headers = Mapping[str, str]


def pause_of(headers: Headers, *, now: float | None = None) -> float | None:
    """Seconds that a 429 asks to wait, at most an hour: `retry_after`, else (X-)RateLimit-Reset.

    The latter says when the quota is full again and is sent with every answer by some, so that it asks for nothing
    where the quota is not what is wrong.
    """
    now = time.time() if now is None else now
    asked = _retry_after(headers, now)
    if asked is None:
        asked = _reset(headers.get("ratelimit-reset") or headers.get("x-ratelimit-reset"), now)
    return _capped(asked)


def retry_after(headers: Headers, *, now: float | None = None) -> float | None:
    """Seconds that Retry-After asks to wait, at most an hour; None where it does not ask, or asks for no time at all.

    A date is read against the answer's own Date, if there is one, so that our clock need not be right.
    """
    return _capped(_retry_after(headers, time.time() if now is None else now))


def _capped(seconds: float | None) -> float | None:
    return min(seconds, MAX_PAUSE_SECONDS) if seconds is not None and seconds > 0 else None


def _retry_after(headers: Headers, now: float) -> float | None:
    value = headers.get("retry-after", "").strip()
    if (seconds := _number(value)) is not None:
        return seconds
    until = _moment(value)
    if until is None:
        return None
    return until - (_moment(headers.get("date", "")) or now)


def _reset(value: str | None, now: float) -> float | None:
    """A reset is written as seconds to go, or as a moment in seconds or milliseconds since 1970."""
    number = _number((value or "").strip())
    if number is None or number < 1e9:
        return number
    return (number / 1000 if number > 1e12 else number) - now


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _moment(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
