"""A script as people write it: asyncio, httpx, a semaphore; and the four usual ways to hold a rate.

    python bench/others/plain.py FILE URL [--at-once 50] [--way free] [--rate 7]

- free: a semaphore bounds how many are under way, nothing bounds the rate
- spaced: one is started every 1/rate seconds
- batches: `rate` at once, then the rest of the second is slept
- bucket: a leaky bucket that holds `rate`, as aiolimiter's AsyncLimiter(rate, 1)
- held: a semaphore of `rate`, held through the request and for a second after it
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import time
from typing import Any

import httpx

Row = dict[str, Any]


class Bucket:
    """What aiolimiter does: every entry adds one drop, `rate` drops leak a second, and no more than `rate` fit."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.level = 0.0
        self.checked = time.monotonic()

    async def __aenter__(self) -> None:
        while True:
            now = time.monotonic()
            self.level = max(0.0, self.level - (now - self.checked) * self.rate)
            self.checked = now
            if self.level + 1 <= self.rate:
                self.level += 1
                return
            await asyncio.sleep((self.level + 1 - self.rate) / self.rate)

    async def __aexit__(self, *exc: object) -> None:
        pass


class Script:
    """The client, and who waits for whom."""

    def __init__(self, client: httpx.AsyncClient, url: str, at_once: int, rate: float) -> None:
        self.client, self.url, self.rate = client, url, rate
        self.semaphore = asyncio.Semaphore(at_once)
        self.wrong = 0

    async def send(self, row: Row) -> None:
        try:
            response = await self.client.post(self.url, json=row)
            response.raise_for_status()
        except httpx.HTTPError:
            self.wrong += 1

    async def free(self, rows: list[Row]) -> None:
        async def one(row: Row) -> None:
            async with self.semaphore:
                await self.send(row)

        await asyncio.gather(*(one(row) for row in rows))

    async def spaced(self, rows: list[Row]) -> None:
        tasks = []
        for row in rows:
            tasks.append(asyncio.create_task(self.send(row)))
            await asyncio.sleep(1 / self.rate)
        await asyncio.gather(*tasks)

    async def batches(self, rows: list[Row]) -> None:
        size = int(self.rate)
        for first in range(0, len(rows), size):
            began = time.monotonic()
            await asyncio.gather(*(self.send(row) for row in rows[first : first + size]))
            await asyncio.sleep(max(0.0, began + 1 - time.monotonic()))

    async def bucket(self, rows: list[Row]) -> None:
        limiter = Bucket(self.rate)

        async def one(row: Row) -> None:
            async with limiter:
                await self.send(row)

        await asyncio.gather(*(one(row) for row in rows))

    async def held(self, rows: list[Row]) -> None:
        semaphore = asyncio.Semaphore(int(self.rate))

        async def one(row: Row) -> None:
            async with semaphore:
                await self.send(row)
                await asyncio.sleep(1)

        await asyncio.gather(*(one(row) for row in rows))


async def main(file: str, url: str, at_once: int, way: str, rate: float) -> int:
    with open(file, newline="") as source:  # noqa: ASYNC230 - as people write it
        rows = [{**row, "userId": int(row["userId"])} for row in csv.DictReader(source)]
    async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=at_once)) as client:
        script = Script(client, url, at_once, rate)
        await getattr(script, way)(rows)
    return script.wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("url")
    parser.add_argument("--at-once", type=int, default=50)
    parser.add_argument("--way", choices=("free", "spaced", "batches", "bucket", "held"), default="free")
    parser.add_argument("--rate", type=float, default=7.0)
    given = parser.parse_args()
    wrong = asyncio.run(main(given.file, given.url, given.at_once, given.way, given.rate))
    raise SystemExit(wrong > 0)
