"""Numbers as people say them: how long something takes, what a limit allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_EVERY: dict[float, str] = {1: "per second", 60: "per minute", 3600: "per hour", 86_400: "per day"}


def limit_words(
    windows: Sequence[tuple[int, float]], in_flight: int, *, number: Callable[[float], str] = "{:,.0f}".format
) -> str:
    """A limit's numbers in words, its windows as (requests, seconds): `7 per second and 10,000 per day`."""
    if windows:
        return " and ".join(f"{number(n)} {span_words(seconds)}" for n, seconds in windows)
    return f"at most {number(in_flight)} at a time" if in_flight else "none"


def span_words(seconds: float, period: str = "") -> str:
    """How long a window is: `per second`, `in 10 s`; of a period of the calendar: `a day, as in Europe/Berlin`."""
    kind, _, zone = period.partition(" ")
    if kind:
        return f"a {kind} by the clock" if kind in ("minute", "hour") else f"a {kind} by the calendar of {zone}"
    return _EVERY.get(seconds) or f"in {seconds:g} s"


def duration(seconds: float | None) -> str:
    """A length of time in at most two units: `5 s`, `3 min 20 s`, `1 h 5 min`, `2 days 3 h`."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 and whole < 600 else "")
    if whole < 86_400:
        return f"{whole // 3600} h" + (f" {whole % 3600 // 60} min" if whole % 3600 >= 60 else "")
    days, hours = whole // 86_400, whole % 86_400 // 3600
    return f"{days} day{'s' if days != 1 else ''}" + (f" {hours} h" if hours else "")
