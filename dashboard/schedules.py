"""Schedules: Prefect's own, read and written through its API. Nothing is kept here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dashboard import prefect_api
from dashboard.prefect_api import Deployment, FlowRun, ScheduleRefused

SOURCE_NAMES = ("inbox", "source", "folder", "file")  # how a flow may call what it takes files from, best first


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
    for place in prefect_api.deployments():
        if place.name not in found or place.flow == "inbox":
            found[place.name] = place
    return found


def add(place: Deployment, *, source: str, cron: str | None, interval_seconds: float | None, timezone: str) -> None:
    """Make a schedule. Raises ScheduleRefused, StackError."""
    coming(cron, interval_seconds, timezone)  # says what is wrong in words before Prefect does
    rule: dict[str, Any] = {"cron": cron, "timezone": timezone, "day_or": True}
    if not cron:
        rule = {"interval": interval_seconds, "timezone": timezone}
    parameters = {"pipeline": place.name, _source_name(place): source} if source else {"pipeline": place.name}
    body = {"schedule": rule, "active": True, "parameters": parameters}
    prefect_api.ask("POST", f"/deployments/{place.id}/schedules", [body])


def set_active(schedule: Schedule, active: bool) -> None:
    """Pause, or go on."""
    prefect_api.ask("PATCH", f"/deployments/{schedule.deployment.id}/schedules/{schedule.id}", {"active": active})


def remove(schedule: Schedule) -> None:
    """Take it away for good."""
    prefect_api.ask("DELETE", f"/deployments/{schedule.deployment.id}/schedules/{schedule.id}")


def coming(cron: str | None, interval_seconds: float | None, timezone: str, *, count: int = 5) -> list[datetime]:
    """The next times of a rule. Raises ScheduleRefused in words where it is none."""
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ScheduleRefused(f"There is no time zone {timezone!r}.", hint="Write it like Europe/Berlin.") from exc
    now = datetime.now(zone)
    if not cron:
        if not interval_seconds or interval_seconds < 60:
            raise ScheduleRefused("The interval must be a minute or more.")
        return [now + timedelta(seconds=interval_seconds * step) for step in range(1, count + 1)]
    from prefect._vendor import croniter as vendored  # what Prefect itself reads cron with

    croniter: Any = vendored.croniter  # type: ignore[attr-defined]
    if len(cron.split()) != 5 or not croniter.is_valid(cron):
        raise ScheduleRefused(
            f"{cron!r} is no cron rule.", hint="Five fields: minute hour day month weekday, e.g. 0 6 * * 1-5."
        )
    times = croniter(cron, now)
    return [times.get_next(datetime) for _ in range(count)]


def in_words(rule: dict[str, Any]) -> str:
    """A rule as people say it, as far as it is a simple one."""
    if rule.get("rrule"):
        return str(rule["rrule"])
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
        coming=[run.expected for run in runs if run.expected][:5],
        last=latest[0] if latest else None,
    )


def _source_name(place: Deployment) -> str:
    return next((name for name in SOURCE_NAMES if name in place.accepts), "file")


def _seconds(value: float) -> str:
    for name, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if value % length == 0:
            count = int(value // length)
            return name if count == 1 else f"{count} {name}s"
    return f"{value:g} s"
