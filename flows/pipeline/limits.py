"""How fast requests may go, as a definition states it: windows, units, periods of the calendar, one limit a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from flows.limit.places import IN_FLIGHT_BY_DEFAULT
from flows.pipeline.column import Column, Float, Int, Part, left_out
from flows.records import LimitTerms
from flows.words import limit_words, span_words

Seconds = Annotated[Float, Field(gt=0, le=31 * 86_400)]
Number = Annotated[Int, Field(ge=1, le=1_000_000_000)]
COLUMN = re.compile(r"\{([^{}]*)\}")


class Window(Part):
    """At most `requests` arrivals in any window of `seconds`."""

    requests: Annotated[Int, Field(ge=1, le=1_000_000)]
    """Most requests that may arrive in any window"""
    seconds: Seconds
    """Length of the window"""


class Limit(Part):
    """How fast requests may go; shared by name, by everything that uses the same API account."""

    name: str
    """One name per API account: definitions that name the same limit share it. With {column}: one limit a value"""
    requests: Annotated[Int, Field(ge=1, le=1_000_000)] | None = None
    """Most requests that may arrive in any window of window_seconds"""
    window_seconds: Seconds | None = None
    """Length of the window that `requests` or `units` count in"""
    windows: Annotated[list[Window], Field(min_length=1, max_length=10)] | None = None
    """Several windows at once, instead of requests and window_seconds"""
    units: Number | None = Field(default=None, exclude_if=left_out)
    """Instead of requests: most units in any window, where a request costs more than one"""
    cost: Number | str | None = Field(default=None, exclude_if=left_out)
    """Units that a request costs: a number, `rows` (as many as it has rows), or "{column}". Default: 1"""
    per: Literal["minute", "hour", "day", "week", "month"] | None = Field(default=None, exclude_if=left_out)
    """Instead of window_seconds: the API counts by the calendar, from the begin of each such period"""
    timezone: str | None = Field(default=None, exclude_if=left_out)
    """Where the periods of `per` begin: an IANA name, e.g. Europe/Berlin. Default: UTC"""
    in_flight: Annotated[Int, Field(ge=1, le=10_000)] | None = None
    """Most requests under way at once. Default: the smallest number of requests of the windows, but at most 500"""
    late_seconds: Seconds | None = None
    """If known: the longest a request may take to arrive. Makes slow APIs faster; a promise that you make"""
    max_timeout_seconds: Annotated[Float, Field(gt=0, le=3600)] | None = None
    """Longest time-out that a definition under this limit may have. Default: this definition's own"""
    grace_seconds: Annotated[Float, Field(ge=0, le=600)] = 2.0
    """How long a request that was given up may still be on its way"""

    @property
    def pairs(self) -> tuple[tuple[int, float], ...]:
        """The windows as (requests or units, seconds), shortest first; empty if none bounds the pace."""
        if self.windows is not None:
            return tuple((w.requests, w.seconds) for w in sorted(self.windows, key=lambda window: window.seconds))
        number = self.units or self.requests
        return () if number is None or self.window_seconds is None else ((number, self.window_seconds),)

    @property
    def calendar(self) -> tuple[tuple[int, str], ...]:
        """The period that it counts by, if it does: (requests or units, `day Europe/Berlin`)."""
        number = self.units or self.requests
        return () if number is None or self.per is None else ((number, f"{self.per} {self.timezone or 'UTC'}"),)

    @property
    def columns(self) -> list[str]:
        """The columns that tell which limit it is."""
        return COLUMN.findall(self.name)

    @property
    def cost_column(self) -> str | None:
        """The column that says what a row costs."""
        found = COLUMN.fullmatch(self.cost) if isinstance(self.cost, str) else None
        return found[1] if found else None

    @property
    def words(self) -> str:
        """What it allows: `1,000 units in 10 s, 10 a request`; `1 per second for each chat_id`."""
        unit = "units " if self.units is not None else ""
        found = [f"{number:,} {unit}{span_words(seconds)}" for number, seconds in self.pairs]
        found += [f"{number:,} {unit}{span_words(0.0, period)}" for number, period in self.calendar]
        words = " and ".join(found) or limit_words((), self.in_flight or 0)
        if self.cost is not None:
            words += f", {self.cost_column or self.cost} a request"
        return f"{words} for each {' and '.join(self.columns)}" if self.columns else words

    def least_cost(self, rows: int, columns: Mapping[str, Column]) -> int:
        """What a request costs at least, if it has so many rows."""
        if isinstance(self.cost, int):
            return self.cost
        if (name := self.cost_column) is None:
            return rows if self.cost == "rows" else 1
        column = columns.get(name)
        return max(1, int(column.min or 1 if column is not None and column.type == "int" else 1)) * rows

    def terms(self, *, timeout_seconds: float, rows: int, columns: Mapping[str, Column]) -> LimitTerms:
        """The numbers that the limiter works with, for requests of so many rows at most."""
        numbers = [number for number, _ in (*self.pairs, *self.calendar)]
        fit = [max(1, number // self.least_cost(rows, columns)) for number in numbers]
        return LimitTerms(
            name=self.name,
            windows=self.pairs,
            in_flight=self.in_flight or min([IN_FLIGHT_BY_DEFAULT, *fit]),
            max_timeout_seconds=self.max_timeout_seconds or timeout_seconds,
            grace_seconds=self.grace_seconds,
            late_seconds=self.late_seconds,
            units=self.units is not None,
            calendar=self.calendar,
        )
