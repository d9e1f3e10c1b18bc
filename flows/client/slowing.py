"""How much may still be asked until when, as the headers of an answer say it. Pure.

| headers                                              | written as                                              |
|------------------------------------------------------|---------------------------------------------------------|
| RateLimit, RateLimit-Policy                          | `"default";r=50;t=30`; without `t` the window `w` of    |
|                                                      | the policy of that name; several: the strictest counts  |
| RateLimit                                            | `limit=100, remaining=50, reset=30`                     |
| RateLimit-Remaining, X-RateLimit-…, X-Rate-Limit-…   | a number                                                |
| …-Reset                                              | seconds, `30s`, `6m0s`, Unix time in seconds or in      |
|                                                      | smaller units, a date                                   |
| …-Reset-After, …-Reset-Ms                            | seconds; milliseconds                                   |

A definition may name two headers of its own instead. Nothing is made of what cannot be meant:

- a number of requests that is none, is negative (some write -1 for no limit) or above a thousand millions;
- a reset that has passed, or comes within a second: most are rounded to seconds, so that no pace follows from it;
- a reset further away than an hour, which is as long as a 429 can make us wait: a quota of a day or a month is no pace;
- two values in one header, of which nobody knows which counts; a header of more than a thousand characters.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flows.client.pause import MAX_PAUSE_SECONDS, seconds_to
from flows.pipeline.slow_by import SlowBy
from flows.records import Reply
from flows.values import number_of
from flows.words import duration

LEAST_SECONDS, MOST_SECONDS = 1.0, MAX_PAUSE_SECONDS
MOST_REQUESTS = 10**9
_MOST_CHARACTERS = 1000
Headers = Mapping[str, str]

_FAMILIES = ("ratelimit", "x-ratelimit", "x-rate-limit")
_RESETS = ("reset-after", "reset-ms", "reset")  # the exact ones first
_MILLISECONDS = re.compile(r"(?i)[-_](ms|millis|milliseconds)$")
_EPOCH_MILLISECONDS = 1e11
_ITEM = re.compile(r'(?:"([^"]*)"|([A-Za-z*][A-Za-z0-9_*./:-]*))((?:\s*;\s*[A-Za-z*][A-Za-z0-9_*-]*=[^;,"]*)+)')
_PARAMETER = re.compile(r"([A-Za-z*][A-Za-z0-9_*-]*)\s*=\s*([^;,\s]+)")


@dataclass(frozen=True, slots=True)
class Budget:
    """At most `remaining` further requests within `seconds`."""

    remaining: int
    seconds: float

    @property
    def rate(self) -> float:
        """Requests a second, where they are spread evenly."""
        return self.remaining / self.seconds

    @property
    def words(self) -> str:
        """`30 requests remain for the next 10 s`."""
        count = "no request remains" if not self.remaining else f"{self.remaining:,} requests remain"
        count = "1 request remains" if self.remaining == 1 else count
        return f"{count} for the next {duration(self.seconds)}"


def budget_of(headers: Headers, names: SlowBy, *, now: float | None = None) -> Budget | None:
    """What an answer that came `now` (Unix seconds) says may still be asked; None where it says nothing usable.

    `headers` must find names in any case (httpx.Headers does).
    """
    now = time.time() if now is None else now
    if names.remaining is not None and names.reset is not None:
        return _budget(_single(headers, names.remaining), _seconds(headers, names.reset, now))
    found = [budget for budget in _standard(headers, now) if budget is not None]
    return min(found, key=lambda budget: (budget.rate, -budget.seconds), default=None)


def budget_in(reply: Reply, names: SlowBy | None) -> Budget | None:
    """The same of a reply. One that asks everybody to wait or shuts us out says that itself, and no pace."""
    if names is None or reply.status is None or reply.status >= 500 or reply.ban or reply.pause_seconds is not None:
        return None
    return budget_of(reply.headers, names)


def _budget(remaining: object, seconds: float | None) -> Budget | None:
    number = number_of(remaining)
    if number is None or seconds is None or not 0 <= number <= MOST_REQUESTS:
        return None
    return Budget(int(number), seconds) if LEAST_SECONDS < seconds <= MOST_SECONDS else None


def _standard(headers: Headers, now: float) -> Iterator[Budget | None]:
    for family in _FAMILIES:
        resets = (_seconds(headers, f"{family}-{ending}", now) for ending in _RESETS)
        reset = next((each for each in resets if each is not None), None)
        yield _budget(_single(headers, f"{family}-remaining"), reset)
    said = _single(headers, "ratelimit")
    lengths = {name: told.get("w") for name, told in _items(_single(headers, "ratelimit-policy"))}
    for name, told in _items(said):
        yield _budget(told.get("r"), number_of(told.get("t", lengths.get(name))))
    if ";" not in said:
        told = {name.lower(): value for name, value in _PARAMETER.findall(said)}
        yield _budget(told.get("remaining"), number_of(told.get("reset")))


def _items(value: str) -> Iterator[tuple[str, dict[str, str]]]:
    """(name, its parameters) of each item of a structured header."""
    for quoted, bare, parameters in _ITEM.findall(value):
        yield quoted or bare, {name.lower(): told for name, told in _PARAMETER.findall(parameters)}


def _single(headers: Headers, name: str) -> str:
    value = headers.get(name, "").strip()
    return value if len(value) <= _MOST_CHARACTERS else ""


def _seconds(headers: Headers, name: str, now: float) -> float | None:
    """Seconds until the reset that a header names."""
    value = _single(headers, name)
    number = number_of(value)
    if number is not None and number < _EPOCH_MILLISECONDS and _MILLISECONDS.search(name):
        return number / 1000
    return seconds_to(name, headers, now) if value else None
