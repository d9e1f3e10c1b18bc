"""When the periods of a calendar begin: an API that counts by the day counts by somebody's midnight."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

# How long each is about, in seconds.
PERIODS = {"minute": 60.0, "hour": 3600.0, "day": 86_400.0, "week": 604_800.0, "month": 2_592_000.0}


def period_seconds(period: str) -> float:
    """How long a period is about. Raises KeyError."""
    return PERIODS[period.split()[0]]


def begins(period: str, now: float) -> list[int]:
    """The begins of the period that holds `now` (Unix seconds), of the one before and of the two after, in µs.

    `period` is one of PERIODS and an IANA time zone, as in `day Europe/Berlin`. A week begins on Monday. What is an
    hour long is counted from midnight UTC, where no clock is ever moved. Raises ZoneInfoNotFoundError.
    """
    kind, _, zone = period.partition(" ")
    if kind in ("minute", "hour"):
        seconds = int(PERIODS[kind])
        first = int(now // seconds)
        return [(first + step) * seconds * 1_000_000 for step in (-1, 0, 1, 2)]
    here = datetime.fromtimestamp(now, ZoneInfo(zone or "UTC"))
    found = [_begin(kind, here, step) for step in (-1, 0, 1, 2)]
    return [round(each.timestamp() * 1_000_000) for each in found]


def _begin(kind: str, here: datetime, step: int) -> datetime:
    midnight = here.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if kind == "day":
        return midnight + timedelta(days=step)  # by the wall clock: a day may have 23 or 25 hours
    if kind == "week":
        return midnight + timedelta(days=7 * step - midnight.weekday())
    months = midnight.year * 12 + midnight.month - 1 + step
    return midnight.replace(year=months // 12, month=months % 12 + 1, day=1)
