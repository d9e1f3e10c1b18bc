"""A whole delivery, Prefect and ledger and all: `python -m bench.delivery [--rows N] [--limit R] [--delay SECONDS]`.

`rowrelay send` on a running stack, against a stand-in in a process of its own that counts arrivals and enforces the
limit (`--limit 0`: none, 100 in flight). Prints the pace against what is guaranteed, the worst window that the
receiver saw, and CPU a row and peak memory of the sending process.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from bench._parts import ROWRELAY, definition, posts, receiver, watched
from deployments.embedded import stack
from flows.ledger.connection import connect
from flows.ledger.view import View
from flows.settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--in-flight", type=int, default=0, help="default: as many as the limit allows a second")
    parser.add_argument("--delay", type=float, default=0.1)
    options = parser.parse_args()
    in_flight = options.in_flight or (options.limit or 100)
    judge = ["--no-details", "--delay-min-seconds", str(options.delay), "--delay-max-seconds", str(options.delay)]
    judge += ["--requests", str(options.limit)] if options.limit else ["--unlimited"]
    with tempfile.TemporaryDirectory() as temporary, receiver(*judge) as api:
        folder = Path(temporary)
        file = posts(folder / "rows.csv", options.rows)
        settings = Settings(data=folder / "data")
        with stack.use(settings) as addresses:
            pipeline = definition(folder, api.url, limit=options.limit, in_flight=in_flight)
            environment = {
                **os.environ, **stack.environment(addresses, settings), "ROWRELAY_PIPELINES": str(pipeline),
            }  # fmt: skip
            command = [ROWRELAY, "send", str(file), "--pipeline", "bench", "--json"]
            ended = watched(command, environment=environment, seconds=3600)
            said = json.loads(ended.output)
            run = View(connect(addresses.redis_url)).runs()[0]
            report = api.report()
    trip = run.facts.round_trip_seconds
    guaranteed = options.limit / (1 + trip) if options.limit else 0
    print(
        f"{options.rows} rows, limit {options.limit or 'none'}, answers after {options.delay * 1000:.0f} ms, "
        f"{in_flight} in flight\n"
        f"  {said['counts']}\n"
        f"  {run.facts.rate:.0f}/s"
        + (f" = {100 * run.facts.rate / guaranteed:.1f} % of the guaranteed {guaranteed:.0f}/s" if guaranteed else "")
        + f", mean round trip {trip * 1000:.0f} ms; receiver: worst second {report['worst']}, over {report['over']}\n"
        f"  sender: {1e6 * ended.cpu_seconds / options.rows:.0f} µs CPU a row in all, "
        f"peak RSS {ended.peak_megabytes:.0f} MB; "
        f"whole command {ended.seconds:.1f} s, check {run.facts.check_seconds:.1f} s"
    )


if __name__ == "__main__":
    main()
