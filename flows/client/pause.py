"""How long an answer asks us to wait: what its headers say, in the ways in which servers write it. Pure.

| header                                             | written as                                               |
|----------------------------------------------------|----------------------------------------------------------|
| Retry-After                                        | seconds, `2s`, `1m30s`, a date (HTTP or ISO 8601), Unix  |
|                                                    | time in seconds or in smaller units                      |
| Retry-After-Ms, X-Ms-Retry-After-Ms                | milliseconds                                             |
| RateLimit-Reset, X-RateLimit-Reset, X-Rate-Limit-… | the same as Retry-After; asks only with a 429            |
| X-RateLimit-Reset-After                            | the same; asks only with a 429                           |
| RateLimit                                          | `"default";r=0;t=3` or `limit=9, remaining=0, reset=3`;  |
|                                                    | asks only with a 429                                     |

What lies in the past, is negative or is no number asks for nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping

from flows.values import moment_of, number_of

MAX_PAUSE_SECONDS = 3600.0
Headers = Mapping[str, str]

_MILLISECONDS = ("retry-after-ms", "x-ms-retry-after-ms")
_RESETS = ("ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset", "x-ratelimit-reset-after")
_PART = r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|secs?|seconds?|m|mins?|minutes?|h|hours?)(?![a-z])\s*"
_DURATION, _DURATIONS = re.compile(_PART, re.IGNORECASE), re.compile(f"(?:{_PART})+", re.IGNORECASE)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_EPOCHS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3), (1e9, 1.0))  # from so much on it is Unix time, so many a second
_QUOTA = re.compile(r"\b(r|remaining|t|reset)\s*=\s*([0-9]+(?:\.[0-9]+)?)", re.IGNORECASE)


def pause_of(headers: Headers, *, now: float | None = None) -> float | None:
    """Seconds that a 429 asks to wait, at most an hour: `retry_after`, else when the quota is full again.

    The latter is sent with every answer by some, so that it asks for nothing where the quota is not what is wrong.
    """
    now = time.time() if now is None else now
    return _first([*_asked(headers, now), *_resets(headers, now)])


def retry_after(headers: Headers, *, now: float | None = None) -> float | None:
    """Seconds that Retry-After asks to wait, at most an hour; None where it does not ask, or asks for no time at all.

    A moment is read against the answer's own Date, if there is one, so that our clock need not be right.
    """
    return _first(_asked(headers, time.time() if now is None else now))


def _first(found: list[float | None]) -> float | None:
    """The first header that says anything decides, also where it asks for no time at all."""
    seconds = next((each for each in found if each is not None), None)
    return min(seconds, MAX_PAUSE_SECONDS) if seconds is not None and seconds > 0 else None


def _asked(headers: Headers, now: float) -> list[float | None]:
    exact = [number_of(headers.get(name, "")) for name in _MILLISECONDS]
    return [*(each / 1000 if each is not None else None for each in exact), seconds_to("retry-after", headers, now)]


def _resets(headers: Headers, now: float) -> list[float | None]:
    return [*(seconds_to(name, headers, now) for name in _RESETS), _quota(headers.get("ratelimit", ""))]


def seconds_to(name: str, headers: Headers, now: float) -> float | None:
    """Seconds to go, however a header writes them; None where it says nothing. `now` is in Unix seconds."""
    value = headers.get(name, "").strip()
    if (number := number_of(value)) is not None:
        a_second = next((many for least, many in _EPOCHS if number >= least), None)
        return number if a_second is None else number / a_second - _sent(headers, now)
    if len(value) < 100 and _DURATIONS.fullmatch(value):
        units = [(float(number), unit.lower()) for number, unit in _DURATION.findall(value)]
        return sum(number * _UNITS["ms" if unit == "ms" else unit[0]] for number, unit in units)
    moment = moment_of(value)
    return None if moment is None else moment - _sent(headers, now)


def _sent(headers: Headers, now: float) -> float:
    """When the answer was sent, by the clock that it was written by."""
    return moment_of(headers.get("date", "")) or now


def _quota(value: str) -> float | None:
    """The longest wait for a quota that is used up; of any, where none says that it is."""
    found: list[tuple[float, float]] = list(_quotas(value))
    return max((wait for left, wait in found if not left), default=max((wait for _, wait in found), default=None))


def _quotas(value: str) -> Iterator[tuple[float, float]]:
    """(what is left, seconds until it is full again) of each quota that is named."""
    items = value.split(",") if ";" in value else [value]  # older drafts write one quota, with commas inside
    for item in items:
        said = {name.lower()[0:3]: float(number) for name, number in _QUOTA.findall(item)}
        wait = said.get("t", said.get("res"))
        if wait is not None:
            yield said.get("r", said.get("rem", 0.0)), wait
