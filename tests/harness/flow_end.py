"""How a flow run ended, as Prefect's server has it."""

from __future__ import annotations

from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State


def end(state: State[Any]) -> dict[str, Any]:
    """Name, type and message of its last state, and the tags, the title and the id of the flow run."""
    assert state.state_details.flow_run_id
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(state.state_details.flow_run_id)
    said = {"name": state.name, "type": state.type, "message": state.message}
    return said | {"tags": run.tags, "title": run.name, "id": str(run.id)}
