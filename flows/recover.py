"""The flow that takes a run up again after its process or machine died. An automation starts it, once a crash."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from prefect import flow, get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Completed, Failed, Scheduled

from flows import logs
from flows.errors import RowrelayError, RunNotFound, StackError
from flows.flow_runs.names import RECOVER
from flows.flow_runs.outcome import SKIPPED
from flows.flow_runs.resumption import count_resumption, resumptions
from flows.flow_runs.start import start
from flows.flow_runs.states import told
from flows.intake import turn
from flows.ledger.connection import connect, verify
from flows.ledger.ledger import LEASE_SECONDS, Ledger
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.records import RunState
from flows.settings import Settings

logs.without_told_traces()


@flow(name=RECOVER, flow_run_name="recover {crashed}", persist_result=False, validate_parameters=True)
def recover(crashed: str) -> State[Any]:
    """Resume a run whose process or machine died, unless it is over, delivered by another, or has died too often.

    Args:
        crashed: Id of the flow run or the run that came to a sudden end.
    """
    try:
        settings = Settings.read()
        client = connect(settings.redis_address, patience=lambda: settings.give_up_seconds)
        verify(client)
        flow_run = _flow_run(crashed)
        run = _left(View(client), crashed)
        if why := _needless(flow_run, run):
            return told(Completed(message=f"Skipped: {why}"), SKIPPED)
        deaths = resumptions(run) if run else _deaths(flow_run) - 1
        if deaths >= settings.auto_resume:
            return Failed(message=_too_often(run.id if run else crashed, deaths))
        done = _go_on(flow_run, run)
        if run:
            count_resumption(Ledger(client), run)
    except RowrelayError as exc:
        return Failed(message=str(exc))
    get_run_logger().info(done)
    return told(Completed(message=done))


def _flow_run(crashed: str) -> FlowRun | None:
    """What Prefect knows by this id; nothing if it is the id of a run."""
    try:
        with get_client(sync_client=True) as client:
            return client.read_flow_run(UUID(crashed))
    except (ObjectNotFound, ValueError):
        return None
    except (PrefectHTTPStatusError, httpx.HTTPError) as exc:
        raise StackError(f"Prefect does not answer: {exc}") from exc


def _left(view: View, crashed: str) -> Run | None:
    """The run, once the lease of its dead deliverer is over, or it is clear that somebody keeps it.

    Nothing if the process died before it had entered one.
    """
    deadline = time.monotonic() + LEASE_SECONDS + 1
    try:
        run = view.run(view.resolve(crashed))
    except RunNotFound:
        return None
    while run.busy and time.monotonic() < deadline:
        time.sleep(0.5)
        run = view.run(run.id)
    return run


def _needless(flow_run: FlowRun | None, run: Run | None) -> str:
    """Why there is nothing to do, if so."""
    if flow_run is not None and flow_run.parent_task_run_id is not None:
        return "It was a part of another flow run, which goes on with it."
    if flow_run is not None and not (flow_run.state and flow_run.state.is_crashed()):
        return f"Flow run {flow_run.id} is {flow_run.state_name}."
    if run is not None and (run.state in (RunState.FINISHED, RunState.STOPPED, RunState.CANCELLED) or run.cancelling):
        return f"Run {run.id} is {run.state}."
    if run is not None and run.busy:
        return f"Run {run.id} is being delivered; its process is alive."
    if run is None and (flow_run is None or flow_run.deployment_id is None):
        return "It delivered nothing yet, and nobody serves it."
    return ""


def _deaths(flow_run: FlowRun | None) -> int:
    if flow_run is None:
        return 0
    with get_client(sync_client=True) as client:
        return sum(state.type is StateType.CRASHED for state in client.read_flow_run_states(flow_run.id))


def _too_often(run: str, deaths: int) -> str:
    if deaths == 0:
        return f"{run} died and is not resumed by itself, as ROWRELAY_AUTO_RESUME is 0. Resume it yourself."
    return f"{run} has died again after {deaths} resumptions without a row finished. Look why, then resume it yourself."


def _go_on(flow_run: FlowRun | None, run: Run | None) -> str:
    """Schedule the flow run that died anew, with all that it was asked for. Returns what was done.

    One that nobody serves, as it was begun by hand, is resumed by its pipeline's deployment.
    """
    if flow_run is None or flow_run.deployment_id is None:
        assert run is not None
        dry_run = run.facts.only_check  # nobody has said yet that it may be sent
        key = f"recover:{run.id}:{run.facts.epoch}"  # once a death
        other = start(run.pipeline, resume=run.id, dry_run=dry_run, by="recovery", idempotency_key=key)
        return f"Run {run.id} goes on in flow run {other}."
    pause = timedelta(seconds=0 if run else turn.SECONDS + 1)  # so long an inbox is still held by the dead look
    anew: State[Any] = Scheduled(
        name="AwaitingRetry", message="Its process or machine died.", scheduled_time=datetime.now(UTC) + pause
    )
    try:
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(flow_run.id, anew, force=True)
    except (PrefectHTTPStatusError, httpx.HTTPError) as exc:
        raise StackError(f"Prefect does not schedule flow run {flow_run.id} anew: {exc}") from exc
    return f"Flow run {flow_run.id} goes on."
