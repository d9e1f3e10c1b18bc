"""What Prefect does by itself when a machine dies: the run is marked as crashed, then taken up again."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from prefect.automations import Automation
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from deployments.heartbeat import SILENT_SECONDS, UNBEGUN_SECONDS

NAMES = (
    "Rowrelay: mark runs of dead machines",
    "Rowrelay: resume crashed runs",
    "Rowrelay: schedule runs anew that nobody began",
)


def planned(recovery: UUID) -> list[Automation]:
    """The automations; `recovery` is the id of the deployment recover/rowrelay."""
    runs = ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]})
    ours = ResourceSpecification({"prefect.resource.role": "flow", "prefect.resource.name": ["deliver", "inbox"]})
    return [
        Automation(
            name=NAMES[0],
            description="A flow run that gives no sign of life has died with its machine.",
            trigger=EventTrigger(
                after={"prefect.flow-run.heartbeat"},
                # Anything at all is a sign of life: states have names of our own here.
                expect={"prefect.flow-run.*"},
                match=runs,
                match_related=ours,
                for_each={"prefect.resource.id"},
                posture=Posture.Proactive,
                threshold=1,
                within=timedelta(seconds=SILENT_SECONDS),
            ),
            actions=[
                ChangeFlowRunState(
                    name="Crashed",
                    state=StateType.CRASHED,
                    force=False,
                    message=f"No sign of life for {SILENT_SECONDS} s: its process or machine is gone.",
                )
            ],
        ),
        Automation(
            name=NAMES[1],
            description="Starts recover/rowrelay, which resumes the run at most ROWRELAY_AUTO_RESUME times.",
            trigger=EventTrigger(
                expect={"prefect.flow-run.Crashed"},
                match=runs,
                match_related=ours,
                for_each={"prefect.resource.id"},
                posture=Posture.Reactive,
                threshold=1,
                within=timedelta(0),
            ),
            actions=[
                RunDeployment(
                    source="selected",
                    deployment_id=recovery,
                    # Prefect turns what stands in braces into JSON, which it cannot do with an id as it is.
                    parameters={"crashed": "{{ flow_run.id | string }}"},
                    job_variables=None,
                )
            ],
        ),
        Automation(
            name=NAMES[2],
            description="Whoever took the flow run on died before it began.",
            trigger=EventTrigger(
                after={"prefect.flow-run.Pending"},
                expect={"prefect.flow-run.*"},
                match=runs,
                match_related=ours,
                for_each={"prefect.resource.id"},
                posture=Posture.Proactive,
                threshold=1,
                within=timedelta(seconds=UNBEGUN_SECONDS),
            ),
            actions=[
                ChangeFlowRunState(
                    name="Scheduled",
                    state=StateType.SCHEDULED,
                    force=True,
                    message=f"Taken on {UNBEGUN_SECONDS} s ago and never begun.",
                )
            ],
        ),
    ]


async def ensure(client: PrefectClient, recovery: UUID) -> None:
    """Create the automations, or bring them up to date. Whether somebody has switched one off is kept."""
    for made in planned(recovery):
        core = AutomationCore(**made.model_dump(exclude={"id", "owner_resource"}))
        there = await client.read_automations_by_name(made.name)
        if there:
            core.enabled = there[0].enabled
            await client.update_automation(automation_id=there[0].id, automation=core)
        else:
            await client.create_automation(automation=core)
