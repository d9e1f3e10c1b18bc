"""What a run is that the ledger does not know: not begun yet, ended before it began, deleted, or none at all.

The pages and the HTTP API both ask here, so that they say the same of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from dashboard.connections import view
from dashboard.prefect_api import server
from dashboard.prefect_api.server import FlowRun
from flows.errors import RunDeleted, RunNotFound
from flows.flow_runs.names import DELIVER
from flows.flow_runs.outcome import SKIPPED

_COUNTED = re.compile(r"(?:^no rows|\d [a-z]+) of \d+(?:\.|$)")  # how a run that was delivered sums up


@dataclass(frozen=True, slots=True)
class NotBegun:
    """A run that was started and has delivered nothing. `flow` is what Prefect knows of it."""

    kind: Literal["starting", "cancelled", "stopped"]
    flow: FlowRun

    @property
    def words(self) -> tuple[str, str]:
        """What happened, and what more there is to say."""
        if self.kind == "cancelled":
            return "The run was cancelled before it began.", "Nothing was sent."
        if self.kind == "stopped":
            return f"The run did not begin: {self.flow.state}.", f"{self.flow.message}\nNothing was sent.".strip()
        return "The run has not begun.", "It begins when a worker takes it up."


def not_begun(name: str, missing: RunNotFound) -> NotBegun:
    """What Prefect knows of a run that is not in the ledger.

    Raises:
        RunDeleted: it was delivered, and was deleted since.
        RunNotFound: `missing` itself, where there is no such run.
        StackError: Redis or Prefect does not answer.
    """
    if deleted := view().deleted(name):
        raise deleted
    flow = _of_ours(name)
    if flow is None:
        raise missing
    if resumed := str(flow.parameters.get("resume") or ""):
        raise view().deleted(resumed) or _expired(resumed)
    if flow.ended and _was_delivered(flow):
        raise _expired(name)
    return NotBegun("starting" if not flow.ended else "cancelled" if flow.type == "CANCELLED" else "stopped", flow)


def _of_ours(name: str) -> FlowRun | None:
    """The flow run of that id, if it delivers a file: what else runs in the same Prefect is nobody's business here."""
    try:
        found = server.flow_run(str(UUID(name)))
    except ValueError:
        return None
    ours = found is not None and "pipeline" in found.parameters and server.flow_name(found.flow) == DELIVER
    return found if ours else None


def _was_delivered(flow: FlowRun) -> bool:
    """Whether it came to results, which are not kept any more."""
    skipped = flow.state == SKIPPED.capitalize() or flow.message.startswith("Skipped: ")
    return bool(_COUNTED.search(flow.message)) or (flow.type == "COMPLETED" and not skipped)


def _expired(run: str) -> RunDeleted:
    return RunDeleted(run, hint="It was deleted, or is older than runs are kept (ROWRELAY_RETENTION_DAYS).")
