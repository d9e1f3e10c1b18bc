"""The floor: the least that asyncio and aiohttp need to send a file's rows. Checks nothing, keeps nothing.

python bench/others/floor.py FILE URL [--connections 50]
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
from collections.abc import Iterator

import aiohttp


async def main(file: str, url: str, connections: int) -> int:
    """Send every row; returns how many were not answered 201."""
    with open(file, newline="") as source:  # noqa: ASYNC230 - the floor reads while it sends
        rows = csv.DictReader(source)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as session:
            return sum(await asyncio.gather(*(work(session, url, rows) for _ in range(connections))))


async def work(session: aiohttp.ClientSession, url: str, rows: Iterator[dict[str, str]]) -> int:
    """Send rows one after the other until there are none left."""
    headers, wrong = {"Content-Type": "application/json"}, 0
    for row in rows:
        body = json.dumps({**row, "userId": int(row["userId"])}).encode()
        async with session.post(url, data=body, headers=headers) as answer:
            await answer.read()
            wrong += answer.status != 201
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("url")
    parser.add_argument("--connections", type=int, default=50)
    given = parser.parse_args()
    raise SystemExit(asyncio.run(main(given.file, given.url, given.connections)) > 0)
