"""What a row costs, and where: `python -m bench.cost [--rows 10000,100000] [--million]`.

`rowrelay send` on a running stack without a limit, 50 in flight, a stand-in that answers at once. Each size has a run
of its own; the marginal figures are the differences of two sizes. Prints rows a second, CPU time, peak memory, what
Redis grew by, and the CPU time by what it was spent on.

The split is the kernel's account of every thread (/proc/self/task), read four times a second by one more thread of the
sending process, which otherwise is `rowrelay send` as it is. A thread does one thing: the first one starts, checks and
maps the flow; those named `ledger` talk to Redis; the loop takes permits, sends and judges; those of Prefect's task
runner run the tasks (reading the spool and waiting, mostly) and its others write states, events and logs. What the
kernel counts for a thread that waits for Python's lock is small but not nothing.
"""

from __future__ import annotations

import argparse
import atexit
import cProfile
import json
import os
import pstats
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil

from bench._parts import Receiver, Watched, definition, listener, posts, receiver, watched
from deployments.embedded import stack
from flows.ledger.connection import connect
from flows.ledger.view import View
from flows.settings import Settings

IN_FLIGHT = 50
AIM_BYTES, AIM_MEGABYTES = 40, 50
LOOP = "asyncio-portal"  # the thread of the sending loop
PROFILE = "BENCH_PROFILE"  # where the sending process leaves it
TICKS = os.sysconf("SC_CLK_TCK")


# -- in the sending process --------------------------------------------------------------------------------------------


class Account:
    """CPU seconds of every thread there has been, by its name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seconds: dict[tuple[int, str], float] = {}
        threading.Thread(target=self._watch, name="account", daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.look()
            time.sleep(0.25)

    def look(self) -> None:
        """Read the kernel's account of all threads that Python knows."""
        for thread in threading.enumerate():
            if thread.native_id is not None:
                self._seconds[thread.native_id, thread.name] = cpu_seconds(thread.native_id)

    def write(self) -> None:
        """Leave what was read, and the process's own sum, for whoever started it."""
        self.look()
        spent: Counter[str] = Counter()
        for (_, name), seconds in self._seconds.items():
            spent[name] += seconds
        self._path.write_text(json.dumps({"threads": spent, "process": time.process_time()}))


def cpu_seconds(thread: int) -> float:
    """CPU seconds of one of this process's threads; 0 if it is gone."""
    try:
        fields = Path(f"/proc/self/task/{thread}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def profile_the_loop(path: Path) -> None:
    """Write cProfile's statistics of the sending loop's thread when the process ends."""
    profile = cProfile.Profile()

    def begin(*_: object) -> None:  # called for what happens in a new thread until it says otherwise
        sys.setprofile(None)
        if "run_blocking_portal" in threading.current_thread().name:
            profile.enable()

    threading.setprofile(begin)
    atexit.register(lambda: profile.dump_stats(path))


def child(path: Path, words: list[str]) -> int:
    """`rowrelay` with these words, and an account of its threads."""
    if PROFILE in os.environ:
        profile_the_loop(Path(os.environ[PROFILE]))
    account = Account(path)
    from deployments.commands.cli import main as rowrelay

    try:
        return rowrelay(words)
    finally:
        account.write()


# -- the measurement ---------------------------------------------------------------------------------------------------

GROUPS = {  # by the beginning of a thread's name
    "MainThread": "start, check, plan, flow",
    "ledger": "ledger",
    LOOP: "send (the loop)",
    "ThreadPoolExecutor": "Prefect's task runs, spool",
}
REST = "Prefect's other threads"


@dataclass(frozen=True)
class Cost:
    """One run."""

    rows: int
    ended: Watched
    rate: float  # rows a second, from the first request to the last
    check_seconds: float
    redis_bytes: int
    spent: dict[str, float]  # CPU seconds by what they were spent on, of the sender and of the others


def measure(
    rows: int, in_flight: int, folder: Path, api: Receiver, addresses: stack.StackAddresses, settings: Settings
) -> Cost:
    """Deliver so many rows."""
    pipeline = definition(folder, api.url, limit=0, in_flight=in_flight)
    environment = {**os.environ, **stack.environment(addresses, settings), "ROWRELAY_PIPELINES": str(pipeline)}
    client, account = connect(addresses.redis_url), folder / "account.json"
    behind = {
        "Redis": listener(addresses.redis_url),
        "Prefect's server": listener(addresses.prefect_api_url),
        "the receiver": psutil.Process(api.pid),
    }
    file = posts(folder / "rows.csv", rows)
    before = {name: sum(process.cpu_times()[:2]) for name, process in behind.items()}
    held = int(client.info("memory")["used_memory"])
    words = ["send", str(file), "--pipeline", "bench", "--json"]
    ended = watched(
        [sys.executable, "-m", "bench.cost", "--child", str(account), *words], environment=environment, seconds=3600
    )
    grown = int(client.info("memory")["used_memory"]) - held
    if ended.code:
        sys.exit(f"{rows} rows ended with {ended.code}: {ended.output[-500:]}")
    run = View(client).runs()[0]
    spent = dict.fromkeys([*GROUPS.values(), REST], 0.0)
    for name, seconds in json.loads(account.read_text())["threads"].items():
        spent[next((group for start, group in GROUPS.items() if name.startswith(start)), REST)] += seconds
    spent |= {name: sum(process.cpu_times()[:2]) - before[name] for name, process in behind.items()}
    return Cost(rows, ended, run.facts.rate, run.facts.check_seconds, grown, spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", default="10000,100000")
    parser.add_argument("--million", action="store_true", help="a million rows as well: some twenty minutes")
    parser.add_argument(
        "--profile", type=Path, help="file for cProfile's statistics of the sending loop; slows it down"
    )
    parser.add_argument("--in-flight", type=int, default=IN_FLIGHT)
    options = parser.parse_args()
    if options.profile:
        os.environ[PROFILE] = str(options.profile.absolute())
    sizes = [*map(int, options.rows.split(",")), *([1_000_000] if options.million else [])]
    found: list[Cost] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = Settings(data=folder / "data", redis_url=None)
        with stack.use(settings) as addresses, receiver("--unlimited", "--no-details") as api:
            measure(
                20, options.in_flight, folder, api, addresses, settings
            )  # Redis learns the scripts, Prefect its flow
            print(
                f"{'rows':>11}{'rows/s':>9}{'command s':>11}{'check s':>9}{'µs CPU a row':>14}{'peak MB':>9}"
                f"{'Redis B a row':>15}"
            )
            for rows in sizes:
                found.append(cost := measure(rows, options.in_flight, folder, api, addresses, settings))
                print(
                    f"{rows:>11,}{cost.rate:>9,.0f}{cost.ended.seconds:>11.1f}{cost.check_seconds:>9.2f}"
                    f"{1e6 * cost.ended.cpu_seconds / rows:>14,.0f}{cost.ended.peak_megabytes:>9.0f}"
                    f"{cost.redis_bytes / rows:>15.1f}",
                    flush=True,
                )
    for less, more in pairwise(found):
        tell(less, more)
    if options.profile:
        for order in ("tottime", "cumtime"):
            pstats.Stats(str(options.profile)).sort_stats(order).print_stats(45)


def tell(less: Cost, more: Cost) -> None:
    """The difference of two sizes."""
    rows = more.rows - less.rows
    cpu = 1e6 * (more.ended.cpu_seconds - less.ended.cpu_seconds) / rows
    held = (more.redis_bytes - less.redis_bytes) / rows
    higher = more.ended.peak_megabytes - less.ended.peak_megabytes
    print(
        f"from {less.rows:,} to {more.rows:,} rows: {rows / (more.ended.seconds - less.ended.seconds):,.0f} rows/s, "
        f"{cpu:.0f} µs of the sender's CPU a row, {held:.1f} B of Redis a row "
        f"(<= {AIM_BYTES}: {'kept' if held <= AIM_BYTES else 'MISSED'}), "
        f"peak {higher:+.0f} MB (<= {AIM_MEGABYTES}: {'kept' if higher <= AIM_MEGABYTES else 'MISSED'})"
    )
    check = 1e6 * (more.check_seconds - less.check_seconds) / rows
    for name in more.spent:
        part = f"  (of it the check, by its wall time: {check:.1f})" if name == GROUPS["MainThread"] else ""
        print(f"  {name:28}{1e6 * (more.spent[name] - less.spent[name]) / rows:>8.1f} µs a row{part}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        sys.exit(child(Path(sys.argv[2]), sys.argv[3:]))
    main()
