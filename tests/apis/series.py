"""Deliveries to the stand-ins that go wrong: `python -m tests.apis.series [--trials 200] [--seed 1] [--only NAME]`.

With `--kill lookup` or `--kill create` the sender of an upsert is killed after a lookup was answered and before its
create goes, or after a create arrived and before it is answered.

Each trial draws an API, the size of a batch, answers that hang, break off or say 500, and kills of the sender at any
moment, after which the run is resumed. Then every row is in the state that the API knows it to have, no answered write
was repeated, the limit was held, counts added up at every look, and no more rows are unknown than were under way.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from deployments.embedded import stack
from deployments.standin.api import StandIn
from deployments.standin.apis import APIS
from deployments.standin.apis.api import ApiKnobs
from deployments.standin.server import serving
from flows.export.results import results
from flows.ledger.connection import connect
from flows.ledger.keys import run_key
from flows.ledger.view import View
from flows.pipeline.reading import load
from flows.records import RowState, RunState
from flows.settings import Settings
from flows.spool.spool import Spool
from tests.apis import rows as made
from tests.apis.plain import HERE
from tests.apis.truth import wrong
from tests.harness.forked import Forked
from tests.harness.limits import long_known

NAMES = sorted(path.stem for path in HERE.glob("*.yaml"))
REQUESTS, IN_FLIGHT, TIMEOUT_SECONDS = 60, 5, 0.6
STARTS = 12  # so often is a run that stopped or was killed taken up again
MOST_SECONDS = 200.0  # of one of them, on a machine that does other things as well


@dataclass(frozen=True)
class Trial:
    """What is drawn for one delivery."""

    seed: int
    name: str
    rows: int
    batch: int
    kills: tuple[float, ...]
    faults: dict[str, float] = field(default_factory=dict)
    cut_share: float = 0.0
    between: str = ""  # the sender is killed at a moment that the API shows: lookup, create

    @classmethod
    def draw(cls, seed: int, only: str = "") -> Trial:
        """The trial of this number."""
        draw = random.Random(seed)
        name = only or draw.choice(NAMES)
        kills = tuple(draw.uniform(0.2, 2.5) for _ in range(draw.choice([0, 1, 1, 2, 3])))
        spoils = draw.choice([{}, {"hang": 0.03}, {"error": 0.04}, {"hang": 0.02, "error": 0.02}])
        cut = draw.choice([0.0, 0.0, 0.03])
        return cls(seed, name, draw.randint(60, 240), draw.choice([2, 3, 7, 20, 50, 100]), kills, dict(spoils), cut)


def definition(trial: Trial, folder: Path) -> Path:
    """The API's definition with this trial's size of a batch, short time-outs and few in flight."""
    text = (HERE / f"{trial.name}.yaml").read_text()
    text = re.sub(r"(?m)^  rows: 100$", f"  rows: {trial.batch}", text)
    text = re.sub(r"timeout_seconds: [0-9.]+", f"timeout_seconds: {TIMEOUT_SECONDS}", text)
    text = re.sub(r"(?m)^(limit: \{.*)\}$", rf"\1, in_flight: {IN_FLIGHT}, grace_seconds: 0.2}}", text)
    path = folder / "pipeline.yaml"
    path.write_text(text + "\nstop_after: 1000\n")
    return path


def play(trial: Trial, redis_url: str, folder: Path) -> list[str]:
    """Everything that is wrong after the trial, a sentence each."""
    api = trial.name.removesuffix("_told")
    samples = made.samples(api, trial.rows, seed=trial.seed)
    file, path, run = made.write(folder / "rows.csv", samples), definition(trial, folder), f"trial-{trial.seed}"
    knobs = ApiKnobs(
        requests=REQUESTS,
        wait_seconds=0.05,
        job_seconds=0.3,
        hang_seconds=1.5,
        faults=trial.faults,
        cut_share=trial.cut_share,
        delay_min_seconds=0.15 if trial.between == "create" else 0.0,
        delay_max_seconds=0.15 if trial.between == "create" else 0.1,
    )
    standin = APIS[api](knobs)
    with serving(standin) as url:
        upper = api.upper()
        environment = {
            f"{upper}_URL": url,
            f"{upper}_REQUESTS": str(REQUESTS),
            f"{trial.name.upper()}_REQUESTS": str(REQUESTS),
            f"{upper}_EVERY_SECONDS": "1",
            f"{upper}_AFTER_SECONDS": "1.6",  # longer than a hanging answer is held
        }
        limit = load(path, environ=environment).limit.name
        client = connect(redis_url)
        long_known(client, limit)
        view = View(client)
        given = {
            "redis_url": redis_url,
            "data": str(folder / "data"),
            "pipeline": str(path),
            "run": run,
            "file": str(file),
            "wait": True,
            "environment": environment,
        }
        moment = partial(_is_between, standin, trial.between) if trial.between else None
        found = _deliver(trial, given, view, run, folder, moment)
        ended = view.run(run)
        if ended.state is not RunState.FINISHED:
            return [*found, f"the run is {ended.state}: {ended.reason}"]
        settings = Settings(data=folder / "data")
        said = list(results(view, Spool(settings.spool_url, run), ended))
        truth = httpx.get(f"{url}/truth", trust_env=False, timeout=30).json()
        counts = {str(state): count for state, count in ended.counts.items()}
        parcel = trial.batch if load(path, environ=environment).batch is not None else 1
        allowed = 0 if trial.name == "upsert" else len(trial.kills) * IN_FLIGHT * parcel
        killed = "the reason is None"  # of a row whose sender died there is no more to say than that it is unknown
        if trial.cut_share:  # nor is a reason whole whose answer was cut
            killed = "the reason is"
        judged = wrong(truth, said, samples, counts=counts, unknown_at_most=allowed)
        found += [each for each in judged if not ((trial.kills or trial.cut_share) and killed in each)]
        if trial.name == "upsert" and counts["unknown"]:
            found.append(f"{counts['unknown']} rows are unknown in spite of reconcile")
        if (peak := truth["facts"].get("peak", 0)) > REQUESTS:
            found.append(f"{peak} requests arrived in a window of {REQUESTS}")
    return found


def _is_between(standin: StandIn, between: str) -> bool:
    """Whether the API is at the moment in which the sender is to be killed."""
    methods = [str(json.loads(line)["method"]) for line in standin.arrivals.lines()]
    if between == "lookup":
        return methods.count("GET") > methods.count("POST") + methods.count("PUT")
    return "POST" in methods


def _deliver(
    trial: Trial,
    given: dict[str, Any],
    view: View,
    run: str,
    folder: Path,
    moment: Callable[[], bool] | None,
) -> list[str]:
    found: list[str] = []
    kills = list(trial.kills) + [30.0] * bool(moment)
    for number in range(STARTS):
        process = Forked(json.dumps(given), folder / f"engine-{number}.json")
        begin, until = time.monotonic(), kills.pop(0) if kills else MOST_SECONDS
        while process.poll() is None and time.monotonic() - begin < until:
            found += _sums(view, run)
            if moment is not None and moment():
                moment, until = None, 0.0
                break
            time.sleep(0.001 if moment else 0.02)
        if process.poll() is None:
            process.kill()
            process.wait(5)
            if until == MOST_SECONDS:
                return [*found, "the delivery did not end in time"]
            continue
        if process.returncode != 0:
            return [*found, f"the engine ended with {process.returncode}"]
        if view.run(run).state is RunState.FINISHED:
            return found
    return [*found, "the run did not end"]


def _sums(view: View, run: str) -> list[str]:
    if not view.client.exists(run_key(run)):
        return []
    now = view.run(run)
    if now.total and sum(now.counts.values()) != now.total:
        return [f"{now.counts} are not {now.total} rows"]
    return ["a count below 0"] if any(now.counts[state] < 0 for state in RowState) else []


def main() -> int:
    """Play the trials; 1 if any of them failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=NAMES, default="")
    parser.add_argument("--kill", choices=("lookup", "create"), default="")
    given = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        settings = Settings(data=Path(name) / "stack")
        with stack.use(settings, prefect=False) as addresses:
            for seed in range(given.seed, given.seed + given.trials):
                trial = Trial.draw(seed, given.only)
                if given.kill:
                    trial = Trial(seed, "upsert", 20, 1, (), between=given.kill)
                folder = Path(name) / str(seed)
                folder.mkdir()
                if found := play(trial, addresses.redis_url, folder):
                    failed += 1
                    print(f"{trial}\n  " + "\n  ".join(found[:8]), flush=True)
    print(f"{given.trials} trials, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
