"""The limit over three whole senders at once, as the receiver counts it: `python -m bench.limit_product [--rows N]`.

Three `rowrelay send` processes share one limit of 7 per second and one stack; each delivers a file of its own. The
stand-in stamps arrivals, moved by the jitter named. Pace is that of the arrivals between the first and the last two
seconds, against 7 / (1 + mean round trip). Prints one line a setting.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments import stack
from deployments.standin.api import Knobs, StandIn
from deployments.standin.server import serving
from flows.connection import connect
from flows.ledger_view import View
from flows.settings import Settings

DEFINITION: dict[str, Any] = {
    "columns": {"userId": {"type": "int"}, "title": {"type": "str"}, "body": {"type": "str"}},
    "response": {"keep": {"postId": "id"}, "success": [200, 201]},
    "stop_after": 1000,
}


@dataclass
class Setting:
    """One line of the table."""

    name: str
    jitter_seconds: float = 0.0
    faults: dict[str, float] | None = None
    stall: float = 0.0


SETTINGS = [
    Setting("jitter 0"),
    Setting("jitter 20 ms", 0.02),
    Setting("jitter 50 ms", 0.05),
    Setting("jitter 200 ms", 0.2),
    Setting("150 ms stalls", 0.005, stall=1.0),
    Setting("20 % 500s, 5 % resets, 5 % hangs", 0.0, {"error": 0.2, "reset": 0.05, "hang": 0.05}),
]


def pipeline(folder: Path, url: str, name: str) -> Path:
    path = folder / f"{name}.yaml"
    limit = {"name": name, "requests": 7, "window_seconds": 1, "in_flight": 7}
    path.write_text(
        json.dumps({"name": name, "request": {"url": url, "timeout_seconds": 2}, "limit": limit, **DEFINITION})
    )
    return path


def measure(
    setting: Setting, index: int, *, rows: int, folder: Path, addresses: stack.StackAddresses, settings: Settings
) -> None:
    knobs = Knobs(
        delay_min_seconds=0.05, delay_max_seconds=0.15, jitter_seconds=setting.jitter_seconds, tag="userId",
        faults=setting.faults or {}, hang_seconds=10,
    )  # fmt: skip
    api = StandIn(knobs)
    name = f"limit{index}"
    with serving(api) as address:
        definition = pipeline(folder, address + "/posts", name)
        environment = {**os.environ, **stack.environment(addresses, settings), "ROWRELAY_PIPELINES": str(definition)}
        processes = []
        for sender in range(3):
            file = folder / f"{name}-{sender}.csv"
            first = sender * 10_000
            file.write_text("userId,title,body\n" + "".join(f"{first + i},t,b\n" for i in range(1, rows + 1)))
            if setting.stall:
                given = {
                    "redis_url": addresses.redis_url, "data": str(settings.data), "pipeline": str(definition),
                    "run": f"{name}-{sender}", "file": str(file), "stall": setting.stall,
                }  # fmt: skip
                command = [sys.executable, "-m", "tests.engine", json.dumps(given)]
            else:
                command = ["rowrelay", "send", str(file), "--pipeline", name, "--json"]
            processes.append(
                subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            )
        outputs = [process.communicate(timeout=900)[0] for process in processes]
        report(setting, api, outputs, View(connect(addresses.redis_url)), name)


def report(setting: Setting, api: StandIn, outputs: list[bytes], view: View, name: str) -> None:
    assert all(outputs), "a sender printed nothing"
    runs = [run for run in view.runs(0, 50) if run.pipeline == name]
    stamps = [
        (arrival.at / 1e9, arrival.tag) for arrival in sorted(api.arrivals.details, key=lambda arrival: arrival.at)
    ]
    start, end = stamps[0][0] + 2, stamps[-1][0] - 2
    middle = [at for at, _ in stamps if start <= at <= end]
    pace = (len(middle) - 1) / (middle[-1] - middle[0])
    trip = sum(run.fact("round_trip_seconds") * run.fact("sent") for run in runs) / sum(
        run.fact("sent") for run in runs
    )
    early = stamps[: len(stamps) * 2 // 3]  # while all three still have rows
    shares = sorted(sum(int(tag or 0) // 10_000 == sender for _, tag in early) / len(early) for sender in range(3))
    strays = sum(int(tag or 0) % 10_000 == 0 for _, tag in stamps) if not setting.faults else 0
    facts = api.facts()
    print(
        f"{setting.name:34} {facts['arrivals']:5} arrivals, worst {facts['worst']}, over {facts['over']}, "
        f"strays {strays}, "
        f"round trip {trip * 1000:3.0f} ms, pace {pace:.2f}/s = {100 * pace / (7 / (1 + trip)):5.1f} % of guaranteed, "
        f"least share {100 * shares[0]:.0f} %, repeated keys {facts['keys_repeated']}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=240, help="rows a sender")
    parser.add_argument("--only", type=int, help="one setting, by its place from 0")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        settings = Settings(data=folder / "data")
        with stack.use(settings) as addresses:
            for index, setting in enumerate(SETTINGS):
                if options.only in (None, index):
                    measure(setting, index, rows=options.rows, folder=folder, addresses=addresses, settings=settings)


if __name__ == "__main__":
    main()
