"""Many workers on Debian's PostgreSQL and Redis: `python -m bench.scale [--rows N] [--workers 1,2,4]`.

For each number of workers: so many processes each deliver their part of the rows at once, as a Prefect worker would
start them, to an API of this machine that has no limit and answers at once. Prints rows a second over all, CPU and
memory of the workers and of everything behind them, and how Prefect's database and Redis have grown.

Needs `apt-get install postgresql redis-server`, and root (PostgreSQL is started as another user). The 100,000 rows that
are the default show about the same rates as 1,000,000, which take two to four minutes a line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from bench._parts import definition
from deployments.embedded.redis_server import RedisServer, free_port
from flows.ledger.connection import connect
from flows.ledger.view import View
from flows.records import RowState

ANSWER = b'HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{"id":101}'
BATCHED = {
    f"PREFECT_SERVER_SERVICES_{name}": value
    for name, value in {
        "TASK_RUN_RECORDER_BATCH_SIZE": "100",
        "TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
        "TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
        "EVENT_PERSISTER_BATCH_SIZE": "200",
        "EVENT_PERSISTER_READ_BATCH_SIZE": "100",
        "EVENT_PERSISTER_FLUSH_INTERVAL": "1",
    }.items()
}


class Api(asyncio.Protocol):
    """Answers every request at once, at the least cost: what is measured is the sender."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.rest = transport, b""

    def data_received(self, data: bytes) -> None:
        self.rest += data
        while (end := self.rest.find(b"\r\n\r\n")) >= 0:
            head = self.rest[:end].lower()
            at = head.find(b"content-length:")
            size = int(head[at + 15 : head.find(b"\r", at) if b"\r" in head[at:] else None]) if at >= 0 else 0
            if len(self.rest) < end + 4 + size:
                return
            self.rest = self.rest[end + 4 + size :]
            self.transport.write(ANSWER)  # type: ignore[attr-defined]


async def serve_api() -> None:
    server = await asyncio.get_running_loop().create_server(Api, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/posts", flush=True)
    await server.serve_forever()


@contextmanager
def child(command: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, text=True, **options)
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(15)
        process.kill()


@contextmanager
def postgres(folder: Path) -> Iterator[tuple[str, int]]:
    """A server of its own; gives the address of its database, and the process id."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        sys.exit("PostgreSQL is not here: apt-get install postgresql")
    user, port = pwd.getpwnam("postgres"), free_port()
    folder.mkdir()
    os.chown(folder, user.pw_uid, user.pw_gid)
    own: dict[str, Any] = {
        "user": "postgres",
        "cwd": folder,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    data = folder / "data"
    subprocess.run([found[-1] / "initdb", "-D", data, "-A", "trust", "-U", "postgres"], check=True, **own)
    command = [str(found[-1] / "postgres"), "-D", str(data), "-p", str(port), "-k", "", "-h", "127.0.0.1"]
    with child(command, **own) as process:
        psql = ["psql", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-Atc"]
        while subprocess.run([*psql, "select 1"], capture_output=True, check=False).returncode:
            time.sleep(0.1)
        subprocess.run([*psql, "create database prefect"], check=True, capture_output=True)
        yield f"postgresql+asyncpg://postgres@127.0.0.1:{port}/prefect", process.pid


def megabytes_of(database: str) -> tuple[float, int]:
    """Size of Prefect's database, and how many task runs it holds."""
    port = database.rsplit(":", 1)[1].partition("/")[0]
    psql = ["psql", "-h", "127.0.0.1", "-p", port, "-U", "postgres", "-At", "prefect", "-c"]
    asked = "select pg_database_size('prefect'), (select count(*) from task_run)"
    size, tasks = subprocess.run([*psql, asked], check=True, capture_output=True, text=True).stdout.split("|")
    return int(size) / 1e6, int(tasks)


def megabytes_in(folder: Path) -> float:
    """What the files of a folder hold."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def used(pid: int) -> tuple[float, float]:
    """CPU seconds and MB of a process with all its children."""
    cpu = memory = 0.0
    with suppress(psutil.Error):
        for each in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            with suppress(psutil.Error):
                times = each.cpu_times()
                cpu, memory = cpu + times.user + times.system, memory + each.memory_info().rss / 1e6
    return cpu, memory


def measure(folder: Path, rows: int, workers: int, environment: dict[str, str], behind: dict[str, int]) -> None:
    """Deliver so many rows by so many processes at once and print a line."""
    view, database = View(connect(environment["ROWRELAY_REDIS_URL"])), environment["DATABASE"]
    before, tasks_before = megabytes_of(database)
    redis_before = view.client.info("memory")["used_memory"]
    data, log = Path(environment["ROWRELAY_DATA"]) / "spool", folder / "redis"
    spool_before, log_before = megabytes_in(data), megabytes_in(log)
    spent = {name: used(pid)[0] for name, pid in behind.items()}
    processes = []
    for worker in range(workers):
        part = folder / f"{workers}-{worker}.csv"
        with part.open("w") as out:
            out.write("userId,title,body\n")
            out.writelines(
                f"{i},a title of row {i},the body of row {i} says nothing new\n" for i in range(rows // workers)
            )
        given = json.dumps({"pipeline": "bench", "file": str(part)})
        command = [sys.executable, "-m", "tests.harness.flow_process", given]
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    cpu, peak = [0.0] * workers, [0.0] * workers
    while any(process.poll() is None for process in processes):
        for at, process in enumerate(processes):
            now = used(process.pid)
            cpu[at], peak[at] = max(cpu[at], now[0]), max(peak[at], now[1])
        time.sleep(0.25)
    ends = [json.loads(process.communicate()[0].splitlines()[-1]) for process in processes]
    time.sleep(5)  # Prefect records late
    runs = [view.run(end["run"]) for end in ends]
    done = sum(run.counts[RowState.DONE] for run in runs)
    seconds = max(run.facts.seconds for run in runs)
    whole = max(run.ended or 0.0 for run in runs) - min(run.created for run in runs)
    after, tasks = megabytes_of(database)
    redis_bytes = view.client.info("memory")["used_memory"] - redis_before
    others = ", ".join(f"{name} {1e6 * (used(pid)[0] - spent[name]) / rows:.0f}" for name, pid in behind.items())
    print(
        f"{workers} workers: {done} of {rows} done, {done / seconds:.0f} rows/s while sending,"
        f" {done / whole:.0f} rows/s from beginning to end ({whole:.0f} s)\n"
        f"  µs of CPU a row: workers {1e6 * sum(cpu) / rows:.0f}, {others}\n"
        f"  peak memory of a worker {max(peak):.0f} MB, of all {sum(peak):.0f} MB;"
        f" Prefect's database +{after - before:.1f} MB for {tasks - tasks_before} task runs,"
        f" Redis +{redis_bytes / rows:.0f} bytes a row, its log +{1e6 * (megabytes_in(log) - log_before) / rows:.0f},"
        f" spool +{1e6 * (megabytes_in(data) - spool_before) / rows:.0f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--workers", default="1,2,4")
    parser.add_argument("--in-flight", type=int, default=100)
    parser.add_argument("--serve-api", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_api:
        asyncio.run(serve_api())
        return
    if not (redis_binary := shutil.which("redis-server")):
        sys.exit("Redis is not here: apt-get install redis-server")
    if os.geteuid():
        sys.exit("PostgreSQL is started as the user postgres, which only root may do.")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        database, postgres_pid = stack.enter_context(postgres(folder / "postgres"))
        redis = RedisServer(folder / "redis", binary=redis_binary).start()
        stack.callback(redis.stop)
        api = stack.enter_context(child([sys.executable, "-m", "bench.scale", "--serve-api"], stdout=subprocess.PIPE))
        assert api.stdout is not None
        url, port = api.stdout.readline().strip(), free_port()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        server = inherited | BATCHED | {
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_DATABASE_CONNECTION_URL": database,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        }  # fmt: skip
        prefect = stack.enter_context(
            child(
                [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
                env=server,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        _wait_for(f"http://127.0.0.1:{port}/api/health")
        environment = inherited | {
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_LOGGING_LEVEL": "WARNING",
            "ROWRELAY_REDIS_URL": redis.url,
            "ROWRELAY_DATA": str(folder / "data"),
            "ROWRELAY_PIPELINES": str(definition(folder, url, limit=0, in_flight=options.in_flight)),
            "DATABASE": database,
        }
        assert redis.process is not None
        behind = {"API": api.pid, "Redis": redis.process.pid, "PostgreSQL": postgres_pid, "Prefect": prefect.pid}
        for workers in map(int, options.workers.split(",")):
            measure(folder, options.rows, workers, environment, behind)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(url, timeout=2):
            return
        time.sleep(0.3)
    sys.exit("Prefect's server did not start")


if __name__ == "__main__":
    main()
