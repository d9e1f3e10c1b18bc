"""Many rows in one request: `python -m bench.batch [--rows 100000] [--batch 100] [--limit 10] [--profile FILE]`.

`rowrelay send` to a local receiver that answers an item a row, under a limit with answers after 100 ms and without a
limit, in batches and a row a request; beside it a plain asyncio + httpx script that batches. Prints rows a second, the
share of the guaranteed rate, CPU time a row and peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench._parts import ROWRELAY, Watched, posts, watched

RECEIVER = """
import asyncio, sys
delay = float(sys.argv[1])
OK = b'{"id": 1, "status": "ok"}'
HEAD = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n"
class Receiver(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.data, self.parts = transport, [], 0
        self.need = None
    def data_received(self, data):
        self.data.append(data)
        whole = b"".join(self.data)
        end = whole.find(b"\\r\\n\\r\\n")
        if end < 0:
            return
        length = int(whole[:end].lower().partition(b"content-length: ")[2].partition(b"\\r\\n")[0] or 0)
        if len(whole) < end + 4 + length:
            self.data = [whole]
            return
        count = whole.count(b'"userId"', end)
        self.data = [whole[end + 4 + length:]]
        body = OK if whole[end + 4 : end + 5] != b"[" else b'{"results": [' + b", ".join([OK] * count) + b"]}"
        answer = HEAD % len(body) + body
        if delay:
            asyncio.get_running_loop().call_later(delay, self.transport.write, answer)
        else:
            self.transport.write(answer)
async def main():
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""

PLAIN = """
import asyncio, csv, sys, time
import httpx
file, url, batch, limit = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
async def main():
    rows = list(csv.DictReader(open(file)))
    parts = [rows[at : at + batch] for at in range(0, len(rows), batch)]
    few = asyncio.Semaphore(10)
    done = 0
    async with httpx.AsyncClient(timeout=10) as http:
        async def one(some):
            nonlocal done
            async with few:
                answer = await http.post(url, json=[{**row, "userId": int(row["userId"])} for row in some])
            done += sum(item["status"] == "ok" for item in answer.json()["results"])
        tasks = []
        begin = time.perf_counter()
        for number, some in enumerate(parts):
            tasks.append(asyncio.create_task(one(some)))
            if limit:
                await asyncio.sleep(max(0, begin + (number + 1) / limit - time.perf_counter()))
            elif len(tasks) >= 100:
                await asyncio.gather(*tasks)
                tasks = []
        await asyncio.gather(*tasks)
        print(done, time.perf_counter() - begin)
asyncio.run(main())
"""


@contextmanager
def receiver(delay: float) -> Iterator[str]:
    """The receiver in a process of its own."""
    process = subprocess.Popen([sys.executable, "-c", RECEIVER, str(delay)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/rows"
    finally:
        process.terminate()
        process.wait(10)


def pipeline(folder: Path, url: str, *, batch: int, limit: float, in_flight: int) -> None:
    """The definition, in a folder of its own."""
    pace: dict[str, Any] = {"name": "bench", "in_flight": in_flight}
    if limit:
        pace |= {"requests": int(limit), "window_seconds": 1}
    made: dict[str, Any] = {
        "name": "bench",
        "columns": {"userId": {"type": "int"}, "title": {"type": "str"}, "body": {"type": "str"}},
        "request": {"url": url, "timeout_seconds": 10},
        "limit": pace,
    }
    if batch > 1:
        made["batch"] = {
            "rows": batch,
            "items": "results",
            "match": "position",
            "keep": {"postId": "id"},
            "answers": [{"when": "status == 'ok'", "means": "done"}],
        }
        made["answers"] = [{"status": 200, "means": "items"}]
    else:
        made["response"] = {"keep": {"postId": "id"}}
    (folder / "bench.yaml").write_text(json.dumps(made))


def delivered(
    folder: Path, rows: int, url: str, *, batch: int, limit: float, in_flight: int, profile: str = ""
) -> tuple[Watched, dict[str, Any]]:
    """One `rowrelay send` on a stack of its own."""
    (folder / "pipelines").mkdir(exist_ok=True)
    pipeline(folder / "pipelines", url, batch=batch, limit=limit, in_flight=in_flight)
    file = posts(folder / "rows.csv", rows)
    environment = os.environ | {
        "ROWRELAY_DATA": str(folder / f"data-{batch}-{limit}"),
        "ROWRELAY_PIPELINES": str(folder / "pipelines"),
        "ROWRELAY_SEPARATE_STACK": "1",
    }
    command = [ROWRELAY] if not profile else [sys.executable, "-m", "cProfile", "-o", profile, ROWRELAY]
    found = watched(
        [*command, "send", str(file), "--pipeline", "bench", "--json"], environment=environment, seconds=1800
    )
    return found, json.loads(found.output)


def told(name: str, found: Watched, run: dict[str, Any], rows: int, *, batch: int, limit: float, trip: float) -> None:
    """A line of figures."""
    done = run["counts"]["done"]
    rate = done / run["seconds"] if run["seconds"] else 0.0
    share = ""
    if limit:
        guaranteed = limit / (1 + trip)
        share = f", {run['used_of_guaranteed']:.1%} of the guaranteed {guaranteed:.2f} requests/s"
    cost = 1e6 * found.cpu_seconds / rows
    memory = f"peak {found.peak_megabytes:.0f} MB"
    print(f"{name}: {done:,} done, {rate:,.0f} rows/s{share}, {cost:.0f} µs CPU a row in all, {memory}")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--limit", type=float, default=10.0)
    parser.add_argument("--profile", default="")
    parser.add_argument("--only", choices=("limit", "free"), default="")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.only != "free":
            with receiver(0.1) as url:
                found, run = delivered(folder, given.rows, url, batch=given.batch, limit=given.limit, in_flight=10)
                told("batches, limit", found, run, given.rows, batch=given.batch, limit=given.limit, trip=0.1)
                few = max(1, given.rows // given.batch)
                found, run = delivered(folder, few, url, batch=1, limit=given.limit, in_flight=10)
                told("a row a request, limit", found, run, few, batch=1, limit=given.limit, trip=0.1)
                plain(folder, given.rows, url, given.batch, given.limit)
        if given.only != "limit":
            with receiver(0.0) as url:
                found, run = delivered(
                    folder, given.rows, url, batch=given.batch, limit=0, in_flight=20, profile=given.profile
                )
                told("batches, no limit", found, run, given.rows, batch=given.batch, limit=0, trip=0)
                few = max(1, given.rows // 10)
                found, run = delivered(folder, few, url, batch=1, limit=0, in_flight=50)
                told("a row a request, no limit", found, run, few, batch=1, limit=0, trip=0)
                plain(folder, given.rows, url, given.batch, 0)


def plain(folder: Path, rows: int, url: str, batch: int, limit: float) -> None:
    """The plain script."""
    file = posts(folder / "rows.csv", rows)
    found = watched([sys.executable, "-c", PLAIN, str(file), url, str(batch), str(limit)], seconds=1800)
    done, seconds = found.output.split()
    cost = 1e6 * found.cpu_seconds / rows
    print(f"plain script: {done} done, {rows / float(seconds):,.0f} rows/s, {cost:.0f} µs CPU a row")


if __name__ == "__main__":
    main()
