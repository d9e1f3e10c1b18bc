"""What Prefect does by itself when the state of one of our flow runs changes: resume it, or tell somebody."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from prefect.automations import Automation
from prefect.client.orchestration import PrefectClient
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from flows.flow_runs.names import THAT_DELIVER

RESUME = "Rowrelay: resume crashed runs"


def on_state(states: Iterable[str], *, saying: str = "") -> EventTrigger:
    """Fires once for each flow run of ours that comes to one of these states, at once.

    With `saying`, if the state's message begins so. Tags would not do: an event has those that the flow run began with.
    """
    said = {"prefect.state-message": f"{saying}*"} if saying else {}
    return EventTrigger(
        expect={f"prefect.flow-run.{state}" for state in states},
        match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"], **said}),
        match_related=ResourceSpecification(
            {"prefect.resource.role": "flow", "prefect.resource.name": list(THAT_DELIVER)}
        ),
        for_each={"prefect.resource.id"},
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(0),
    )


async def put(client: PrefectClient, automation: Automation) -> None:
    """Create it, or bring the one of its name up to date. Whether somebody has switched that off is kept."""
    core = AutomationCore(**automation.model_dump(exclude={"id", "owner_resource"}))
    there = await client.read_automations_by_name(automation.name)
    if there:
        core.enabled = there[0].enabled
        await client.update_automation(automation_id=there[0].id, automation=core)
    else:
        await client.create_automation(automation=core)


async def remove(client: PrefectClient, name: str) -> None:
    """Take away what has this name, if anything has."""
    for each in await client.read_automations_by_name(name):
        await client.delete_automation(each.id)


async def resume_crashed(client: PrefectClient, recovery: UUID) -> None:
    """Let crashed runs be taken up again by the deployment recover/rowrelay, whose id is `recovery`."""
    await put(
        client,
        Automation(
            name=RESUME,
            description="Starts recover/rowrelay, which resumes the run at most ROWRELAY_AUTO_RESUME times.",
            trigger=on_state({"Crashed"}),
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
    )
