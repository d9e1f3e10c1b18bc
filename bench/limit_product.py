"""The limit over three whole senders at once, as the receiver counts it: `python -m bench.limit_product [--rows N]`.

Three `rowrelay send` processes share one limit of 7 per second and one stack; each delivers a file of its own. The
stand-in stamps arrivals, moved by the jitter named. Pace is that of the arrivals between the first and the last two
seconds, against 7 / (1 + mean round trip). A stray is an arrival of a row that no sender was given, or one more than
the attempts that the ledger has of its row. Prints one line a setting, and exits with 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench._parts import ROWRELAY
from deployments.embedded import stack
from deployments.standin.api import Knobs, StandIn
from deployments.standin.arrivals import Arrival
from deployments.standin.server import serving
from flows.ledger.connection import connect
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.records import RowState
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
    least_pace: float = 0.0  # of the guaranteed rate, where it is promised


SETTINGS = [
    Setting("jitter 0", least_pace=0.97),
    Setting("jitter 20 ms", 0.02, least_pace=0.97),
    Setting("jitter 50 ms", 0.05, least_pace=0.97),
    Setting("jitter 200 ms", 0.2, least_pace=0.96),
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
) -> list[str]:
    """Run one setting and print its line; the promises that it broke."""
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
            file.write_text("userId,title,body\n" + "".join(f"{i},t,b\n" for i in given(sender, rows)))
            if setting.stall:
                order = {
                    "redis_url": addresses.redis_url, "data": str(settings.data), "pipeline": str(definition),
                    "run": f"{name}-{sender}", "file": str(file), "stall": setting.stall,
                }  # fmt: skip
                command = [sys.executable, "-m", "tests.harness.engine", json.dumps(order)]
            else:
                command = [ROWRELAY, "send", str(file), "--pipeline", name, "--json"]
            processes.append(
                subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            )
        outputs = [process.communicate(timeout=900)[0] for process in processes]
        assert all(outputs), "a sender printed nothing"
        return report(setting, api, View(connect(addresses.redis_url)), name, rows=rows)


def given(sender: int, rows: int) -> range:
    """The `userId`s of one sender's rows."""
    return range(sender * 10_000 + 1, sender * 10_000 + rows + 1)


def report(setting: Setting, api: StandIn, view: View, name: str, *, rows: int) -> list[str]:
    """Print what the receiver saw; the promises that were broken."""
    runs = [run for run in view.runs(0, 50) if run.pipeline == name]
    arrivals = sorted(api.arrivals.details, key=lambda arrival: arrival.at)
    stamps = [arrival.at / 1e9 for arrival in arrivals]
    middle = [at for at in stamps if stamps[0] + 2 <= at <= stamps[-1] - 2]
    pace = (len(middle) - 1) / (middle[-1] - middle[0])
    requests = sum(run.facts.sent for run in runs)
    trip = sum(run.facts.round_trip_seconds * run.facts.sent for run in runs) / requests
    of_guaranteed = pace / (7 / (1 + trip))
    early = arrivals[: len(arrivals) * 2 // 3]  # while all three still have rows
    least = min(sum(each.tag in tags for each in early) / len(early) for tags in map(_tags, range(3), [rows] * 3))
    facts, strange = api.facts(), strays(arrivals, view, runs, rows)
    print(
        f"{setting.name:34} {facts['arrivals']:5} arrivals, worst {facts['worst']}, over {facts['over']}, "
        f"strays {len(strange)}, round trip {trip * 1000:3.0f} ms, pace {pace:.2f}/s = {100 * of_guaranteed:5.1f} % of "
        f"guaranteed, least share {100 * least:.0f} %, repeated keys {facts['keys_repeated']}",
        flush=True,
    )
    broken = {
        f"{facts['over']} arrivals had more than 7 in their second": facts["over"],
        f"strays: {', '.join(strange[:5])}": strange,
        f"the three runs are {len(runs)}": len(runs) != 3,
        "the pace is too low": of_guaranteed < setting.least_pace,
        "a sender got too small a share": least < 0.2,
    }
    return [f"{setting.name}: {text}" for text, wrong in broken.items() if wrong]


def _tags(sender: int, rows: int) -> set[str]:
    return {str(i) for i in given(sender, rows)}


def strays(arrivals: list[Arrival], view: View, runs: list[Run], rows: int) -> list[str]:
    """Rows that arrived though nobody was given them, or more or less often than the ledger says that they were sent.

    A row whose attempts the ledger calls unknown may have arrived or not; done and failed rows have arrived.
    """
    arrived = Counter(arrival.tag for arrival in arrivals)
    expected = {tag: (attempts, sure) for run in runs for tag, attempts, sure in _attempts(view, run, rows)}
    return [
        f"{tag or '(no tag)'} x {times}, expected {expected.get(tag, 0)}"
        for tag in arrived.keys() | expected.keys()
        for times in [arrived[tag]]
        if tag not in expected or times > expected[tag][0] or (expected[tag][1] and not times)
    ]


def _attempts(view: View, run: Run, rows: int) -> Iterator[tuple[str, int, bool]]:
    sender = int(Path(run.file).stem.rpartition("-")[2])
    records = view.records(run.id, range(1, rows + 1), names=("postId",), created=run.created)
    for tag, record in zip(given(sender, rows), records, strict=True):
        yield str(tag), record.attempts, record.state in (RowState.DONE, RowState.FAILED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=240, help="rows a sender")
    parser.add_argument("--only", type=int, help="one setting, by its place from 0")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        settings = Settings(data=folder / "data")
        broken: list[str] = []
        with stack.use(settings) as addresses:
            for index, setting in enumerate(SETTINGS):
                if options.only in (None, index):
                    broken += measure(
                        setting, index, rows=options.rows, folder=folder, addresses=addresses, settings=settings
                    )
    if broken:
        sys.exit("\n".join(broken))


if __name__ == "__main__":
    main()
