"""The pace at a distance, as the receiver counts it: `python -m bench.limit_far [--away | --redis] [--rate N]`.

The way to the API takes 0, 50, 150 or 300 ms, one way, with TLS, and its answers 50 ms more; with and without
`late_seconds`, by 1 and by 3 processes, at 7 and at 200 a second. Then an API close by, and a Redis 20 and 100 ms away,
one way. Everything else is as in `bench.limit_use`: whole deliveries without Prefect, a Redis that syncs every write.

Prints a line a setting: the share of what is guaranteed, N / (1 + round trip to the API), the worst window, the least
share of a process, the connections that were made for each that may be in flight, and what the runs' events say.
`--away` or `--redis`: only that half. Exit 1 if a window was over the limit. The whole takes some 12 minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench._parts import definition, posts, receiver
from bench.limit_use import LEAD_SECONDS, TAIL_SECONDS, wait_for_arrivals
from deployments.embedded.redis_server import RedisServer
from flows.ledger.connection import connect
from flows.ledger.view import View
from flows.limit.script import LATE_FRESH_SECONDS
from tests.harness import tls
from tests.harness.forked import Forked
from tests.harness.proxy import Proxy

ANSWER_SECONDS = 0.05
MARGIN_SECONDS = 0.15  # of `late_seconds`, beyond the way
TIMEOUT_SECONDS = 5.0
HEAD = "    N   API away Redis away late  by  round trip worst over      pace guaranteed least share conn./N  events"
AT_ONCE = {7: 4, 200: 1}  # settings that run beside each other


@dataclass(frozen=True)
class Setting:
    """One line of the table. Distances in seconds, one way."""

    rate: int
    away: float
    redis_away: float
    late: bool
    processes: int

    @property
    def name(self) -> str:
        ways = f"{1000 * self.away:.0f}-{1000 * self.redis_away:.0f}"
        return f"far{self.rate}-{ways}-{'late' if self.late else 'plain'}-{self.processes}"

    @property
    def late_seconds(self) -> float | None:
        return self.away + MARGIN_SECONDS if self.late else None

    @property
    def seconds(self) -> float:
        """How long the pace is measured."""
        return 25.0 if self.rate < 50 else 12.0


@dataclass(frozen=True)
class Found:
    """What came of it."""

    setting: Setting
    trip: float
    worst: int
    over: int
    pace: float
    least: float  # share of a process
    connections: int
    events: list[str]

    @property
    def of_guaranteed(self) -> float:
        held = self.trip
        if self.setting.late_seconds is not None:
            held = min(held, self.setting.late_seconds + LATE_FRESH_SECONDS)
        return self.pace * (1 + held) / self.setting.rate

    def __str__(self) -> str:
        s = self.setting
        return (
            f"{s.rate:>5}{1000 * s.away:>7.0f} ms{1000 * s.redis_away:>7.0f} ms{'yes' if s.late else 'no':>6}"
            f"{s.processes:>4}{1000 * self.trip:>9.0f} ms{self.worst:>7}{self.over:>5}{self.pace:>9.2f}/s"
            f"{100 * self.of_guaranteed:>8.1f} %{100 * self.least:>8.0f} %{self.connections / s.rate:>8.2f}   "
            + ("; ".join(sorted(set(self.events))) or "–")
        )


def measure(setting: Setting, folder: Path, redis: RedisServer, certificate: Path) -> Found:
    """Let the senders send, end them, and ask the receiver."""
    with ExitStack() as stack:
        answers = ("--delay-min-seconds", str(ANSWER_SECONDS), "--delay-max-seconds", str(ANSWER_SECONDS))
        options = ("--requests", str(setting.rate), *answers, "--tag", "userId", "--ban-after", "null")
        api = stack.enter_context(receiver(*options))
        port = int(api.url.rpartition(":")[2].partition("/")[0])
        way = stack.enter_context(Proxy(port, away=setting.away, tls=certificate))
        redis_url = redis.url
        if setting.redis_away:
            line = stack.enter_context(Proxy(redis.port, away=setting.redis_away))
            redis_url = redis_url.replace(f":{redis.port}/", f":{line.port}/")
        pipeline = definition(
            folder,
            f"https://127.0.0.1:{way.port}/posts",
            limit=setting.rate,
            in_flight=setting.rate,
            name=setting.name,
            timeout=TIMEOUT_SECONDS,
            late=setting.late_seconds,
        )
        senders = [_start(setting, number, folder, pipeline, redis_url) for number in range(setting.processes)]
        for sender in senders:
            stack.callback(sender.kill)
        wait_for_arrivals(api)
        time.sleep(LEAD_SECONDS + setting.seconds + TAIL_SECONDS)
        for sender in senders:
            sender.terminate()
        said = [json.loads(sender.communicate(90)[0]) for sender in senders]
        arrivals, report, connections = api.arrivals(), api.report(), way.connections
    stamps = [each["at"] / 1e9 for each in arrivals]
    shares = Counter(int(each["tag"]) // 1_000_000 for each in arrivals if each["tag"])
    begin = stamps[0] + LEAD_SECONDS
    middle = [at for at in stamps if begin <= at <= begin + setting.seconds]
    whole = (len(middle) - 1) // setting.rate * setting.rate  # slots come in rounds of N: half a round would flatter
    sent = sum(float(each["facts"]["sent"]) for each in said)
    trip = sum(float(each["facts"]["round_trip_seconds"]) * float(each["facts"]["sent"]) for each in said) / sent
    view = View(connect(redis.url))
    events = [text for number in range(setting.processes) for _, text in view.events(f"{setting.name}-{number}")]
    pace = whole / (middle[whole] - middle[0]) if whole else len(middle) / setting.seconds
    least = min(shares[number] for number in range(setting.processes)) / len(arrivals)
    return Found(setting, trip, report["worst"], report["over"], pace, least, connections, events)


def _start(setting: Setting, number: int, folder: Path, pipeline: Path, redis_url: str) -> Forked:
    name = f"{setting.name}-{number}"
    rows = round(setting.rate * (LEAD_SECONDS + setting.seconds + TAIL_SECONDS + 5))
    order = {
        "redis_url": redis_url,
        "data": str(folder / "data"),
        "pipeline": str(pipeline),
        "run": name,
        "file": str(posts(folder / f"{name}.csv", rows, first=number * 1_000_000 + 1)),
    }
    return Forked(json.dumps(order), folder / f"{name}.json")


def settings(*, away: bool, redis: bool) -> Iterator[list[Setting]]:
    """The settings, those together that run beside each other."""
    for rate in AT_ONCE:
        some: list[Setting] = []
        if away:
            some += [
                Setting(rate, away, 0.0, late, processes)
                for away in (0.0, 0.05, 0.15, 0.3)
                for late in (False, True)
                for processes in (1, 3)
            ]
        if redis:
            some += [
                Setting(rate, 0.0, far, late, processes)
                for far in (0.02, 0.1)
                for late in (False, True)
                for processes in (1, 3)
            ]
        for first in range(0, len(some), AT_ONCE[rate]):
            yield some[first : first + AT_ONCE[rate]]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--away", action="store_true", help="the API far away, only")
    parser.add_argument("--redis", action="store_true", help="Redis far away, only")
    parser.add_argument("--rate", type=int, action="append", default=[], help="only these of 7 and 200 a second")
    given = parser.parse_args()
    both = given.away == given.redis
    over = 0
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(4) as pool:
        folder = Path(name)
        trusted = tls.authority(folder)
        os.environ["SSL_CERT_FILE"] = str(trusted.roots)
        certificate = trusted.certificate("localhost", "127.0.0.1")
        (folder / "redis").mkdir()
        redis = RedisServer(folder / "redis", appendfsync="always").start()
        try:
            print(HEAD)
            for group in settings(away=given.away or both, redis=given.redis or both):
                if given.rate and group[0].rate not in given.rate:
                    continue
                for found in pool.map(lambda setting: measure(setting, folder, redis, certificate), group):
                    over += found.over
                    print(found, flush=True)
        finally:
            redis.stop()
    return int(over > 0)


if __name__ == "__main__":
    sys.exit(main())
