"""From the trigger to the first request: what a person waits for, between the click and the first row that leaves.

    python -m bench.trigger            5 trials through `rowrelay serve`, 5 through a worker of a process pool
    python -m bench.trigger --trials 3 --way serve

Exit 1 if the median of `rowrelay serve` is not below 3 s. A worker starts one process more: its aim is 4 s.

A trial begins with the POST that Prefect's UI sends and ends when the receiver has the first request. The limit is
warm: it has been used before, so no quarantine is waited for. Everything runs on this machine, Prefect's server too.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from deployments.embedded.stack import environment, use
from flows.settings import Settings
from tests.harness.serving import Serving, serving
from tests.harness.stack import RunningStack
from tests.harness.wait import wait_until
from tests.harness.world import world

LIMIT = {"name": "trigger", "requests": 100, "window_seconds": 1, "in_flight": 10, "grace_seconds": 0.3}
QUICK = {"delay_min_seconds": 0.01, "delay_max_seconds": 0.02}
NAME = "triggerposts"
POOL = "bench"
WAYS = ("serve", "worker")
AIM_SECONDS = {"serve": 3.0, "worker": 4.0}
JUDGED = "serve"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--way", choices=WAYS)
    given = parser.parse_args()
    missed = False
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data=Path(folder) / "data", redis_url=None)
        with use(settings) as addresses:
            stack = RunningStack(settings, addresses, environment(addresses, settings))
            for way in [given.way] if given.way else WAYS:
                (work := Path(folder) / way).mkdir()
                took = measure(way, stack, work, trials=given.trials)
                shown = ", ".join(f"{seconds:.2f}" for seconds in took)
                median, aim = statistics.median(took), AIM_SECONDS[way]
                print(
                    f"{way:<7} median {median:.2f} s  slowest {max(took):.2f} s  ({shown})"
                    f"  aim: median below {aim:g} s, {'kept' if median < aim else 'missed'}"
                )
                missed |= way == JUDGED and median >= aim
    return 1 if missed else 0


def measure(way: str, stack: RunningStack, folder: Path, *, trials: int) -> list[float]:
    """Seconds of each trial; one more goes ahead, which warms the limit and the disk's cache."""
    with (
        world(folder, stack.addresses.redis_url, limit=LIMIT, knobs=QUICK, name=NAME) as scene,
        serving(scene, stack, NAME) as here,
    ):
        if way == "serve":
            here.serve()
        else:
            here.set_up(POOL)
            here.worker(POOL)
        return [trial(here, f"{way}{number}.csv") for number in range(trials + 1)][1:]


def trial(here: Serving, name: str) -> float:
    """One run of ten rows, from the POST to its first request's arrival."""
    seen = len(here.world.arrivals())
    file = here.upload(10, name)
    began = time.time()
    run = here.trigger(file)
    wait_until(lambda: len(here.world.arrivals()) > seen, seconds=60, what="the first request")
    took = time.time() - began
    wait_until(lambda: here.state(run)["type"] == "COMPLETED", seconds=60, what="the end")
    return took


if __name__ == "__main__":
    raise SystemExit(main())
