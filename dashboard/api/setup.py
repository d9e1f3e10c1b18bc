"""Routes for what is set up: pipelines, limits, schedules, and how everything is."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from fastapi import APIRouter, Request, Response

from dashboard import actions, timetable
from dashboard.api import schemas_setup as schemas
from dashboard.api.problems import raises
from dashboard.api.request import by, say_where
from dashboard.connections import client, pipelines
from dashboard.files.template import template_csv
from dashboard.prefect_api import health, schedules
from dashboard.prefect_api.schedules import ScheduleRefused
from dashboard.prefect_api.server import NotInPrefect, PrefectRefused
from dashboard.refusals import NotFound
from flows.errors import DefinitionError, FileError
from flows.ledger.connection import translated
from flows.limit import status as limit_status
from flows.pipeline.definition import Definition
from flows.pipeline.open_secret import veiled
from flows.pipeline.pipelines import pick
from flows.pipeline.timing import Rule, RuleRefused

router = APIRouter()
_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}


@router.get("/pipelines", tags=["pipelines"])
@raises(DefinitionError)
def list_pipelines() -> schemas.PipelinePage:
    """The pipelines: what each does, its columns, its limit."""
    return schemas.PipelinePage(items=[schemas.Pipeline.of(definition) for definition in pipelines().values()])


@router.get("/pipelines/{name}", tags=["pipelines"])
@raises(NotFound)
def get_pipeline(name: str) -> schemas.PipelineDetail:
    """One pipeline with its whole definition; secrets are named, never shown."""
    definition = _named(name)
    return schemas.PipelineDetail.of(definition, veiled(definition.resolved()))


@router.get("/pipelines/{name}/template.csv", tags=["pipelines"], response_class=Response, responses=_CSV)
@raises(NotFound)
def download_template(name: str) -> Response:
    """A file with the right columns and one row as an example."""
    headers = {
        "Content-Disposition": f'attachment; filename="{name}-template.csv"',
        "X-Content-Type-Options": "nosniff",
    }
    definition = _named(name)
    media_type = f"text/csv; charset={definition.source.encoding or 'utf-8'}"
    return Response(template_csv(definition), media_type=media_type, headers=headers)


@router.get("/limits", tags=["limits"])
def list_limits() -> schemas.LimitPage:
    """How every limit stands."""
    with translated():
        found = [limit_status.status(client(), name) for name in limit_status.names(client())]
    return schemas.LimitPage(items=[schemas.Limit.of(limit) for limit in found])


@router.post("/limits/{name}/open", tags=["limits"])
@raises(NotFound)
def open_limit(name: str, request: Request) -> schemas.Opened:
    """Say that the API lets us in again, after a ban."""
    return schemas.Opened(opened=actions.open_the_limit(name, by=by(request)))


@router.get("/schedules", tags=["schedules"])
@raises(PrefectRefused)
def list_schedules() -> schemas.SchedulePage:
    """All schedules, with their next times and what came of them last."""
    return schemas.SchedulePage(items=[schemas.Schedule.of(each) for each in schedules.every()])


@router.post("/schedules", status_code=201, tags=["schedules"])
@raises(DefinitionError, RuleRefused, ScheduleRefused, FileError, PrefectRefused)
def create_schedule(body: schemas.NewSchedule, request: Request, response: Response) -> schemas.Schedule:
    """Make a schedule; the answer has its id and its next five times."""
    rule = Rule(body.cron, body.interval_seconds, body.rrule, body.timezone)
    definition = pick(pipelines(), body.pipeline)
    made, coming = timetable.add(
        definition, source=body.source, rule=rule, skip_delivered=body.skip_delivered, by=by(request)
    )
    say_where(request, response, f"/schedules/{made}")
    return schemas.Schedule.of(_known(made), coming)


@router.get("/schedules/{schedule}", tags=["schedules"])
@raises(NotFound, PrefectRefused)
def get_schedule(schedule: str) -> schemas.Schedule:
    """One schedule."""
    return schemas.Schedule.of(_known(schedule))


@router.patch("/schedules/{schedule}", tags=["schedules"])
@raises(NotFound, NotInPrefect, DefinitionError, RuleRefused, ScheduleRefused, PrefectRefused)
def change_schedule(schedule: str, body: schemas.ScheduleChange, request: Request) -> schemas.Schedule:
    """Pause a schedule, resume it, let it come at other times, or say anew whether it leaves out delivered rows."""
    coming = None
    if body.times or body.skip_delivered is not None:
        found = _known(schedule)
        stated = (body.cron, body.interval_seconds, body.rrule)
        rule = Rule(*stated) if any(each is not None for each in stated) else found.planned
        rule = replace(rule, timezone=body.timezone or found.timezone)
        coming = timetable.change(found, rule, skip_delivered=body.skip_delivered, by=by(request))
    if body.active is not None:
        timetable.set_active(_known(schedule), body.active, by=by(request))
    return schemas.Schedule.of(_known(schedule), coming)


@router.delete("/schedules/{schedule}", status_code=204, tags=["schedules"])
@raises(NotFound, NotInPrefect, PrefectRefused)
def delete_schedule(schedule: str, request: Request) -> None:
    """Remove a schedule."""
    timetable.remove(_known(schedule), by=by(request))


@router.get("/status", tags=["status"])
@raises(DefinitionError)
def get_status() -> schemas.Status:
    """Redis, Prefect and the workers: whether they answer, and what to do if not."""
    found = health.services()
    accounts = [schemas.Account.of(each) for each in health.accounts()]
    return schemas.Status(
        well=all(each.well for each in found),
        services=[schemas.Service(**asdict(each)) for each in found],
        accounts=accounts,
    )


def _named(name: str) -> Definition:
    """The pipeline that a path names."""
    try:
        return pick(pipelines(), name)
    except DefinitionError as exc:
        raise NotFound(exc.message, hint=exc.hint) from exc


def _known(schedule: str) -> schedules.Schedule:
    for each in schedules.every():
        if each.id == schedule:
            return each
    raise NotFound("There is no such schedule.")
