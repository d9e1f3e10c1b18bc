"""Stands in for what Prefect does not offer: another command for the flow runs that it starts as `prefect.engine`.

    python -m deployments.runners.prefect_starter COMMAND [OPTIONS OF prefect]

A deployment could name it, but is shared by all workers, those of another version or another machine too.
"""

from __future__ import annotations

import runpy
import sys
from typing import Any

import anyio

from deployments.registry.job import ENGINE


def start_by(command: str) -> None:
    """Let this process start flow runs by a command, if it is not empty. What a person has set stays."""
    try:
        from prefect.runner._starter_engine import EngineCommandStarter
    except ImportError:  # moved by an upgrade: runs start as Prefect has it, and a test of ours says so
        return
    if not command:
        return
    start = EngineCommandStarter.start

    async def started(self: EngineCommandStarter, flow_run: Any, task_status: Any = anyio.TASK_STATUS_IGNORED) -> None:
        if self._command in (None, ENGINE):  # None: the runner of `rowrelay serve`
            self._command = command
        await start(self, flow_run, task_status)

    EngineCommandStarter.start = started  # type: ignore[method-assign] # the seam


if __name__ == "__main__":
    start_by(sys.argv.pop(1))
    runpy.run_module("prefect", run_name="__main__", alter_sys=True)
