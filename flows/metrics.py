"""What Prometheus is told: read from the ledger and the limits, so one reader speaks for all workers.

Counters are kept by the ledger and count whatever was recorded, whoever recorded it: deleting old runs never makes one
fall. Gauges say how things stand at the scrape.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import redis
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from flows.errors import RowrelayError
from flows.ledger import keys
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.limit import status as limit_status
from flows.records import RowState, RunState

RATE_SECONDS = 15  # the stretch over which the current rate is taken
SETTLE_SECONDS = 2  # outcomes are written in batches, so the last seconds are not complete
TRIPS = 100  # the latest rows of a run from which its round trip is read
OUTCOMES = ("done", "accepted", "failed", "unknown")
_ALIVE = (RunState.CHECKING, RunState.SENDING)
ENDINGS = ("finished", "finished_with_errors", "stopped", "cancelled")
_LIMIT_STATES = ("open", "waiting to be sure", "paused", "latched")
_PAGE = 500


class Collector:
    """Collects at every scrape; prometheus_client calls `collect`."""

    def __init__(self, client: redis.Redis, *, folder: Path | None = None) -> None:
        self.client = client
        self.view = View(client)
        self.folder = folder

    def collect(self) -> Iterator[Metric]:
        """Every family. Where Redis does not answer: `rowrelay_up 0`, and what is known without it."""
        began = time.monotonic()
        up = GaugeMetricFamily("rowrelay_up", "Whether the ledger could be read")
        try:
            families = [*self._redis(), *self._runs(), *self._limits()]
            up.add_metric([], 1)
        except (RowrelayError, redis.RedisError):
            families = []
            up.add_metric([], 0)
        yield up
        yield from families
        if self.folder is not None:
            yield from _disk(self.folder)
        yield _gauge("rowrelay_scrape_seconds", "How long this took", time.monotonic() - began)

    def _runs(self) -> Iterable[Metric]:
        runs = [run for first in range(0, self.view.count(), _PAGE) for run in self.view.runs(first, _PAGE)]
        live = [run for run in runs if run.state in _ALIVE]
        yield from self._counters(run.pipeline for run in runs)
        yield from _standing(runs, live)
        yield from self._paces(live)

    def _counters(self, pipelines: Iterable[str]) -> Iterable[Metric]:
        sent = CounterMetricFamily("rowrelay_requests", "Requests sent, retries included", labels=["pipeline"])
        outcomes = CounterMetricFamily("rowrelay_outcomes", "What became of rows", labels=["pipeline", "outcome"])
        ended = CounterMetricFamily("rowrelay_runs_ended", "Runs that ended", labels=["pipeline", "how"])
        totals = self.view.totals()
        # Every series is there before its first event.
        for pipeline in sorted({*pipelines, *(pipeline for pipeline, _ in totals)}):
            sent.add_metric([pipeline], totals.get((pipeline, "sent"), 0))
            for outcome in OUTCOMES:
                outcomes.add_metric([pipeline, outcome], totals.get((pipeline, outcome), 0))
            for how in ENDINGS:
                ended.add_metric([pipeline, how], totals.get((pipeline, how), 0))
        return sent, outcomes, ended

    def _paces(self, live: list[Run]) -> Iterable[Metric]:
        rate = GaugeMetricFamily(
            "rowrelay_request_rate", f"Requests a second over the last {RATE_SECONDS} s", labels=["pipeline"]
        )
        trips = GaugeMetricFamily(
            "rowrelay_round_trip_seconds", f"Of the latest {TRIPS} rows of each run", labels=["pipeline", "quantile"]
        )
        for pipeline in sorted({run.pipeline for run in live}):
            own = [run for run in live if run.pipeline == pipeline]
            rate.add_metric([pipeline], sum(self._rate(run) for run in own))
            took = sorted(seconds for run in own for seconds in self._trips(run))
            if took:
                trips.add_metric([pipeline, "0.5"], median(took))
                trips.add_metric([pipeline, "0.95"], took[min(len(took) - 1, int(len(took) * 0.95))])
        return rate, trips

    def _rate(self, run: Run) -> float:
        seconds, _ = self.client.time()
        until = int(seconds) - SETTLE_SECONDS
        chart = self.view.chart(run.id, "seconds")
        sent = sum(chart.get(at, {}).get("sent", 0) for at in range(until - RATE_SECONDS, until))
        return sent / RATE_SECONDS

    def _trips(self, run: Run) -> list[float]:
        if not run.counts[RowState.DONE]:
            return []
        # Rows go out in order, or nearly: those with the highest numbers are the latest.
        rows = np.flatnonzero(self.view.bitmap(run.id, RowState.DONE, run.total))[-TRIPS:] + 1
        records = self.view.records(run.id, rows.tolist(), names=(), created=run.created)
        return [record.took_seconds for record in records if record.took_seconds is not None]

    def _limits(self) -> Iterable[Metric]:
        slots = GaugeMetricFamily(
            "rowrelay_limit_slots", "Requests a window allows", labels=["limit", "window_seconds"]
        )
        held = GaugeMetricFamily("rowrelay_limit_slots_held", "Of them taken now", labels=["limit", "window_seconds"])
        most = GaugeMetricFamily("rowrelay_limit_in_flight_most", "Requests that may be under way", labels=["limit"])
        flying = GaugeMetricFamily("rowrelay_limit_in_flight", "Requests that are under way", labels=["limit"])
        askers = GaugeMetricFamily("rowrelay_limit_askers", "Processes that use the limit now", labels=["limit"])
        state = GaugeMetricFamily("rowrelay_limit_state", "1 for the state that it is in", labels=["limit", "state"])
        for name in limit_status.names(self.client):
            found = limit_status.status(self.client, name)
            for window in found.windows:
                labels = [name, f"{window.seconds:g}"]
                slots.add_metric(labels, window.requests)
                held.add_metric(labels, window.held)
            most.add_metric([name], found.in_flight)
            flying.add_metric([name], found.flying)
            askers.add_metric([name], found.askers)
            for each in _LIMIT_STATES:
                state.add_metric([name, each], float(found.state == each))
        return slots, held, most, flying, askers, state

    def _redis(self) -> Iterable[Metric]:
        info = self.client.info()
        assert isinstance(info, dict)
        yield _gauge("rowrelay_redis_memory_bytes", "Memory that Redis uses", info.get("used_memory", 0))
        yield _gauge("rowrelay_redis_memory_most_bytes", "Memory it may use; 0: all", info.get("maxmemory", 0))
        written = info.get("aof_enabled", 0) and info.get("aof_last_write_status", "ok") == "ok"
        yield _gauge("rowrelay_redis_durable", "Whether Redis writes its log of changes, and can", float(bool(written)))


def _standing(runs: list[Run], live: list[Run]) -> Iterable[Metric]:
    rows = GaugeMetricFamily("rowrelay_rows", "Rows of runs under way, by state", labels=["pipeline", "state"])
    number = GaugeMetricFamily("rowrelay_runs", "Runs that are kept, by state", labels=["pipeline", "state"])
    stalled = GaugeMetricFamily("rowrelay_runs_stalled", "Unfinished runs that nobody delivers", labels=["pipeline"])
    for pipeline in sorted({run.pipeline for run in runs}):
        own = [run for run in live if run.pipeline == pipeline]
        for state in RowState:
            rows.add_metric([pipeline, state], sum(run.counts[state] for run in own))
        states = Counter(run.state for run in runs if run.pipeline == pipeline)
        for each in RunState:
            number.add_metric([pipeline, each], states[each])
        stalled.add_metric([pipeline], sum(run.state is RunState.SENDING and not run.busy for run in own))
    return rows, number, stalled


def _disk(folder: Path) -> Iterable[Metric]:
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return
    yield _gauge("rowrelay_disk_free_bytes", "Free space where uploads and spool lie", usage.free)
    yield _gauge("rowrelay_disk_bytes", "All space there", usage.total)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def lines(collector: Collector) -> bytes:
    """Everything in Prometheus' text format. `keys.VERSION` of the ledger is part of what is told."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(_Once(collector))
    return generate_latest(registry)


class _Once:
    """Lets a collector be registered without being collected for that."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector

    def describe(self) -> list[Metric]:
        """Nothing in advance."""
        return []

    def collect(self) -> Iterable[Metric]:
        """What the collector says, and which layout of the ledger this program reads."""
        yield _gauge("rowrelay_ledger_version", "Layout of the ledger that this program reads", keys.VERSION)
        yield from self.collector.collect()
