"""How long the commands take until they have done something: `python -m bench.startup [--trials N]`.

`rowrelay --help`; `rowrelay check samples/posts.csv`; `rowrelay send` of 7 rows on a running stack and a warm limit of
7 a second, until the receiver has the first request and until the command is over (answers after 50 ms); `rowrelay up`
in a new data folder until it says that everything runs. Wall time, median and slowest; one more trial goes ahead, which
warms the disk's cache.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bench._parts import ROWRELAY, Receiver, definition, posts, receiver
from deployments.embedded import stack
from deployments.embedded.redis_server import free_port
from flows.settings import Settings

SAMPLE = Path(__file__).resolve().parent.parent / "samples/posts.csv"
ROWS = 7
AIM_SECONDS = 0.3  # of --help
READY = "Ctrl-C stops everything."


def seconds_of(*command: str, environment: dict[str, str] | None = None) -> float:
    """Wall time of a command that has to succeed."""
    began = time.monotonic()
    given = {**os.environ, **(environment or {})}
    subprocess.run(command, check=True, capture_output=True, timeout=120, env=given)
    return time.monotonic() - began


def send(file: Path, api: Receiver, environment: dict[str, str]) -> tuple[float, float]:
    """Seconds from the command to the first arrival, and to its end."""
    api.reset()
    began = time.monotonic()
    took = seconds_of(ROWRELAY, "send", str(file), "--pipeline", "startup", "--json", environment=environment)
    return api.arrivals()[0]["at"] / 1e9 - began, took


def up(folder: Path) -> float:
    """Seconds until `rowrelay up` has everything running, in a data folder of its own."""
    variables = {**os.environ, "ROWRELAY_DATA": str(folder / "data"), "ROWRELAY_SEPARATE_STACK": "1"}
    variables |= {"POSTS_URL": "http://127.0.0.1:9/posts"}
    command = [ROWRELAY, "up", "--port", str(free_port())]
    began = time.monotonic()
    process = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        if not any(line.startswith(READY) for line in process.stdout):
            raise RuntimeError("rowrelay up ended before everything ran")
        return time.monotonic() - began
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()


def show(what: str, took: list[float]) -> float:
    """Print a line; returns the median. The first trial does not count."""
    middle = statistics.median(took[1:])
    print(f"{what:<48} median {middle:5.2f} s  slowest {max(took[1:]):5.2f} s", flush=True)
    return middle


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--trials", type=int, default=5)
    trials = range(parser.parse_args().trials + 1)
    quiet: Callable[..., list[float]] = lambda *command: [seconds_of(*command) for _ in trials]  # noqa: E731
    shown = show("rowrelay --help", quiet(ROWRELAY, "--help"))
    show("rowrelay check samples/posts.csv", quiet(ROWRELAY, "check", str(SAMPLE)))
    # Linger for no longer than a stack has to: `up` is measured beside nothing.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = Settings(data=folder / "data", redis_url=None)
        delays = ("--delay-min-seconds", "0.05", "--delay-max-seconds", "0.05")
        with stack.use(settings, linger_seconds=0.5) as addresses, receiver("--requests", str(ROWS), *delays) as api:
            pipeline = definition(folder, api.url, limit=ROWS, in_flight=ROWS, name="startup")
            environment = {**stack.environment(addresses, settings), "ROWRELAY_PIPELINES": str(pipeline)}
            file = posts(folder / "rows.csv", ROWS)
            sent = [send(file, api, environment) for _ in trials]
        show(f"rowrelay send of {ROWS} rows, until the first arrival", [first for first, _ in sent])
        show("until its end", [whole for _, whole in sent])
        starts = []
        for number in trials:
            (own := folder / f"up{number}").mkdir()
            starts.append(up(own))
            time.sleep(5)  # its stack lingers for a moment
        show("rowrelay up, until everything runs", starts)
    print(f"aim: --help <= {AIM_SECONDS} s: {'kept' if shown <= AIM_SECONDS else 'MISSED'}")


if __name__ == "__main__":
    main()
