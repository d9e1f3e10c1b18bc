"""Schedules: Prefect's own, read and written through its API. Nothing is kept here."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dashboard import prefect_api
from dashboard.connections import ready_prefect
from dashboard.prefect_api import Deployment, FlowRun
from flows.errors import RowrelayError, StackError
from flows.flow_runs.names import INBOX
from flows.intake.incoming import origin
from flows.pipeline.definition import Definition
from flows.settings import Settings
from flows.storage.access import resolve

_ANCHOR = datetime(2020, 1, 1)  # where Prefect begins to count a calendar rule that does not say
SOURCE_NAMES = ("inbox", "source", "folder", "file")  # how a flow may call what it takes files from, best first


class ScheduleRefused(RowrelayError):
    """There can be no such schedule."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule, with when it comes next and what came of it last."""

    id: str
    deployment: Deployment
    rule: str
    timezone: str
    source: str
    active: bool
    coming: list[float]
    last: FlowRun | None
    parameters: dict[str, Any]  # its own


@dataclass(frozen=True, slots=True)
class Rule:
    """When a schedule starts something: one of `cron`, `interval_seconds` and `rrule` (an iCalendar rule)."""

    cron: str | None = None
    interval_seconds: float | None = None
    rrule: str | None = None
    timezone: str = "UTC"


def every() -> list[Schedule]:
    """All schedules of our deployments. Raises StackError."""
    places = prefect_api.deployments()
    raw = {place.id: prefect_api.ask("GET", f"/deployments/{place.id}/schedules") for place in places}
    with_some = [place.id for place in places if raw[place.id]]
    coming, latest = prefect_api.upcoming(with_some), prefect_api.latest(with_some)
    return [
        _schedule(each, place, coming.get(place.id, []), latest.get(place.id, []))
        for place in places
        for each in raw[place.id]
    ]


def targets() -> dict[str, Deployment]:
    """What a schedule may start, by pipeline: its inbox flow where that is served, else its delivery."""
    found: dict[str, Deployment] = {}
    for each in prefect_api.deployments():
        if each.name not in found or each.flow == INBOX:
            found[each.name] = each
    return found


def add(definition: Definition, settings: Settings, *, source: str, rule: Rule) -> list[datetime]:
    """Make a schedule; returns its next five times.

    Raises:
        ScheduleRefused: the rule is none, or nobody serves the pipeline.
        FileError: nothing may be taken from `source`.
        SettingError: it needs a package that is not installed.
        PrefectRefused, StackError: Prefect says no, or does not answer.
    """
    times = coming(rule)  # says what is wrong in words before Prefect does
    target = targets().get(definition.name)
    if target is None:
        raise ScheduleRefused(f"Nothing serves {definition.name} yet.", hint="Start `rowrelay up`, then try again.")
    if target.flow == INBOX:
        origin(source, definition, settings)
    else:
        resolve(source, (settings.uploads, settings.inbox, *settings.folders))
    parameters = {"pipeline": target.name, _source_name(target): source} if source else {"pipeline": target.name}
    body = {"schedule": _as_prefect(rule), "active": True, "parameters": parameters}
    prefect_api.ask("POST", f"/deployments/{target.id}/schedules", [body])
    return times


def set_active(schedule: Schedule, active: bool) -> None:
    """Pause, or go on. Where all of the deployment is paused, that ends too."""
    where = f"/deployments/{schedule.deployment.id}"
    # Prefect takes parameters that are left out for none, and the folder would be forgotten.
    changes = {"active": active, "parameters": schedule.parameters}
    prefect_api.ask("PATCH", f"{where}/schedules/{schedule.id}", changes)
    if active and schedule.deployment.paused:
        prefect_api.ask("POST", f"{where}/resume_deployment")


def remove(schedule: Schedule) -> None:
    """Take it away for good."""
    prefect_api.ask("DELETE", f"/deployments/{schedule.deployment.id}/schedules/{schedule.id}")


def coming(rule: Rule, *, count: int = 5) -> list[datetime]:
    """The next times of a rule. Raises ScheduleRefused in words where it is none."""
    try:
        zone = ZoneInfo(rule.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ScheduleRefused(f"There is no time zone {rule.timezone!r}.", hint="Write it like Europe/Berlin.") from exc
    if sum(each is not None for each in (rule.cron, rule.interval_seconds, rule.rrule)) != 1:
        raise ScheduleRefused("A schedule needs one rule.", hint="Either cron, an interval, or a calendar rule.")
    now = datetime.now(zone)
    if rule.cron is not None:
        return _by_cron(rule.cron, now, count)
    if rule.rrule is not None:
        return _by_calendar(rule.rrule, now, count)
    seconds = rule.interval_seconds or 0.0
    if seconds < 60:
        raise ScheduleRefused("The interval must be a minute or more.")
    return [now + timedelta(seconds=seconds * step) for step in range(1, count + 1)]


def _by_cron(cron: str, now: datetime, count: int) -> list[datetime]:
    with suppress(StackError):
        ready_prefect()  # its settings are read when it is imported
    from prefect._vendor import croniter as vendored  # what Prefect itself reads cron with

    croniter: Any = vendored.croniter  # type: ignore[attr-defined]
    if len(cron.split()) != 5 or not croniter.is_valid(cron):
        raise ScheduleRefused(
            f"{cron!r} is no cron rule.", hint="Five fields: minute hour day month weekday, e.g. 0 6 * * 1-5."
        )
    times = croniter(cron, now)
    return [times.get_next(datetime) for _ in range(count)]


def _by_calendar(text: str, now: datetime, count: int) -> list[datetime]:
    """The times of an iCalendar rule, on the clock of its time zone, as Prefect reads it."""
    from dateutil.rrule import rrule, rrulestr  # type: ignore[import-untyped]  # it has no types

    hint = "For example FREQ=MONTHLY;BYDAY=1MO;BYHOUR=6;BYMINUTE=0;BYSECOND=0: the first Monday of a month, at 06:00."
    clock = now.replace(tzinfo=None)
    try:
        parsed = rrulestr(text, dtstart=_ANCHOR)
        if not isinstance(parsed, rrule):
            raise ScheduleRefused("Several calendar rules in one are not supported.", hint=hint)
        if re.search(r"FREQ=(SECONDLY|MINUTELY)", text, re.IGNORECASE):
            raise ScheduleRefused("A calendar rule may not be finer than hours.", hint="Use an interval instead.")
        if not re.search(r"UNTIL|COUNT", text, re.IGNORECASE):
            parsed = parsed.replace(until=clock + timedelta(days=3660))  # a rule without a day would be sought for ever
        times = [each.replace(tzinfo=now.tzinfo) for each in parsed.xafter(clock, count=count)]
    except (ValueError, TypeError, AttributeError, KeyError) as exc:
        raise ScheduleRefused(f"{text[:80]!r} is no calendar rule: {exc}", hint=hint) from exc
    if not times:
        raise ScheduleRefused(f"{text[:80]!r} names no time to come.", hint=hint)
    return times


def _as_prefect(rule: Rule) -> dict[str, Any]:
    if rule.cron is not None:
        return {"cron": rule.cron, "timezone": rule.timezone, "day_or": True}
    if rule.rrule is not None:
        return {"rrule": rule.rrule, "timezone": rule.timezone}
    return {"interval": rule.interval_seconds, "timezone": rule.timezone}


def in_words(rule: dict[str, Any]) -> str:
    """A rule as people say it, as far as it is a simple one."""
    if rule.get("rrule"):
        return str(rule["rrule"]).splitlines()[-1].removeprefix("RRULE:")  # Prefect puts a beginning in front
    if rule.get("interval") is not None:
        return f"every {_seconds(rule['interval'])}"
    cron = str(rule.get("cron", ""))
    parts = cron.split()
    if len(parts) == 5 and parts[0].isdecimal() and parts[1].isdecimal() and parts[2:4] == ["*", "*"]:
        days = {"*": "every day", "1-5": "Monday to Friday"}.get(parts[4])
        if days:
            return f"{days} at {int(parts[1]):02}:{int(parts[0]):02}"
    if len(parts) == 5 and parts[0].isdecimal() and parts[1:] == ["*"] * 4:
        return f"every hour at :{int(parts[0]):02}"
    return cron


def _schedule(raw: dict[str, Any], place: Deployment, runs: list[FlowRun], latest: list[FlowRun]) -> Schedule:
    rule, parameters = raw.get("schedule") or {}, {**place.parameters, **(raw.get("parameters") or {})}
    return Schedule(
        id=raw["id"],
        deployment=place,
        rule=in_words(rule),
        timezone=rule.get("timezone") or "UTC",
        source=str(next((parameters[name] for name in SOURCE_NAMES if parameters.get(name)), "")),
        active=bool(raw.get("active")) and not place.paused,
        coming=[run.expected for run in runs if run.expected and run.schedule in ("", raw["id"])][:5],
        last=next((run for run in latest if run.schedule in ("", raw["id"])), None),
        parameters=raw.get("parameters") or {},
    )


def _source_name(place: Deployment) -> str:
    return next((name for name in SOURCE_NAMES if name in place.accepts), "file")


def _seconds(value: float) -> str:
    for name, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if value % length == 0:
            count = int(value // length)
            return name if count == 1 else f"{count} {name}s"
    return f"{value:g} s"
