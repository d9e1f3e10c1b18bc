"""What is wrong with the limits of a definition, each by itself and with its columns, batch and time-outs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from zoneinfo import ZoneInfo

from flows.pipeline.definition import Definition
from flows.pipeline.fault import Fault, Place, brief, plain_name_faults
from flows.pipeline.known import Known
from flows.pipeline.limits import Limit
from flows.pipeline.rules import Rule

MOST_OF_UNITS = 10_000  # with so many a visit to Redis takes some 50 ms
_FAMILY = re.compile(r"[a-z0-9]+([- ][a-z0-9]+|[- ]?\{[^{}]*\})*")


def limit_faults(definition: Definition, columns: tuple[str, ...] | None) -> Iterator[Fault]:
    """Every fault of the limits. `columns`: None where they cannot be known."""
    if definition.limit is not None and definition.limits:
        yield Fault(("limits",), "stand beside `limit`; move that one into the list, as its first")
        return
    if definition.limit is None and not definition.limits:
        yield Fault(
            ("limit",), "is missing; say how fast requests may go, e.g. {name: posts, requests: 7, window_seconds: 1}"
        )
        return
    single = definition.limit is not None
    names = [limit.name for limit in definition.each_limit]
    for at, limit in enumerate(definition.each_limit):
        place: Place = ("limit",) if single else ("limits", at)
        if limit.name in names[:at]:
            yield Fault((*place, "name"), f"stands twice ({brief(limit.name)}); give each limit a name of its own")
        yield from _name(limit, place, columns)
        yield from _numbers(limit, place)
        yield from _cost(definition, limit, place, columns)
        yield from _many(definition, limit, place)
        yield from _timeouts(definition, limit)
    for place, rules in _rules(definition):
        for at, rule in enumerate(rules):
            if rule.limit is None:
                continue
            if rule.means != "wait":
                what = f"says which limit waits, and this rule means {rule.means}; leave it out"
                yield Fault((*place, at, "limit"), what)
            elif single:
                what = "is for a definition with several limits; this one has one, which waits"
                yield Fault((*place, at, "limit"), what)
            elif rule.limit not in names:
                what = f"is none of the limits here, {', '.join(names)} (found {brief(rule.limit)})"
                yield Fault((*place, at, "limit"), what)


def _rules(definition: Definition) -> Iterator[tuple[Place, Sequence[Rule]]]:
    yield ("answers",), definition.answers
    for at, step in enumerate(definition.steps):
        yield ("steps", at, "answers"), step.answers
    if definition.batch is not None:
        yield ("batch", "answers"), definition.batch.answers
    parts = (("reconcile", definition.reconcile), ("poll", definition.poll), ("undo", definition.undo))
    for name, part in parts:
        if part is not None:
            yield (name, "answers"), part.answers
    if definition.poll is not None:
        yield ("poll", "item_answers"), definition.poll.item_answers


def _name(limit: Limit, place: Place, columns: tuple[str, ...] | None) -> Iterator[Fault]:
    place, name = (*place, "name"), limit.name
    if "{" in name or "}" in name:
        if not _FAMILY.fullmatch(name) or len(name) > 60:
            what = 'must be small letters, digits, blanks, hyphens and columns in braces, e.g. "chat {chat_id}"'
            yield Fault(place, f"{what} (found {brief(name)})")
            return
        for column in limit.columns:
            if columns is not None and column not in columns:
                yield Fault(place, Known(columns).words(column))
    else:
        yield from plain_name_faults(place, name)


def _numbers(limit: Limit, place: Place) -> Iterator[Fault]:
    number = "units" if limit.units is not None else "requests"
    if limit.units is not None and limit.requests is not None:
        yield Fault((*place, "units"), "stand beside `requests`; write two limits, one of requests and one of units")
        return
    if limit.per is not None and (limit.window_seconds is not None or limit.windows is not None):
        yield Fault((*place, "per"), "counts by the calendar, and a window by seconds; write two limits")
        return
    if limit.windows is not None and limit.units is not None:
        yield Fault((*place, "windows"), "count requests; write a limit for each window of units")
    elif limit.windows is not None and (limit.requests is not None or limit.window_seconds is not None):
        yield Fault((*place, "windows"), "write either `windows` or `requests` and `window_seconds`, not both")
    elif limit.requests is None and limit.units is None and limit.per is not None:
        yield Fault((*place, "requests"), f"is missing; how many may arrive in a {limit.per}?")
    elif (limit.requests or limit.units) is not None and limit.window_seconds is None and limit.per is None:
        yield Fault((*place, "window_seconds"), f"is missing; `{number}` are counted per window_seconds, e.g. 1")
    elif limit.window_seconds is not None and limit.requests is None and limit.units is None:
        yield Fault((*place, "requests"), "is missing; how many requests may arrive in a window?")
    elif not limit.pairs and not limit.calendar and limit.in_flight is None:
        yield Fault((*place, "requests"), "is missing; state requests and window_seconds, windows, or only in_flight")
    seconds = [window.seconds for window in limit.windows or ()]
    if len(set(seconds)) < len(seconds):
        yield Fault((*place, "windows"), "two windows have the same length; keep the stricter one")
    yield from _zone(limit, place)


def _zone(limit: Limit, place: Place) -> Iterator[Fault]:
    if limit.timezone is None:
        return
    if limit.per is None:
        yield Fault((*place, "timezone"), "is for a limit `per` day, week or month; a window of seconds has none")
        return
    if limit.per in ("minute", "hour"):
        yield Fault((*place, "timezone"), f"changes nothing about {limit.per}s; leave it out")
        return
    try:
        ZoneInfo(limit.timezone)
    except (KeyError, ValueError, OSError):
        what = f"is no time zone that this machine knows (found {brief(limit.timezone)}); e.g. Europe/Berlin"
        yield Fault((*place, "timezone"), what)


def _cost(definition: Definition, limit: Limit, place: Place, columns: tuple[str, ...] | None) -> Iterator[Fault]:
    if limit.cost is None:
        return
    place = (*place, "cost")
    if limit.units is None:
        yield Fault(place, "is counted in `units`, and this limit states none; write units in place of requests")
    elif isinstance(limit.cost, int):
        if limit.cost > limit.units:
            yield Fault(place, f"of {limit.cost} can never fit into {limit.units} units; lower it, or raise those")
    elif limit.cost == "rows":
        if definition.batch is None:
            yield Fault(place, "rows is for a definition with `batch`; here each request has one row, so leave it out")
        elif definition.batch.rows > limit.units:
            what = f"rows: a batch of {definition.batch.rows} can never fit into {limit.units} units"
            yield Fault(place, f"{what}; lower batch.rows, or raise units")
    elif (name := limit.cost_column) is None:
        yield Fault(place, f'must be a number, rows, or a column such as "{{points}}" (found {brief(limit.cost)})')
    elif columns is not None and name not in columns:
        yield Fault(place, Known(columns).words(name))
    elif definition.schema_path:
        yield Fault(place, f"{name} comes from a schema; only of `columns` is it known that each value can be paid")
    elif (column := definition.columns.get(name)) is not None:
        if column.type != "int" or column.optional:
            yield Fault(place, f"{name} must be a column of whole numbers in each row: {{type: int, min: 0, max: …}}")
        elif column.min is None or column.min < 0 or column.max is None or column.max > limit.units:
            what = f"{name} needs min: 0 or more and max: {limit.units} or less"
            yield Fault(place, f"{what}: a row that costs more would never go")


def _many(definition: Definition, limit: Limit, place: Place) -> Iterator[Fault]:
    """Of a limit of units each request in its window is looked at, whenever somebody asks."""
    cheapest = limit.least_cost(definition.rows_per_request, definition.columns)
    most = max((number // max(1, cheapest) for number, _ in (*limit.pairs, *limit.calendar)), default=0)
    if limit.units is not None and most > MOST_OF_UNITS:
        what = f"of {limit.units:,} hold {most:,} of the cheapest requests, and {MOST_OF_UNITS:,} are the most"
        yield Fault((*place, "units"), f"{what}: state a higher cost, or count requests")


def _timeouts(definition: Definition, limit: Limit) -> Iterator[Fault]:
    most = limit.max_timeout_seconds
    stated = [((*place, "timeout_seconds"), request.timeout_seconds) for place, request in definition.requests]
    stated += [(("auth", "oauth2", "timeout_seconds"), seconds) for seconds in definition.token_seconds]
    for place, seconds in stated:
        if most is not None and seconds > most:
            found = f"{seconds:g} is above the limit's max_timeout_seconds of {most:g}"
            yield Fault(place, f"{found}; lower it, or raise that")
