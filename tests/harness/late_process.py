"""Scheduled runs of `deliver` that come too late, one after the other: prints the name and message of each end state.

python -m tests.harness.late_process '{"late_seconds": [300, 240], "parameters": {…}}'
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.states import Scheduled

from flows.deliver import deliver


def main(text: str) -> None:
    """Run them as `text` says, in JSON."""
    given = json.loads(text)
    ends = []
    for late in given["late_seconds"]:
        due = datetime.now(UTC) - timedelta(seconds=late)
        with get_client(sync_client=True) as client:
            run = client.create_flow_run(
                deliver,
                parameters=given["parameters"],
                tags=["auto-scheduled"],
                state=Scheduled(scheduled_time=due),
            )
        state = run_flow(deliver, flow_run=run, parameters=given["parameters"], return_type="state")
        ends.append([state.name, state.message])
    print(json.dumps({"ends": ends}))


if __name__ == "__main__":
    main(sys.argv[1])
