"""What Prefect can start of ours: `deliver/<pipeline>` and `inbox/<pipeline>` for every definition, `recover/rowrelay`.

The same for this machine (`deployments.serve`) and for a work pool (`deployments.setup`).
"""

from __future__ import annotations

from typing import Any

from prefect import Flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import (
    ConcurrencyLimitConfig,
    ConcurrencyLimitStrategy,
    DeploymentSchedule,
    StateType,
)
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Schedule
from prefect.states import Scheduled
from prefect.types.entrypoint import EntrypointType

from flows.definition import Definition
from flows.deliver import deliver
from flows.inbox import inbox
from flows.recover import recover
from flows.schedule import OWN, schedules

TAG = "rowrelay"
RUNS_AT_ONCE = 10  # of one pipeline; they share its limit, so more would only wait
MOST_LEFT = 200  # a runner takes on far fewer; also the most that Prefect's server returns at once
HEARTBEAT_SECONDS = 30  # the shortest that Prefect has

# Those that come too late wait for their turn; a look through an inbox leaves nothing for a second one at once.
# A run that was taken on by a process that then died gives its place back after SLOT_SECONDS, not Prefect's 300.
SLOT_SECONDS = 60
WAIT = ConcurrencyLimitConfig(
    limit=RUNS_AT_ONCE, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE, grace_period_seconds=SLOT_SECONDS
)
ALONE = ConcurrencyLimitConfig(
    limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW, grace_period_seconds=SLOT_SECONDS
)

ENVIRONMENT = {
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",  # the default, pickle, runs whatever lies in the storage
}


async def of(definition: Definition, *, work_pool: str = "") -> list[RunnerDeployment]:
    """The deployments of one pipeline."""
    sends = f"the rows of a file to {definition.request.url.partition('?')[0]}"
    texts = {
        "deliver": definition.description or f"Sends {sends}.",
        "inbox": f"Takes every new file of an inbox and sends {sends}.",
    }
    return [
        await _deployment(deliver, definition.name, texts["deliver"], WAIT, work_pool),
        await _deployment(inbox, definition.name, texts["inbox"], ALONE, work_pool, schedules(definition)),
    ]


async def recovery(*, work_pool: str = "") -> RunnerDeployment:
    """The deployment that an automation starts after a crash."""
    return await _deployment(recover, TAG, "Resumes a run whose process or machine died.", WAIT, work_pool)


async def _deployment(
    flow: Flow[..., Any],
    name: str,
    description: str,
    limit: ConcurrencyLimitConfig,
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
        concurrency_limit=limit,
        work_pool_name=work_pool or None,
        job_variables={"env": dict(ENVIRONMENT)} if work_pool else None,
        entrypoint_type=EntrypointType.MODULE_PATH,  # found wherever the package is installed, from any folder
    )
    if of_pipeline:  # the form offers, and the server accepts, this pipeline only
        made._parameter_openapi_schema.properties["pipeline"] |= {"enum": [name], "default": name}  # noqa: SLF001
    return made


async def keep_what_people_set(client: PrefectClient, made: RunnerDeployment) -> RunnerDeployment:
    """Before it is applied: applying would drop every schedule that is not named, and unpause what was paused."""
    try:
        there: DeploymentResponse = await client.read_deployment_by_name(f"{made.flow_name}/{made.name}")
    except ObjectNotFound:
        return made
    known = {each.slug: each for each in there.schedules if each.slug}
    own = [_as_set(each, known.get(each.slug or "")) for each in made.schedules or []]
    made.schedules = own + [_again(each) for each in there.schedules if not (each.slug or "").startswith(OWN)]
    made.paused = there.paused
    return made


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


async def give_back(client: PrefectClient) -> int:
    """Schedule anew what a runner had taken on but not begun when it ended: Prefect itself would leave it for ever.

    For a runner that has just started, and is the only one. Returns how many there were.
    """
    left = await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PENDING])),
            tags=FlowRunFilterTags(all_=[TAG]),
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        limit=MOST_LEFT,
    )
    for run in left:
        await client.set_flow_run_state(run.id, Scheduled(scheduled_time=run.expected_start_time), force=True)
    return len(left)
