"""What several limits over one request cost: permits a second, µs of CPU and visits to Redis for each, Redis's memory.

    python -m bench.several_limits [--seconds 3] [--rounds 3]

One process asks for permits under limits that never bound the pace and answers each at once; no request is sent: one,
two and three limits of requests; an account and a limit for each of 10,000 values, asked for in turn; an account and a
limit of units. The cases take turns, round after round, and the medians are shown. The CPU is of this process and,
beside it, of the server. Exit 1 where a permit costs over 1 ms here.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

import redis

from deployments.embedded.redis_server import RedisServer
from flows.limit.limiter import Limiter, StalePermit
from flows.limit.places import Place, Places, value_name
from flows.records import LimitTerms
from tests.harness.limits import long_known

VALUES = 10_000
MOST_US = 1000.0


@dataclass
class Offered:
    """A request that may go."""

    places: Places


def plain(name: str) -> LimitTerms:
    """A limit that no process here reaches."""
    return LimitTerms(name, ((20_000, 1.0),), 2000, 0.5, 0.2)


CASES: dict[str, tuple[LimitTerms, ...]] = {
    "1 limit": (plain("a"),),
    "2 limits": (plain("a"), plain("b")),
    "3 limits": (plain("a"), plain("b"), plain("c")),
    "1 limit, and one for each of 10,000 values": (plain("a"), LimitTerms("v {v}", ((5, 1.0),), 5, 0.5, 0.2)),
    "1 limit, and one of units at 10 a request": (
        plain("a"),
        LimitTerms("u", ((50_000, 1.0),), 2000, 0.5, 0.2, units=True),
    ),
}


async def asked(url: str, terms: Sequence[LimitTerms], seconds: float) -> tuple[int, int, float, float]:
    """(permits, visits, seconds, seconds of CPU) of asking for so long."""
    family = next((at for at, each in enumerate(terms) if each.is_family), None)
    values = [value_name(str(number)) for number in range(VALUES)]
    number = 0

    def offers() -> list[Offered]:
        """The next hundred values in turn."""
        chosen = (values[(number + step) % VALUES] for step in range(100))
        return [
            Offered(tuple(Place(at, value if at == family else "") for at in range(len(terms)))) for value in chosen
        ]

    usual = tuple(Place(at, "", 10 if each.units else 1) for at, each in enumerate(terms))
    async with Limiter(url) as limiter:
        limit = limiter.limit(*terms)
        for permit in await limit.acquire(1, usual):
            permit.unused()
        began, cpu, visits, permits = time.monotonic(), time.process_time(), limit.counters.visits, 0
        while time.monotonic() - began < seconds:
            if family is None:
                granted = await limit.acquire(100, usual)
            else:
                granted = [permit for _, permit in await limit.acquire_any(100, offers)]
                number += 100
            for permit in granted:
                await permit.wait()
                with suppress(StalePermit):  # this process, or the server, was held up
                    permit.check()
                    permit.answered()
                    permit.finished()
                    permits += 1
        return permits, limit.counters.visits - visits, time.monotonic() - began, time.process_time() - cpu


class Found(NamedTuple):
    """What one case came to, per permit."""

    rate: float
    here: float
    there: float
    visits: float
    memory: float


def measured(terms: Sequence[LimitTerms], seconds: float) -> Found:
    """One case on a server of its own."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder), appendfsync="no").start()
        try:
            with redis.Redis.from_url(server.url) as client:
                for each in terms:
                    long_known(client, each.name)
                before = _cpu(client)
                permits, visits, took, cpu = asyncio.run(asked(server.url, terms, seconds))
                spent, memory = _cpu(client) - before, client.info("memory")["used_memory"] / 1e6
        finally:
            server.stop()
    return Found(permits / took, 1e6 * cpu / permits, 1e6 * spent / permits, visits / permits, memory)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.several_limits")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    rounds = [{what: measured(terms, given.seconds) for what, terms in CASES.items()} for _ in range(given.rounds)]
    print(f"{'':<45}{'permits/s':>10}{'µs here':>9}{'µs in Redis':>13}{'visits each':>13}{'MB of Redis':>13}")
    dear = False
    for what in CASES:
        found = Found(*map(median, zip(*(each[what] for each in rounds), strict=True)))
        dear = dear or found.here > MOST_US
        line = f"{what:<45}{found.rate:>10,.0f}{found.here:>9.0f}{found.there:>13.0f}{found.visits:>13.2f}"
        print(f"{line}{found.memory:>13.1f}", flush=True)
    return int(dear)


def _cpu(client: redis.Redis) -> float:
    found = client.info("cpu")
    return float(found["used_cpu_user"]) + float(found["used_cpu_sys"])


if __name__ == "__main__":
    sys.exit(main())
