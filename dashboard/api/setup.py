"""Routes for what is set up: pipelines, limits, schedules, and how everything is."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from dashboard import actions, target
from dashboard.api.runs import by
from dashboard.api.schemas import NewSchedule, ScheduleChange
from dashboard.connections import client, pipelines
from dashboard.files.template import template_csv
from dashboard.prefect_api import health, schedules
from flows.errors import DefinitionError
from flows.ledger.connection import translated
from flows.limit import status as limit_status
from flows.pipeline.definition import Definition
from flows.pipeline.open_secret import veiled
from flows.pipeline.pipelines import pick
from flows.pipeline.timing import Rule
from flows.words import limit_words

router = APIRouter()


@router.get("/pipelines", tags=["pipelines"])
def all_pipelines() -> list[dict[str, Any]]:
    """The pipelines: what each does, its columns, its limit."""
    return [_pipeline(definition) for definition in pipelines().values()]


@router.get("/pipelines/{name}", tags=["pipelines"])
def one_pipeline(name: str) -> dict[str, Any]:
    """One pipeline with its whole definition; secrets are named, never shown."""
    definition = _named(name)
    return {**_pipeline(definition), "definition": veiled(definition.resolved())}


@router.get("/pipelines/{name}/template.csv", tags=["pipelines"])
def template(name: str) -> Response:
    """A file with the right columns and one row as an example."""
    headers = {
        "Content-Disposition": f'attachment; filename="{name}-template.csv"',
        "X-Content-Type-Options": "nosniff",
    }
    return Response(template_csv(_named(name)), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/limits", tags=["limits"])
def limits() -> list[dict[str, Any]]:
    """How every limit stands."""
    with translated():
        found = [limit_status.status(client(), name) for name in limit_status.names(client())]
    return [{**asdict(limit), "state": limit.state} for limit in found]


@router.post("/limits/{name}/open", tags=["limits"])
def open_limit(name: str, request: Request) -> dict[str, bool]:
    """Say that the API lets us in again, after a ban."""
    return {"opened": actions.open_the_limit(name, by=by(request))}


@router.get("/schedules", tags=["schedules"])
def all_schedules() -> list[dict[str, Any]]:
    """All schedules, with their next times and what came of them last."""
    return [_schedule(each) for each in schedules.every()]


@router.post("/schedules", status_code=201, tags=["schedules"])
def new_schedule(body: NewSchedule, request: Request) -> dict[str, Any]:
    """Make a schedule; answers with its next five times."""
    rule = Rule(body.cron, body.interval_seconds, body.rrule, body.timezone)
    definition = pick(pipelines(), body.pipeline)
    return {"next": actions.add_schedule(definition, source=body.source, rule=rule, by=by(request))}


@router.patch("/schedules/{schedule}", tags=["schedules"])
def change_schedule(schedule: str, body: ScheduleChange, request: Request) -> dict[str, Any]:
    """Pause a schedule, or let it go on."""
    actions.set_schedule(_known(schedule), body.active, by=by(request))
    return _schedule(_known(schedule))


@router.delete("/schedules/{schedule}", status_code=204, tags=["schedules"])
def remove_schedule(schedule: str, request: Request) -> None:
    """Remove a schedule."""
    actions.remove_schedule(_known(schedule), by=by(request))


def _named(name: str) -> Definition:
    """The pipeline that a path names."""
    try:
        return pick(pipelines(), name)
    except DefinitionError as exc:
        raise actions.NotThere(exc.message, hint=exc.hint) from exc


@router.get("/status", tags=["status"])
def status() -> list[dict[str, Any]]:
    """Redis, Prefect and the runner: whether they answer, and what to do if not."""
    return [asdict(each) for each in health.services()]


def _known(schedule: str) -> schedules.Schedule:
    for each in schedules.every():
        if each.id == schedule:
            return each
    raise actions.NotThere("There is no such schedule.")


def _schedule(each: schedules.Schedule) -> dict[str, Any]:
    return {
        "id": each.id,
        "pipeline": each.deployment.name,
        "rule": each.rule,
        "timezone": each.timezone,
        "source": each.source,
        "active": each.active,
        "next": [datetime.fromtimestamp(at, UTC) for at in each.coming],
        "last": each.last.state if each.last else None,
    }


def _pipeline(definition: Definition) -> dict[str, Any]:
    terms = definition.terms
    return {
        "name": definition.name,
        "description": definition.description,
        "host": target.host_of(definition),
        "this_machine": target.stays_here(definition),
        "columns": list(definition.column_names),
        "limit": {
            "name": terms.name,
            "pace": limit_words(terms.windows, terms.in_flight),
            "in_flight": terms.in_flight,
        },
    }
