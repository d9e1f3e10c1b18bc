"""Finds the flow runs whose machine died, and those that nobody began. Every server and worker looks, all the same way.

Prefect's own means are proactive automations. On SQLite they lose events: one that finds the database locked four times
in 100 ms is dropped, and those that follow it wait for 15 minutes, a crash among them. So silence is counted here.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.events.filters import EventFilter, EventNameFilter, EventOrder, EventResourceFilter
from prefect.states import Cancelled, Crashed, Scheduled

from deployments.registry.heartbeat import SILENT_SECONDS, UNBEGUN_SECONDS
from flows import logs
from flows.errors import RunNotFound
from flows.flow_runs.names import THAT_DELIVER
from flows.flow_runs.next_look import renew_looks
from flows.ledger.connection import connect
from flows.ledger.view import View
from flows.settings import Settings

LOOK_SECONDS = 5.0
LOOKS_SECONDS = 60.0  # between two searches for accepted rows that nobody asks about
MOST = 200  # what Prefect's server returns at once

log = logging.getLogger("rowrelay.zombies")
Clock = Callable[[], float]


class Silence:
    """For how long each flow run has shown the same last sign, by this process's own clock: nobody else's is trusted.

    A process that did not look for a while, being stopped or without an answer, has heard nothing of the living
    either, and starts to count anew.
    """

    def __init__(self, clock: Clock = time.monotonic, *, gap_seconds: float = 4 * LOOK_SECONDS) -> None:
        self._clock = clock
        self._gap = gap_seconds
        self._looked_at = float("-inf")
        self._signs: dict[UUID, tuple[str, float]] = {}

    def seconds(self, signs: dict[UUID, str]) -> dict[UUID, float]:
        """How long each of these has been silent; whoever is not among them is forgotten.

        Args:
            signs: By flow run, whatever changes when it gives a sign of life.
        """
        now = self._clock()
        if now - self._looked_at > self._gap:
            self._signs = {}
        self._looked_at = now
        known = self._signs
        self._signs = {
            run: known[run] if run in known and known[run][0] == sign else (sign, now) for run, sign in signs.items()
        }
        return {run: now - since for run, (_, since) in self._signs.items()}


async def look(client: PrefectClient, view: View, silence: Silence) -> list[str]:
    """Look once: mark those that have been silent for too long. Returns what was done.

    Raises:
        RowrelayError, or what Prefect's client raises: a server does not answer, or a run is gone.
    """
    there = await _under_way(client)
    signs = {run.id: await _sign(client, run) for run in there}
    silent = silence.seconds(signs)
    told = []
    for run in there:
        seconds = silent[run.id]
        if run.state_type is StateType.PENDING:
            if seconds >= UNBEGUN_SECONDS:
                message = f"Taken on {UNBEGUN_SECONDS} s ago and never begun."
                await client.set_flow_run_state(run.id, Scheduled(message=message), force=True)
                told.append(f"{run.name}: nobody began it, scheduled anew")
        elif seconds >= SILENT_SECONDS and not await asyncio.to_thread(_delivered, view, run.id):
            message = f"No sign of life for {SILENT_SECONDS} s: its process or machine is gone."
            # One that was being cancelled may become nothing else for Prefect, nor should it go on.
            cancelled = run.state_type is StateType.CANCELLING
            await client.set_flow_run_state(run.id, (Cancelled if cancelled else Crashed)(message=message))
            told.append(f"{run.name}: no sign of life, marked as {'cancelled' if cancelled else 'crashed'}")
    return told


async def watch(settings: Settings) -> None:
    """Look every few seconds, for as long as this runs."""
    logs.voice(log.name, settings.log_format)
    silence, well = Silence(), True
    while True:
        try:
            view = View(connect(settings.redis_address))
            async with get_client() as client:
                looked = time.monotonic()
                while True:
                    await asyncio.sleep(LOOK_SECONDS)
                    for text in await look(client, view, silence):
                        log.info(text)
                    if time.monotonic() - looked > LOOKS_SECONDS:
                        looked = time.monotonic()
                        for text in await asyncio.to_thread(renew_looks, view):
                            log.info(text)
                    well = True
        except Exception as exc:  # Prefect raises errors of many libraries when it is away, or a run was just deleted
            if well:  # said once an outage
                log.warning("Cannot look for dead runs, trying on: %s", exc)
            well = False
            await asyncio.sleep(LOOK_SECONDS)


def watch_beside(settings: Settings) -> None:
    """The same in a thread that ends with the process, for one that has no event loop."""
    threading.Thread(target=lambda: asyncio.run(watch(settings)), name="zombies", daemon=True).start()


async def _under_way(client: PrefectClient) -> list[FlowRun]:
    states = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
    return await client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=list(THAT_DELIVER))),
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states))),
        sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        limit=MOST,
    )


async def _sign(client: PrefectClient, run: FlowRun) -> str:
    """The last of a flow run's signs of life: its state, and for one that has begun also its heartbeats."""
    if run.state_type is StateType.PENDING:
        return str(run.state_id)
    page = await client.read_events(
        EventFilter(
            event=EventNameFilter(prefix=["prefect.flow-run."]),
            resource=EventResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
            order=EventOrder.DESC,
        ),
        limit=1,
    )
    return f"{run.state_id} {page.events[0].id if page.events else ''}"


def _delivered(view: View, run: UUID) -> bool:
    """Whether somebody holds the run of this flow run: the ledger knows that better than any silence."""
    try:
        return view.run(view.resolve(str(run))).busy
    except RunNotFound:
        return False
