"""Schedules: Prefect's own, read and written through its API. Nothing is kept here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from dashboard.connections import pipelines, ready_prefect
from dashboard.prefect_api import server
from dashboard.prefect_api.server import Deployment, FlowRun
from flows.delivery.delivered import refuse_skipping
from flows.errors import DefinitionError, RowrelayError, StackError
from flows.flow_runs.names import INBOX, STATED
from flows.intake.origin import origin
from flows.pipeline.definition import Definition
from flows.pipeline.timing import OVER, Rule, RuleRefused
from flows.settings import Settings
from flows.storage.access import resolve

TIMES = 5  # are shown of what is to come
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
GONE = "Its pipeline is not there any more."
GONE_HINT = "Remove the schedule, or put the definition back."
SKIP = "skip_delivered"  # the parameter of our flows
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
    planned: Rule  # what `rule` says in words
    stated: bool  # it stands in the definition of its pipeline
    wished: bool  # it is not paused itself, though all of its deployment may be
    skips: bool  # rows that earlier runs delivered are left out
    gone: bool  # its pipeline is not there any more


def every() -> list[Schedule]:
    """All schedules of our deployments. Raises StackError."""
    found = server.deployments()
    gone = _gone({each.name for each in found})
    return [_schedule(each, place, place.name in gone) for place in found for each in place.schedules]


def _gone(names: Set[str]) -> Set[str]:
    """Those of these pipelines that have no definition; none while one is wrong, as it may be the one that is missing.

    Whose definitions cannot be read at all has them called there.
    """
    with suppress(DefinitionError):
        known = pipelines()
        return names - known.keys() if not known.refused else set()
    return set()


def of_inbox(found: Sequence[Schedule], pipeline: str, folder: Path) -> list[Schedule]:
    """Those that are active and take files from the pipeline's own inbox, which is `folder`; the soonest first."""
    active = [each for each in found if each.active and each.deployment.name == pipeline]
    own = [each for each in active if not each.source or _is_folder(each.source, folder)]
    return sorted(own, key=lambda each: each.coming[:1] or [float("inf")])


def _is_folder(source: str, folder: Path) -> bool:
    return "://" not in source.removeprefix("file://") and folder.parent / source.removeprefix("file://") == folder


def targets() -> dict[str, Deployment]:
    """What a schedule may start, by pipeline: its inbox flow where that is served, else its delivery."""
    found: dict[str, Deployment] = {}
    for each in server.deployments():
        if each.name not in found or each.flow == INBOX:
            found[each.name] = each
    return found


def add(
    definition: Definition, settings: Settings, *, source: str, rule: Rule, skip_delivered: bool = False
) -> tuple[str, list[datetime]]:
    """Make a schedule; returns its id and its next five times.

    Raises:
        DefinitionError: it is to leave out delivered rows, and the pipeline has no key.
        RuleRefused: there can be no such rule.
        ScheduleRefused: nobody serves the pipeline.
        FileError: nothing may be taken from `source`.
        SettingError: it needs a package that is not installed.
        PrefectRefused, StackError: Prefect says no, or does not answer.
    """
    refuse_skipping(definition, None, wished=skip_delivered)
    begun = datetime.now(UTC)
    planned = as_prefect(rule, begun)
    shown = times(rule, planned, begun)  # says what is wrong in words before Prefect does
    target = targets().get(definition.name)
    if target is None:
        raise ScheduleRefused(f"Nothing serves {definition.name} yet.", hint="Start `rowrelay up`, then try again.")
    if target.flow == INBOX:
        origin(source, definition, settings)
    else:
        resolve(source, (settings.uploads, settings.inbox, *settings.folders))
    _refuse_twin(target, rule, source)
    parameters: dict[str, Any] = {"pipeline": target.name}
    if source:
        parameters[_source_name(target)] = source
    if skip_delivered:
        parameters[SKIP] = True
    body = {"schedule": planned, "active": True, "parameters": parameters}
    made = server.ask("POST", f"/deployments/{target.id}/schedules", [body])
    return str(made[0]["id"]), shown


def change(
    schedule: Schedule, rule: Rule, definition: Definition, *, skip_delivered: bool | None = None
) -> list[datetime]:
    """Let it come at other times, or leave out other rows; returns the next five times.

    `definition` is that of its pipeline; `skip_delivered` None leaves it as it is. A rule that is its own already is
    not touched, so an interval goes on as it began. Raises DefinitionError as `add` does, RuleRefused,
    ScheduleRefused, StackError.
    """
    if schedule.stated:
        raise ScheduleRefused(
            f"This schedule stands in the definition of {schedule.deployment.name}.",
            hint="Change it there, or remove it here and make another.",
        )
    refuse_skipping(definition, None, wished=bool(skip_delivered))
    parameters = schedule.parameters if skip_delivered is None else schedule.parameters | {SKIP: skip_delivered}
    changes: dict[str, Any] = {"active": schedule.wished, "parameters": parameters}
    if rule == schedule.planned:
        shown = [datetime.fromtimestamp(at, ZoneInfo(rule.timezone)) for at in schedule.coming]
    else:
        begun = datetime.now(UTC)
        changes["schedule"] = as_prefect(rule, begun)
        shown = times(rule, changes["schedule"], begun)
        _refuse_twin(schedule.deployment, rule, schedule.source, but=schedule.id)
    server.ask("PATCH", f"/deployments/{schedule.deployment.id}/schedules/{schedule.id}", changes)
    return shown


def _refuse_twin(target: Deployment, rule: Rule, source: str, *, but: str = "") -> None:
    """Two equal schedules would deliver every file of the one twice, or fight for it."""
    for raw in target.schedules:
        if raw["id"] != but and _same(_planned(raw), rule) and _source_of(raw, target) == source:
            raise ScheduleRefused("There is such a schedule already.", hint="Pause, change or remove that one.")


def _same(one: Rule, other: Rule) -> bool:
    """Whether two rules come at the same times, as far as they are simple: `1-5` and `1,2,3,4,5` do."""
    days = days_of(one.cron or "")
    return one == other or (days is not None and days == days_of(other.cron or "") and one.timezone == other.timezone)


def set_active(schedule: Schedule, active: bool) -> None:
    """Pause, or go on. Where all of the deployment is paused, that ends too, and its other schedules stay paused.

    Raises ScheduleRefused where there is no pipeline to go on with, PrefectRefused, StackError.
    """
    if active and schedule.gone:
        raise ScheduleRefused(GONE, hint=GONE_HINT)
    place = schedule.deployment
    wakes = active and place.paused
    others = [each for each in place.schedules if each["id"] != schedule.id and each.get("active")] if wakes else []
    for each in others:
        _patch(place, each["id"], False, each.get("parameters") or {})
    _patch(place, schedule.id, active, schedule.parameters)
    if wakes:
        server.ask("POST", f"/deployments/{place.id}/resume_deployment")


def _patch(place: Deployment, schedule: str, active: bool, parameters: dict[str, Any]) -> None:
    # Prefect takes parameters that are left out for none, and the folder would be forgotten.
    changes = {"active": active, "parameters": parameters}
    server.ask("PATCH", f"/deployments/{place.id}/schedules/{schedule}", changes)


def remove(schedule: Schedule) -> None:
    """Take it away for good."""
    server.ask("DELETE", f"/deployments/{schedule.deployment.id}/schedules/{schedule.id}")


def coming(rule: Rule, *, start: datetime | None = None) -> list[datetime]:
    """The next five times at which Prefect will run it, from now or from `start`. Raises RuleRefused."""
    begun = start or datetime.now(UTC)
    return times(rule, as_prefect(rule, begun), begun)


def times(rule: Rule, planned: dict[str, Any], start: datetime) -> list[datetime]:
    """The times of what Prefect is told, by its own reckoning: it alone knows what it does when clocks change."""
    rule.judge()  # first: asked for the times of a rule that has none, Prefect would not come back
    with suppress(StackError):
        ready_prefect()  # its settings are read when it is imported
    from prefect.server.schemas.actions import DeploymentScheduleCreate

    made: Any = DeploymentScheduleCreate.model_validate({"schedule": planned}).schedule
    dates = asyncio.run(made.get_dates(n=TIMES, start=start))
    if not dates:
        raise RuleRefused("rrule", rule.rrule, OVER, over=True)
    return [datetime.fromtimestamp(each.timestamp(), ZoneInfo(rule.timezone)) for each in dates]


def as_prefect(rule: Rule, begun: datetime) -> dict[str, Any]:
    """What Prefect is told of it; `begun` is from when an interval is counted."""
    if rule.cron is not None:
        return {"cron": rule.cron, "timezone": rule.timezone, "day_or": True}
    if rule.rrule is not None:
        return {"rrule": rule.rrule, "timezone": rule.timezone}
    anchor = begun.replace(microsecond=0).isoformat()
    return {"interval": rule.interval_seconds, "anchor_date": anchor, "timezone": rule.timezone}


def on_days(days: Sequence[int], hour: int, minute: int) -> str:
    """The cron rule of these weekdays (0: Monday … 6: Sunday) at a time of day."""
    every = "*" if len(set(days)) == len(DAYS) else ",".join(str((day + 1) % 7) for day in sorted(set(days)))
    return f"{minute} {hour} * * {every}"


def days_of(cron: str) -> tuple[list[int], int, int] | None:
    """The weekdays and the time of day of a cron rule, None where it says something else."""
    parts = cron.split()
    if len(parts) != 5 or not (parts[0].isdecimal() and parts[1].isdecimal()) or parts[2:4] != ["*", "*"]:
        return None
    days: set[int] = set()
    for part in ("0-6" if parts[4] == "*" else parts[4]).split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not (last.isdecimal() and int(first) <= int(last))):
            return None
        days.update((day + 6) % 7 for day in range(int(first), int(last or first) + 1))
    return (sorted(days), int(parts[1]), int(parts[0])) if days else None


def in_words(rule: Rule) -> str:
    """A rule as people say it, as far as it is a simple one."""
    if rule.rrule is not None:
        return rule.rrule
    if rule.interval_seconds is not None:
        return f"every {_seconds(rule.interval_seconds)}"
    cron = rule.cron or ""
    if found := days_of(cron):
        days, hour, minute = found
        return f"{_days(days)} at {hour:02}:{minute:02}"
    parts = cron.split()
    if len(parts) == 5 and parts[0].isdecimal() and parts[1:] == ["*"] * 4:
        return f"every hour at :{int(parts[0]):02}"
    return cron


def _days(days: Sequence[int]) -> str:
    if len(days) == len(DAYS):
        return "every day"
    if len(days) > 2 and list(days) == list(range(days[0], days[-1] + 1)):
        return f"{DAYS[days[0]]} to {DAYS[days[-1]]}"
    names = [f"every {DAYS[day]}" if len(days) == 1 else DAYS[day] for day in days]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _schedule(raw: dict[str, Any], place: Deployment, gone: bool) -> Schedule:
    rule, now = _planned(raw), time.time()
    planned = [run.expected or 0.0 for run in server.upcoming(raw["id"], limit=TIMES)]
    return Schedule(
        id=raw["id"],
        deployment=place,
        rule=in_words(rule),
        timezone=rule.timezone,
        source=_source_of(raw, place),
        active=bool(raw.get("active")) and not place.paused and not gone,
        coming=[at for at in planned if at > now and not gone],
        last=server.latest(raw["id"]),
        parameters=raw.get("parameters") or {},
        planned=rule,
        stated=str(raw.get("slug") or "").startswith(STATED),
        wished=bool(raw.get("active")),
        skips=bool((raw.get("parameters") or {}).get(SKIP)),
        gone=gone,
    )


def _planned(raw: dict[str, Any]) -> Rule:
    """What Prefect has of a schedule, as a rule of ours."""
    found = raw.get("schedule") or {}
    zone = found.get("timezone") or "UTC"
    if found.get("rrule"):
        # Prefect puts a beginning in front.
        return Rule(rrule=str(found["rrule"]).splitlines()[-1].removeprefix("RRULE:"), timezone=zone)
    if found.get("interval") is not None:
        return Rule(interval_seconds=float(found["interval"]), timezone=zone)
    return Rule(cron=str(found.get("cron", "")), timezone=zone)


def _source_of(raw: dict[str, Any], place: Deployment) -> str:
    parameters = {**place.parameters, **(raw.get("parameters") or {})}
    return str(next((parameters[name] for name in SOURCE_NAMES if parameters.get(name)), ""))


def _source_name(place: Deployment) -> str:
    return next((name for name in SOURCE_NAMES if name in place.accepts), "file")


def _seconds(value: float) -> str:
    for name, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if value % length == 0:
            count = int(value // length)
            return name if count == 1 else f"{count} {name}s"
    return f"{value:g} s"
