"""What a person on a page, or a program over HTTP, may do with schedules; who did it is in the log."""

from __future__ import annotations

from datetime import datetime

from dashboard.connections import pipelines, settings
from dashboard.noted import note
from dashboard.prefect_api import schedules
from dashboard.prefect_api.schedules import Schedule
from flows.pipeline.definition import Definition
from flows.pipeline.pipelines import pick
from flows.pipeline.timing import Rule


def add(
    definition: Definition, *, source: str, rule: Rule, skip_delivered: bool = False, by: str
) -> tuple[str, list[datetime]]:
    """Make a schedule; returns its id and next times. Raises ScheduleRefused, PrefectRefused, StackError."""
    made = schedules.add(definition, settings(), source=source, rule=rule, skip_delivered=skip_delivered)
    note("%s made a schedule of %s: %s (%s)", by, definition.name, rule, source or "its own inbox")
    return made


def change(schedule: Schedule, rule: Rule, *, skip_delivered: bool | None = None, by: str) -> list[datetime]:
    """Let a schedule come at other times, or say anew whether it leaves out delivered rows; returns the next times.

    Raises DefinitionError, RuleRefused, ScheduleRefused, StackError.
    """
    definition = pick(pipelines(), schedule.deployment.name)
    coming = schedules.change(schedule, rule, definition, skip_delivered=skip_delivered)
    skips = "" if skip_delivered is None else f", skip_delivered {str(skip_delivered).lower()}"
    note("%s changed the schedule %s of %s to %s%s", by, schedule.rule, schedule.deployment.name, rule, skips)
    return coming


def set_active(schedule: Schedule, active: bool, *, by: str) -> None:
    """Pause a schedule or resume it. Raises ScheduleRefused, PrefectRefused, StackError."""
    schedules.set_active(schedule, active)
    note("%s %s the schedule %s of %s", by, "resumed" if active else "paused", schedule.rule, schedule.deployment.name)


def remove(schedule: Schedule, *, by: str) -> None:
    """Remove a schedule. Raises PrefectRefused, StackError."""
    schedules.remove(schedule)
    note("%s removed the schedule %s of %s", by, schedule.rule, schedule.deployment.name)
