"""What Prefect can start of ours: `deliver/<pipeline>` and `inbox/<pipeline>` for every definition, `recover/rowrelay`.

The same for this machine (`rowrelay serve`) and for a work pool (`rowrelay register`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import (
    DeploymentScheduleCreate,
    DeploymentUpdate,
    VariableCreate,
    VariableUpdate,
)
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import (
    ConcurrencyLimitConfig,
    ConcurrencyLimitStrategy,
    DeploymentSchedule,
    StateType,
)
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import DeploymentSort, FlowRunSort
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.schedules import Schedule
from prefect.states import Scheduled
from prefect.types.entrypoint import EntrypointType

from deployments.registry.job import JOB
from flows.deliver import deliver
from flows.flow_runs.names import INBOX, STATED
from flows.flow_runs.schedule import schedules
from flows.inbox import inbox
from flows.pipeline.definition import Definition
from flows.pipeline.pipelines import Pipelines
from flows.pipeline.timing import refusal
from flows.recover import recover

TAG = "rowrelay"
GONE = "rowrelay-definition-gone"  # a tag: paused by us because there is no definition any more
RUNS_OF_A_PIPELINE = 10  # at once; they share its limit, so more would only wait
Apply = Callable[[RunnerDeployment], Awaitable[UUID]]
MOST = 200  # what Prefect's server returns at once

# A run that was taken on by a process that then died gives its place back after SLOT_SECONDS, not Prefect's 300.
SLOT_SECONDS = 60


def at_once(runs: int) -> ConcurrencyLimitConfig:
    """The collision rule, one for everything: what comes while `runs` are under way waits for its turn."""
    return ConcurrencyLimitConfig(
        limit=runs, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE, grace_period_seconds=SLOT_SECONDS
    )


def folders(definition: Definition) -> int:
    """How many places the pipeline's schedules take files from, its own inbox included. One look each at once."""
    return len({"", *(schedule.inbox or "" for schedule in definition.schedules)})


async def of(definition: Definition, *, work_pool: str = "") -> list[RunnerDeployment]:
    """The deployments of one pipeline."""
    url = definition.main.url.partition("?")[0]
    texts = {
        "deliver": definition.description or f"Sends the rows of a file to {url}.",
        "inbox": f"Takes every new file of an inbox and delivers it through {definition.name}.",
    }
    return [
        await _deployment(deliver, definition.name, texts["deliver"], RUNS_OF_A_PIPELINE, work_pool),
        await _deployment(
            inbox, definition.name, texts["inbox"], folders(definition), work_pool, schedules(definition)
        ),
    ]


async def recovery(*, work_pool: str = "") -> RunnerDeployment:
    """The deployment that an automation starts after a crash."""
    return await _deployment(
        recover, TAG, "Resumes a run whose process or machine died.", RUNS_OF_A_PIPELINE, work_pool
    )


async def _deployment(
    flow: Flow[..., Any],
    name: str,
    description: str,
    runs: int,
    work_pool: str,
    planned: list[Schedule] | None = None,
) -> RunnerDeployment:
    of_pipeline = flow is not recover
    made = await flow.ato_deployment(
        name=name,
        description=description,
        parameters={"pipeline": name} if of_pipeline else {},
        tags=[TAG],
        schedules=planned or [],
        concurrency_limit=at_once(runs),
        work_pool_name=work_pool or None,
        job_variables=dict(JOB) if work_pool else None,
        entrypoint_type=EntrypointType.MODULE_PATH,  # found wherever the package is installed, from any folder
    )
    schema = made._parameter_openapi_schema  # noqa: SLF001  the form, and what the server accepts
    if of_pipeline:
        schema.properties["pipeline"] |= {"enum": [name], "default": name}
    if flow is deliver:  # an empty form is refused before there is a run
        schema.properties["file"] |= {"minLength": 1}
        schema.properties["file"].pop("default", None)
        schema.required = ["file"]
    return made


async def register(client: PrefectClient, made: RunnerDeployment, apply: Apply) -> UUID:
    """Make it known with `apply`, and keep what people have set: pauses, schedules of theirs, and removed ones of ours.

    Applying alone would drop every schedule that is not named, and unpause what was paused.
    """
    stated = sorted(each.slug for each in made.schedules or [] if each.slug)
    identity = await apply(await keep_what_people_set(client, made))
    if made.flow_name == INBOX:
        await _drop_unstated(client, identity, {each.slug or "" for each in made.schedules or []})
        await _note_stated(client, made.name, stated)
    return identity


async def _drop_unstated(client: PrefectClient, deployment: UUID, kept: set[str]) -> None:
    """Take away what a definition stated before: where all have slugs, Prefect adds and changes, and drops none."""
    for each in await client.read_deployment_schedules(deployment):
        if (each.slug or "").startswith(STATED) and each.slug not in kept:
            await client.delete_deployment_schedule(deployment, each.id)


async def keep_what_people_set(client: PrefectClient, made: RunnerDeployment) -> RunnerDeployment:
    """What `register` applies."""
    try:
        there: DeploymentResponse = await client.read_deployment_by_name(f"{made.flow_name}/{made.name}")
    except ObjectNotFound:
        return made
    known = {_content(each.slug): each for each in there.schedules if each.slug}
    before = await _stated(client, made.name) if made.flow_name == INBOX else []
    removed = set(map(_content, before)) - set(known)
    left = [each for each in made.schedules or [] if _content(each.slug or "") not in removed]
    own = [_as_set(each, known.get(_content(each.slug or ""))) for each in left]
    made.schedules = own + [_again(each) for each in there.schedules if not (each.slug or "").startswith(STATED)]
    made.paused = there.paused and GONE not in there.tags
    return made


def _content(slug: str) -> str:
    """What a slug of ours says of its schedule, without the place in the definition, which others may change."""
    return slug.rpartition("-")[2] if slug.startswith(STATED) else slug


async def _stated(client: PrefectClient, pipeline: str) -> list[str]:
    """The slugs of the schedules that its definition stated when it was last made known."""
    kept = await client.read_variable_by_name(_variable(pipeline))
    return [str(slug) for slug in kept.value] if kept and isinstance(kept.value, list) else []


async def _note_stated(client: PrefectClient, pipeline: str, slugs: list[str]) -> None:
    """Remember them: one that is remembered but not there has been removed by a person."""
    if await _stated(client, pipeline) == slugs:
        return
    name, value = _variable(pipeline), cast("Any", slugs)
    try:
        await client.create_variable(VariableCreate(name=name, value=value, tags=[TAG]))
    except ObjectAlreadyExists:
        await client.update_variable(VariableUpdate(name=name, value=value, tags=[TAG]))


def _variable(pipeline: str) -> str:
    return "rowrelay_schedules_of_" + pipeline.replace("-", "_")


def _as_set(planned: Any, known: DeploymentSchedule | None) -> Any:
    return planned.model_copy(update={"active": known.active}) if known else planned


def _again(schedule: DeploymentSchedule) -> DeploymentScheduleCreate:
    return DeploymentScheduleCreate(
        schedule=schedule.schedule,
        active=schedule.active,
        max_scheduled_runs=schedule.max_scheduled_runs,
        parameters=schedule.parameters,
        slug=schedule.slug,
    )


async def withdraw_missing(client: PrefectClient, found: Pipelines, *, work_pool: str = "") -> list[str]:
    """Pause the deployments whose definition is gone, and take its schedules away. Returns their pipelines.

    People's schedules stay, and come back to life with the definition. While some file is wrong nothing is
    withdrawn: it may be that of the pipeline which seems to be gone.
    """
    if found.refused:
        return []
    gone = set()
    for there in await _all(client):
        if there.name in (*found, TAG) or GONE in there.tags or (there.work_pool_name or "") != work_pool:
            continue
        own = [each for each in there.schedules if (each.slug or "").startswith(STATED)]
        for schedule in own:
            await client.delete_deployment_schedule(there.id, schedule.id)
        if own:  # those come back with the definition; what a person has removed does not
            ours = {each.slug for each in own}
            stated = await _stated(client, there.name)
            await _note_stated(client, there.name, [slug for slug in stated if slug not in ours])
        if not there.paused:  # else a person has paused it, and it stays so
            await client.update_deployment(there.id, DeploymentUpdate(paused=True, tags=[*there.tags, GONE]))
        gone.add(there.name)
    return sorted(gone)


async def pause_refused(client: PrefectClient) -> list[str]:
    """Pause every schedule of ours that does not pass, whoever made it: Prefect could come to harm by it.

    Returns which there are, in words; some may have been paused before.
    """
    found = []
    for there in await _all(client):
        for each in there.schedules:
            if why := refusal(each.schedule.model_dump(mode="json")):
                if each.active:
                    await client.update_deployment_schedule(there.id, each.id, active=False)
                found.append(f"{there.name}: {why}")
    return found


async def _all(client: PrefectClient) -> list[DeploymentResponse]:
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    found: list[DeploymentResponse] = []
    while page := await client.read_deployments(
        deployment_filter=ours, sort=DeploymentSort.NAME_ASC, limit=MOST, offset=len(found)
    ):
        found += page
    return found


async def give_back(client: PrefectClient, deployments: list[UUID]) -> int:
    """Schedule anew what a runner had taken on but not begun when it ended: Prefect itself would leave it for long.

    For the only runner of these deployments, which has just started. Returns how many there were.
    """
    left = await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PENDING]))),
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=deployments)),
        sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        limit=MOST,  # a runner takes on far fewer
    )
    for run in left:
        await client.set_flow_run_state(run.id, Scheduled(scheduled_time=run.expected_start_time), force=True)
    return len(left)
