"""The scheduled flow: delivers each new file of a folder or an address once, and puts it away."""

from __future__ import annotations

import logging
import time
from collections import Counter
from contextlib import suppress
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from flows.deliver import deliver
from flows.delivery.delivered import refuse_skipping
from flows.delivery.delivery import Delivery
from flows.errors import RowrelayError
from flows.flow_runs import drain
from flows.flow_runs.launch import LAUNCH, Launch
from flows.flow_runs.missed import too_late
from flows.flow_runs.names import INBOX, LOOKS
from flows.flow_runs.outcome import FILES_WITH_ERRORS, SAYS_WITH_ERRORS, SKIPPED, STOPPED, WAITING, WITH_ERRORS
from flows.flow_runs.states import told
from flows.intake.fate import Delivered, Fate, Taken
from flows.intake.incoming import Origin
from flows.intake.intake import Intake
from flows.intake.origin import origin
from flows.intake.turn import Turn, turn
from flows.ledger.connection import connect, verify
from flows.ledger.inbox import Claims
from flows.ledger.ledger import Ledger
from flows.limit.status import most_urgent, status
from flows.pipeline.definition import Definition
from flows.pipeline.pipelines import pick, present
from flows.settings import Settings

_LEVELS = {
    Fate.STOPPED: logging.ERROR,
    Fate.REFUSED: logging.WARNING,
    Fate.TROUBLED: logging.WARNING,
    Fate.STUCK: logging.WARNING,
}


def _name() -> str:
    given = flow_run.parameters or {}
    folder = str(given.get("folder") or "inbox").partition("?")[0]
    return f"{given.get('pipeline')} · {folder}"


@flow(name=INBOX, flow_run_name=_name, persist_result=False, validate_parameters=True)
def inbox(pipeline: str = "posts", folder: str = "", skip_delivered: bool = False) -> State[Any]:
    """Deliver every new, complete file once by its content, oldest first, and move it to done/ or failed/.

    Args:
        pipeline: Name of the pipeline that the files go through.
        folder: Folder or address (s3://…, https://…) to take files from; empty for the pipeline's own inbox.
        skip_delivered: Leave out the rows that earlier runs of the pipeline have delivered, by its `key` columns.
    """
    # Prefect shows the lines under Args in its form; a Field's description would be lost with postponed annotations.
    try:
        settings = Settings.read()
        client = connect(settings.redis_address, patience=lambda: settings.give_up_seconds)
        verify(client)
        definition = pick(present(settings), pipeline)
        refuse_skipping(definition, None, wished=skip_delivered)
        source = origin(folder, definition, settings)
        if why := _missed(Claims(client, definition.name), source, settings):
            return told(Completed(message=f"Skipped: {why}"), SKIPPED)
        limit = most_urgent(status(client, each.name) for each in definition.each_limit)
        if limit.latched:
            why = (
                f"The limit {limit.name!r} is shut ({limit.latch_reason}): files stay where they are until it is opened"
            )
            return told(Completed(message=f"{why} with `rowrelay limits open {limit.name}`."), WAITING)
        at_once, patience = connect(settings.redis_address), settings.give_up_seconds
        with turn(at_once, definition.name, source.url, patience_seconds=patience) as ours:
            if ours is None:
                why = f"Skipped: another look through {source.url} is under way."
                return told(Completed(message=why), SKIPPED)
            deliver_file = _Deliver(definition)
            intake = Intake(
                source, definition, settings, Ledger(client), deliver_file, by=_by(), skip_delivered=skip_delivered
            )
            return _look(intake, deliver_file, ours)
    except RowrelayError as exc:
        return told(Failed(message=str(exc)))


def _look(intake: Intake, deliver_file: _Deliver, ours: Turn) -> State[Any]:
    logger = get_run_logger()
    whole = intake.look(
        lambda taken: logger.log(
            _LEVELS.get(taken.fate, logging.INFO), "%s: %s. %s", taken.name, taken.fate, taken.note
        ),
        lambda: not ours.lost,
    )
    _artifact(intake.definition, intake.taken)
    if deliver_file.handed_over:
        drain.leave(str(flow_run.id))
    return _state(intake.taken, whole=whole)


class _Deliver:
    """Runs the deliver flow in this process, as a flow run of its own."""

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self.handed_over = False  # the last one: whoever goes on with this look, goes on with it

    def __call__(self, run: str, name: str) -> Delivered:
        held: list[Delivery] = []
        token = LAUNCH.set(Launch(on_delivery=held.append, within=str(flow_run.id) if drain.served() else ""))
        try:
            # A callable, since Prefect takes braces in a plain name for parameters.
            state: State[Any] = deliver.with_options(flow_run_name=lambda: f"{self._definition.name} · {name}")(
                pipeline=self._definition.name, file=name, resume=run, return_state=True
            )
        finally:
            LAUNCH.reset(token)
        last = held[-1] if held else None
        self.handed_over = bool(last and last.handed_over)
        return Delivered(
            interrupted=bool(last and last.interrupted),
            failure=last.failure if last else None,
            message=state.message or "",
        )


def _by() -> str:
    return "schedule" if "auto-scheduled" in (flow_run.tags or []) else "inbox"


def _missed(claims: Claims, source: Origin, settings: Settings) -> str:
    """Why a scheduled run has nothing to do any more."""
    if "auto-scheduled" not in (flow_run.tags or []):
        return ""
    return too_late(
        flow_run.scheduled_start_time.timestamp(),
        time.time(),
        allowed_seconds=settings.missed_seconds,
        last=claims.last_look(source.url),
        what=f"the last look through {source.url}, which took everything",
    )


def _state(taken: list[Taken], *, whole: bool) -> State[Any]:
    counts = Counter(each.fate for each in taken)
    message = ", ".join(f"{counts[fate]} {fate}" for fate in Fate if counts[fate]) or "nothing new"
    if counts[Fate.INTERRUPTED]:
        return told(Cancelled(message=f"{message}. {taken[-1].name}: {taken[-1].note}"))
    if counts[Fate.STOPPED]:
        return told(Failed(message=f"{message}. {taken[-1].name} stays where it is: {taken[-1].note}"), STOPPED)
    if not whole:
        return told(Completed(message=f"{message}. Skipped: another look has taken over."), SKIPPED)
    if counts[Fate.STUCK] or any(each.fate is Fate.REFUSED and not each.run for each in taken):
        return told(Completed(message=f"{SAYS_WITH_ERRORS}{message}"), WITH_ERRORS)
    if counts[Fate.TROUBLED] or counts[Fate.REFUSED]:  # their own runs have said so: nobody needs to be told twice
        return told(Completed(message=message), FILES_WITH_ERRORS)
    return told(Completed(message=message))


def _artifact(definition: Definition, taken: list[Taken]) -> None:
    if not taken:
        return
    rows = [
        {"file": each.name, "result": each.fate, "run": each.run, "note": each.note, "where": each.where}
        for each in taken
    ]
    with suppress(Exception):  # Prefect being away is no reason to fail after everything was delivered
        create_table_artifact(key=f"{LOOKS}{definition.name}", table=rows, description="Files of the last look")
