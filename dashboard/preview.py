"""What a person wants to know before anything is sent: the first requests as they would go out, how long it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from flows.client.masking import DOTS
from flows.client.request import build, idempotency_key, mask
from flows.client.template import Unsendable
from flows.errors import SettingError
from flows.pipeline.definition import Definition
from flows.pipeline.secret import secrets_of
from flows.records import LimitTerms, Row
from flows.settings import Settings

_LOCAL = frozenset(("localhost", "127.0.0.1", "::1"))


@dataclass(frozen=True, slots=True)
class Shown:
    """A row's request as it may be shown, or why there is none."""

    row: int
    line: int
    method: str = ""
    url: str = ""
    headers: Mapping[str, str] | None = None
    body: str = ""
    problem: str = ""


def request_of(run: str, definition: Definition, row: Row, settings: Settings, *, generation: int = 0) -> Shown:
    """The request of a row, secrets masked."""
    try:
        secrets = secrets_of(definition, settings.secrets)
    except SettingError:
        secrets = dict.fromkeys(definition.secret_names, DOTS)
    try:
        request = build(definition, row, key=idempotency_key(run, row, generation), secrets=secrets)
        shown: dict[str, Any] = mask(request, secrets)
    except (Unsendable, UnicodeError, ValueError) as exc:
        return Shown(row.row, row.line, problem=str(exc))
    return Shown(row.row, row.line, shown["method"], shown["url"], shown["headers"], shown["body"])


def as_text(shown: Shown) -> str:
    """The request as it goes over the wire."""
    if shown.problem:
        return shown.problem
    headers = "\n".join(f"{name.title()}: {value}" for name, value in (shown.headers or {}).items())
    return f"{shown.method} {shown.url}\n{headers}" + (f"\n\n{shown.body}" if shown.body else "")


def seconds_for(rows: int, terms: LimitTerms) -> float | None:
    """The shortest time in which so many requests may go, None where only `in_flight` bounds the pace."""
    if not terms.windows:
        return None
    return max(max(0, rows - requests) / requests * seconds for requests, seconds in terms.windows)


def pace(terms: LimitTerms, *, number: Callable[[float], str] = "{:,.0f}".format) -> str:
    """The limit in words."""
    if not terms.windows:
        return f"at most {number(terms.in_flight)} at a time"
    return " and ".join(f"{number(requests)} {_every(seconds)}" for requests, seconds in terms.windows)


def shortest(terms: LimitTerms) -> tuple[int, float] | None:
    """The shortest window: what bounds a second, and what "worst window" is about."""
    return min(terms.windows, key=lambda window: window[1], default=None)


def per_second(terms: LimitTerms) -> float | None:
    """The rate that the tightest window allows on average."""
    return min((requests / seconds for requests, seconds in terms.windows), default=None)


def host_of(definition: Definition) -> str:
    """Which server the requests go to, without credentials or query."""
    parts = urlsplit(str(definition.request.url))
    return parts.hostname or ""


def goes_to_stand_in(definition: Definition) -> bool:
    """Whether the requests stay on this machine: the stand-in API, nothing real."""
    return host_of(definition) in _LOCAL


def _every(seconds: float) -> str:
    named: dict[float, str] = {1: "per second", 60: "per minute", 3600: "per hour", 86_400: "per day"}
    return named.get(seconds, f"in {seconds:g} s")
