"""The chunks of one run over many processes, by Dask: each has its own share of the same limit and the same ledger.

The process that delivers the run plans it, keeps its lease and ends it. The others send what they are handed, under the
run's epoch, which they do not take: a run that was taken over by somebody else is refused to them as well.
"""

from __future__ import annotations

import importlib
import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import redis
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import TaskRunner

from flows.delivery.delivery import Delivery
from flows.delivery.plan import Portion
from flows.errors import SettingError, StackError
from flows.ledger.connection import translated
from flows.ledger.view import View
from flows.pipeline.reading import from_resolved
from flows.settings import Settings

logger = logging.getLogger(__name__)

IDLE_SECONDS = 5.0  # a process without a chunk gives its share back after so long


@dataclass(frozen=True, slots=True)
class Share:
    """What another process needs to send rows of a run. Redis, storage and secrets it knows from its own settings."""

    run: str
    epoch: int
    definition: Mapping[str, Any]


def runner(settings: Settings) -> TaskRunner[Any]:
    """Prefect's Dask task runner. Raises SettingError if it is not installed."""
    try:
        dask = importlib.import_module("prefect_dask")
    except ImportError as exc:
        raise SettingError(
            f"ROWRELAY_TASK_RUNNER is dask, but prefect-dask is not installed: {exc}",
            hint='Install it here and on every Dask worker: pip install "rowrelay[dask]".',
        ) from exc
    # Without an address Dask starts worker processes on this machine, for as long as the run lasts.
    made: TaskRunner[Any] = dask.DaskTaskRunner(address=settings.dask_address or None)
    return made


@task(task_run_name="{portion.name}", cache_policy=NO_CACHE, persist_result=False, log_prints=False)
def send_portion(portion: Portion, share: Share) -> dict[str, int]:
    """Deliver rows under the shared limit, in whatever process this runs; returns how many ended in which state."""
    return send_here(portion, share)  # Dask takes this function along with all it names, so it names only functions


def send_here(portion: Portion, share: Share) -> dict[str, int]:
    """Deliver rows from this process."""
    return _SHARES.send(portion, share)


def halt(delivery: Delivery) -> None:
    """Let the processes that joined take no further chunk, if Redis can be told: its absence stops them as well."""
    try:
        delivery.at_once.facts(delivery.run, halted=delivery.lease.epoch)
    except redis.RedisError as exc:
        logger.warning("the other processes were not told to end: %s", exc)


def _is_halted(delivery: Delivery) -> bool:
    """Whether the process that holds the lease wants no further chunk to be sent."""
    try:
        return View(delivery.at_once.client).run(delivery.run).facts.halted == delivery.lease.epoch
    except StackError:  # the sender knows how long to wait for Redis
        return False


class _Shares:
    """This process' part in the delivery of runs. A run that another epoch delivers is another one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[tuple[str, int], Delivery] = {}
        self._busy: dict[tuple[str, int], int] = {}
        self._idle_since: dict[tuple[str, int], float] = {}

    def send(self, portion: Portion, share: Share) -> dict[str, int]:
        key = (share.run, share.epoch)
        with self._lock:
            delivery = self._open.get(key) or self._join(key, share)
            self._busy[key] = self._busy.get(key, 0) + 1
        try:
            if _is_halted(delivery):
                return {"left": portion.rows}
            counts = delivery.sending.deliver(portion.spans, resends=portion.resends)
            with translated():  # whoever ends the run does not wait for this process's end
                delivery.sending.note_pace(delivery.ledger)
            if delivery.stopped is not None:
                raise delivery.stopped
            return counts
        finally:
            with self._lock:
                self._busy[key] -= 1
                self._idle_since[key] = time.monotonic()

    def _join(self, key: tuple[str, int], share: Share) -> Delivery:
        settings = Settings.read()
        delivery = Delivery(
            share.run,
            from_resolved(share.definition),
            settings,
            settings.redis_address,
            part=f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}",
        )
        try:
            delivery.connect()
            delivery.join(share.epoch)
        except BaseException:
            _end(delivery)
            raise
        self._open[key] = delivery
        threading.Thread(target=self._close_when_idle, args=(key,), name="share", daemon=True).start()
        return delivery

    def _close_when_idle(self, key: tuple[str, int]) -> None:
        while True:
            time.sleep(IDLE_SECONDS / 5)
            with self._lock:
                idle = not self._busy.get(key) and time.monotonic() - self._idle_since.get(key, 0.0) > IDLE_SECONDS
                if idle and key in self._idle_since:
                    delivery = self._open.pop(key)
                    del self._busy[key], self._idle_since[key]
                    break
        _end(delivery)


def _end(delivery: Delivery) -> None:
    try:
        delivery.close()
    finally:
        delivery.release()


_SHARES = _Shares()
