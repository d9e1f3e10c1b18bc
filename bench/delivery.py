"""A whole delivery, Prefect and ledger and all: `python -m bench.delivery [--rows N] [--limit R] [--delay SECONDS]`.

`rowrelay send` on a running stack, against a stand-in in a process of its own that counts arrivals and enforces the
limit (`--limit 0`: none, 100 in flight). Prints the pace against what is guaranteed, the worst window that the
receiver saw, and CPU a row and peak memory of the sending process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from deployments import stack
from flows.ledger.connection import connect
from flows.ledger.view import View
from flows.settings import Settings


def definition(folder: Path, url: str, *, limit: int, in_flight: int) -> Path:
    path = folder / "bench.yaml"
    pace: dict[str, Any] = {"name": "bench", "in_flight": in_flight}
    if limit:
        pace |= {"requests": limit, "window_seconds": 1}
    made = {
        "name": "bench",
        "columns": {"userId": {"type": "int"}, "title": {"type": "str"}, "body": {"type": "str"}},
        "request": {"url": url, "timeout_seconds": 2},
        "response": {"keep": {"postId": "id"}, "success": [201]},
        "limit": pace,
    }
    path.write_text(json.dumps(made))
    return path


def watched(command: list[str], environment: dict[str, str]) -> tuple[dict[str, Any], float, float, float]:
    """What the command printed, its CPU seconds, peak RSS in MB and wall seconds."""
    begin = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    seen, cpu, peak = psutil.Process(process.pid), 0.0, 0
    while process.poll() is None:
        try:
            times = seen.cpu_times()
            cpu, peak = times.user + times.system, max(peak, seen.memory_info().rss)
        except psutil.Error:
            break
        time.sleep(0.1)
    out = process.communicate()[0]
    return json.loads(out), cpu, peak / 1e6, time.monotonic() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--in-flight", type=int, default=0, help="default: as many as the limit allows a second")
    parser.add_argument("--delay", type=float, default=0.1)
    options = parser.parse_args()
    in_flight = options.in_flight or (options.limit or 100)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        file = folder / "rows.csv"
        with file.open("w") as out:
            out.write("userId,title,body\n")
            out.writelines(
                f"{i},a title of row {i},the body of row {i} says nothing new\n" for i in range(1, options.rows + 1)
            )
        judge = [sys.executable, "-m", "deployments.standin", "--no-details", "--delay-min-seconds", str(options.delay)]
        judge += ["--delay-max-seconds", str(options.delay)]
        judge += ["--requests", str(options.limit)] if options.limit else ["--unlimited"]
        standin = subprocess.Popen(judge, stdout=subprocess.PIPE, text=True)
        assert standin.stdout is not None
        url = standin.stdout.readline().split()[-1]
        try:
            settings = Settings(data=folder / "data")
            with stack.use(settings) as addresses:
                environment = {
                    **os.environ, **stack.environment(addresses, settings),
                    "ROWRELAY_PIPELINES": str(definition(folder, url, limit=options.limit, in_flight=in_flight)),
                }  # fmt: skip
                command = ["rowrelay", "send", str(file), "--pipeline", "bench", "--json"]
                said, cpu, peak, wall = watched(command, environment)
                run = View(connect(addresses.redis_url)).runs()[0]
                with urllib.request.urlopen(url.replace("/posts", "/report"), timeout=60) as answer:
                    report = json.loads(answer.read())
        finally:
            standin.terminate()
            standin.wait(10)
    trip = run.fact("round_trip_seconds")
    guaranteed = options.limit / (1 + trip) if options.limit else 0
    print(
        f"{options.rows} rows, limit {options.limit or 'none'}, answers after {options.delay * 1000:.0f} ms, "
        f"{in_flight} in flight\n"
        f"  {said['counts']}\n"
        f"  {run.fact('rate'):.0f}/s"
        + (f" = {100 * run.fact('rate') / guaranteed:.1f} % of the guaranteed {guaranteed:.0f}/s" if guaranteed else "")
        + f", mean round trip {trip * 1000:.0f} ms; receiver: worst second {report['worst']}, over {report['over']}\n"
        f"  sender: {1e6 * cpu / options.rows:.0f} µs CPU a row in all, peak RSS {peak:.0f} MB; "
        f"whole command {wall:.1f} s, check {run.fact('check_seconds'):.1f} s"
    )


if __name__ == "__main__":
    main()
