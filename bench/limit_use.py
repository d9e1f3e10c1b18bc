"""How much of the guaranteed rate is used, as the receiver counts it: `python -m bench.limit_use [--quick]`.

7, 50, 200 and 1,000 a second, answers after 5, 100 and 500 ms, by 1 and by 3 processes that share the limit. A sender
is the product from the file to the ledger, without Prefect, which would take longer to start than a setting lasts:
what `rowrelay send` maps is mapped on plain threads (tests.harness.engine). One Redis that syncs every write, and for
every setting a `rowrelay standin` in a process of its own.

The pace is that of the arrivals from 2 s after the first one on, for 30 s at 7 a second and 12 s at the others; it is
held against N / (1 + mean round trip), where the round trip is what the senders measured. Settings that leave the
machine idle run beside each other. The whole table takes some 5 minutes. Exit 1 if any window was over the limit.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench._parts import Receiver, definition, posts, receiver
from deployments.embedded.redis_server import RedisServer
from tests.harness.forked import Forked

RATES, ROUND_TRIPS_MS, PROCESSES = (7, 50, 200, 1000), (5, 100, 500), (1, 3)
AT_ONCE = {7: 6, 50: 6, 200: 2, 1000: 1}  # settings that run beside each other
LEAD_SECONDS, TAIL_SECONDS = 2.0, 1.0
AIM = 0.99  # of the guaranteed rate, at 7 a second with three processes


@dataclass(frozen=True)
class Setting:
    """One line of the table."""

    rate: int
    round_trip_ms: int
    processes: int

    @property
    def name(self) -> str:
        return f"use{self.rate}-{self.round_trip_ms}-{self.processes}"

    @property
    def seconds(self) -> float:
        """How long the pace is measured."""
        return 30.0 if self.rate < 50 else 12.0


@dataclass(frozen=True)
class Use:
    """What came of it."""

    setting: Setting
    round_trip: float
    worst: int
    over: int
    pace: float

    @property
    def of_guaranteed(self) -> float:
        return self.pace * (1 + self.round_trip) / self.setting.rate

    def __str__(self) -> str:
        s = self.setting
        return (
            f"{s.rate:>6}{s.round_trip_ms:>8} ms{s.processes:>6}{1000 * self.round_trip:>10.0f} ms"
            f"{self.worst:>8}{self.over:>6}{self.pace:>9.2f}/s{100 * self.pace / s.rate:>8.1f} %"
            f"{100 * self.of_guaranteed:>8.1f} %"
        )


def measure(setting: Setting, folder: Path, redis_url: str) -> Use:
    """Let the senders send, end them, and ask the receiver."""
    delay = str(setting.round_trip_ms / 1000)
    options = ("--delay-min-seconds", delay, "--delay-max-seconds", delay, "--ban-after", "null")
    with receiver("--requests", str(setting.rate), *options) as api:
        pipeline = definition(folder, api.url, limit=setting.rate, in_flight=setting.rate, name=setting.name)
        rows = round(setting.rate * (LEAD_SECONDS + setting.seconds + TAIL_SECONDS + 5))
        senders = [_start(setting, number, rows, folder, pipeline, redis_url) for number in range(setting.processes)]
        try:
            wait_for_arrivals(api)
            time.sleep(LEAD_SECONDS + setting.seconds + TAIL_SECONDS)
            for sender in senders:
                sender.terminate()
            said = [json.loads(sender.communicate(60)[0]) for sender in senders]
        finally:
            for sender in senders:
                sender.kill()
        stamps = [arrival["at"] / 1e9 for arrival in api.arrivals()]
        report = api.report()
    begin = stamps[0] + LEAD_SECONDS
    middle = [at for at in stamps if begin <= at <= begin + setting.seconds]
    whole = (len(middle) - 1) // setting.rate * setting.rate  # slots come in rounds of N: half a round would flatter
    facts = [each["facts"] for each in said]
    sent = sum(float(each["sent"]) for each in facts)
    trip = sum(float(each["round_trip_seconds"]) * float(each["sent"]) for each in facts) / sent
    return Use(setting, trip, report["worst"], report["over"], whole / (middle[whole] - middle[0]))


def _start(setting: Setting, number: int, rows: int, folder: Path, pipeline: Path, redis_url: str) -> Forked:
    name = f"{setting.name}-{number}"
    order = {
        "redis_url": redis_url,
        "data": str(folder / "data"),
        "pipeline": str(pipeline),
        "run": name,
        "file": str(posts(folder / f"{name}.csv", rows, first=number * 1_000_000 + 1)),
    }
    return Forked(json.dumps(order), folder / f"{name}.json")


def wait_for_arrivals(api: Receiver) -> None:
    """Until something has arrived. Raises TimeoutError after three minutes."""
    deadline = time.monotonic() + 180
    while not api.report()["arrivals"]:
        if time.monotonic() > deadline:
            raise TimeoutError("nothing arrived within three minutes")
        time.sleep(0.1)


def settings(*, quick: bool) -> Iterator[list[Setting]]:
    """The settings, those together that run beside each other."""
    for rate in (7, 200) if quick else RATES:
        trips = (100,) if quick else ROUND_TRIPS_MS
        some = [Setting(rate, trip, processes) for trip in trips for processes in PROCESSES]
        for first in range(0, len(some), AT_ONCE[rate]):
            yield some[first : first + AT_ONCE[rate]]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="7 and 200 a second at 100 ms only: a minute")
    parser.add_argument("--rate", type=int, action="append", default=[], help="only these of the rates")
    given = parser.parse_args()
    found: list[Use] = []
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(6) as pool:
        folder = Path(name)
        (folder / "redis").mkdir()
        redis = RedisServer(folder / "redis", appendfsync="always").start()
        try:
            print("     N   answers  by    round trip   worst  over       pace     of N    of N / (1 + round trip)")
            for group in settings(quick=given.quick):
                if given.rate and group[0].rate not in given.rate:
                    continue
                for use in pool.map(lambda setting: measure(setting, folder, redis.url), group):
                    found.append(use)
                    print(use, flush=True)
        finally:
            redis.stop()
    shared = [use.of_guaranteed for use in found if use.setting.rate == 7 and use.setting.processes == 3]
    if shared:
        print(f"aim: {AIM:.0%} at 7 a second by 3: {'kept' if min(shared) >= AIM else 'MISSED'} ({min(shared):.1%})")
    return int(any(use.over for use in found))


if __name__ == "__main__":
    sys.exit(main())
