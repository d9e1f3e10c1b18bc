"""The flow that takes a run up again after its process or machine died. An automation starts it, once a crash."""

from __future__ import annotations

import time
from typing import Annotated, Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from flows.connection import connect, verify
from flows.errors import RowrelayError, RunNotFound
from flows.ledger import LEASE_SECONDS, Ledger
from flows.ledger_view import Run, View
from flows.records import RunState
from flows.resumption import may_resume
from flows.settings import Settings
from flows.start import start


@flow(name="recover", flow_run_name="recover {crashed}", persist_result=False, validate_parameters=True)
def recover(
    crashed: Annotated[str, Field(description="Id of the flow run or the run that came to a sudden end")] = "",
) -> State[Any]:
    """Resume a run whose process or machine died, unless it is over, delivered by another, or has died too often."""
    try:
        settings = Settings.read()
        client = connect(settings.redis_url.get_secret_value() if settings.redis_url else "")
        verify(client)
        view = View(client)
        run = _left(view, crashed)
        if run.state in (RunState.FINISHED, RunState.STOPPED) or run.cancelling:
            return Completed(name="Skipped", message=f"Run {run.id} is {run.state}.")
        if run.busy:
            return Completed(name="Skipped", message=f"Run {run.id} is being delivered; its process is alive.")
        if not may_resume(Ledger(client), run, settings.auto_resume):
            return Failed(message=f"Run {run.id} has died {settings.auto_resume} times in a row; resume it yourself.")
        only_check = run.facts.get("only_check") == "1"  # nobody has said yet that it may be sent
        flow_run = start(
            run.pipeline, resume=run.id, dry_run=only_check, by="recovery", idempotency_key=f"recover:{crashed}"
        )
    except RunNotFound:
        return Completed(name="Skipped", message=f"{crashed} delivered nothing yet.")
    except RowrelayError as exc:
        return Failed(message=str(exc))
    get_run_logger().info("run %s goes on in flow run %s", run.id, flow_run)
    return Completed(message=f"Run {run.id} goes on.")


def _left(view: View, crashed: str) -> Run:
    """The run, once the lease of its dead deliverer is over, or it is clear that somebody keeps it."""
    deadline = time.monotonic() + LEASE_SECONDS + 1
    run = view.run(view.resolve(crashed))
    while run.busy and time.monotonic() < deadline:
        time.sleep(0.5)
        run = view.run(run.id)
    return run
