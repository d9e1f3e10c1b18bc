"""The last time of a schedule that seldom comes, among the many runs of others."""

from __future__ import annotations

import pytest

from dashboard.prefect_api import server
from tests.harness.stack import RunningStack
from tests.harness.wait import wait_until

OTHERS = 250  # more than Prefect's server gives in one answer


def test_the_last_time_of_a_rare_schedule_is_found_among_many_runs(
    stack: RunningStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", stack.addresses.prefect_api_url)
    flow = server.ask("POST", "/flows/", {"name": "rare-times"})["id"]
    rare = {"schedule": {"interval": 86400, "anchor_date": "2020-01-01T00:00:00Z"}, "active": True}
    deployment = server.ask("POST", "/deployments/", {"name": "rare", "flow_id": flow, "schedules": [rare]})
    (schedule,) = (each["id"] for each in deployment["schedules"])
    assert server.latest(schedule) is None
    try:
        planned = wait_until(lambda: server.upcoming(schedule, limit=5), seconds=90, what="planned runs")
        began = {"state": {"type": "RUNNING"}, "force": True}
        server.ask("POST", f"/flow_runs/{planned[0].id}/set_state", began)
        for _ in range(OTHERS):
            other = {"flow_id": flow, "deployment_id": deployment["id"], "state": {"type": "COMPLETED"}}
            server.ask("POST", "/flow_runs/", other)

        found = server.latest(schedule)
    finally:
        server.ask("DELETE", f"/deployments/{deployment['id']}")

    assert found is not None
    assert found.id == planned[0].id
