"""The schedules of a definition, as Prefect's own."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from prefect.schedules import Cron, Interval, RRule, Schedule

from flows.flow_runs.names import STATED
from flows.pipeline import definition as model

ANCHOR = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday, so that intervals fall on full hours, also after a restart


def schedules(definition: model.Definition) -> list[Schedule]:
    """Those of the definition. A slug names its content: whatever changes makes another schedule."""
    return [_schedule(definition, number, stated) for number, stated in enumerate(definition.schedules, start=1)]


def _schedule(definition: model.Definition, number: int, stated: model.Schedule) -> Schedule:
    content = hashlib.sha256(msgspec.json.encode(stated.model_dump(mode="json"))).hexdigest()
    slug = f"{STATED}{number}-{content[:10]}"
    parameters: dict[str, Any] = {"pipeline": definition.name, "folder": stated.inbox or ""}
    if stated.skip_delivered:
        parameters["skip_delivered"] = True
    if stated.cron is not None:
        return Cron(stated.cron, timezone=stated.timezone, active=stated.active, parameters=parameters, slug=slug)
    if stated.rrule is not None:
        return RRule(stated.rrule, timezone=stated.timezone, active=stated.active, parameters=parameters, slug=slug)
    return Interval(
        timedelta(seconds=stated.interval_seconds or 0),
        anchor_date=ANCHOR,
        timezone=stated.timezone,
        active=stated.active,
        parameters=parameters,
        slug=slug,
    )
