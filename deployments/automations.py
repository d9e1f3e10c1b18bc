"""What Prefect does by itself when a flow run crashes: it is taken up again."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from prefect.automations import Automation
from prefect.client.orchestration import PrefectClient
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

NAME = "Rowrelay: resume crashed runs"


async def ensure(client: PrefectClient, recovery: UUID) -> None:
    """Create the automation, or bring it up to date. Whether somebody has switched it off is kept.

    Args:
        client: Of the server that is to act.
        recovery: Id of the deployment recover/rowrelay.
    """
    made = Automation(
        name=NAME,
        description="Starts recover/rowrelay, which resumes the run at most ROWRELAY_AUTO_RESUME times.",
        trigger=EventTrigger(
            expect={"prefect.flow-run.Crashed"},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            match_related=ResourceSpecification(
                {"prefect.resource.role": "flow", "prefect.resource.name": ["deliver", "inbox"]}
            ),
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
    )
    core = AutomationCore(**made.model_dump(exclude={"id", "owner_resource"}))
    there = await client.read_automations_by_name(made.name)
    if there:
        core.enabled = there[0].enabled
        await client.update_automation(automation_id=there[0].id, automation=core)
    else:
        await client.create_automation(automation=core)
