"""The product beside others that send a file's rows to an API: `python -m bench.peers [speed] [rate]`.

The same file and the same receiver (`rowrelay standin`, a process of its own) for: `rowrelay send` on a running
stack; newman with a data file; a script of asyncio, httpx and a semaphore as people write it (bench/others/plain.py);
locust (bench/others/locustfile.py); and the floor, the least that aiohttp needs (bench/others/floor.py). newman and
locust are installed into a temporary folder (`--tools FOLDER` keeps them); where that fails, their lines say so.

speed: no limit. Each sends the first rows of the file, then more of them; the marginal figures are the difference of
the two, so that no start counts. CPU is the sender's, by the kernel; the peak that of the longer run. Beside the
product Redis and Prefect's server work as well: their CPU has a line of its own.

rate: each is told to hold 7 a second, against answers after 50 to 150 ms that are counted up to 50 ms late. The worst
window and the pace are the receiver's; what is over is refused (429), and nobody but the product sends it again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

from bench._parts import ROWRELAY, Receiver, Watched, definition, listener, posts, receiver, watched
from deployments.embedded import stack
from flows.settings import Settings

HERE = Path(__file__).with_name("others")
NEWMAN, LOCUST = "newman@6.2.2", "locust==2.47.0"
IN_FLIGHT, RATE = 50, 7
RATE_ROWS = 105
AIM_ROWS, AIM_MICROSECONDS, AIM_FACTOR = 2000, 450, 15
BODY = '{"userId": {{userId}}, "title": "{{title}}", "body": "{{body}}"}'

Command = tuple[list[str], dict[str, str]]  # words, and variables beside ours


@dataclass(frozen=True)
class Peer:
    """Somebody who sends a file: how it is started, and how many rows it gets."""

    name: str
    command: Callable[[Path, str], Command]  # of a file and the API's address
    rows: tuple[int, int] = (0, 0)
    tool: str = ""  # what of `Tools` it needs
    processes: int = 1


@dataclass
class Tools:
    """What is installed for the comparison alone."""

    folder: Path
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def newman(self) -> Path:
        return self.folder / "node_modules/newman/bin/newman.js"

    @property
    def locust(self) -> Path:
        return self.folder / "locust/bin/locust"

    def install(self) -> None:
        """Into the folder, unless they are there. Who cannot be installed has a reason in `missing`."""
        npm = ["npm", "install", "--loglevel=error", "--no-audit", "--no-fund", "--prefix", str(self.folder), NEWMAN]
        venv = [sys.executable, "-m", "venv", str(self.folder / "locust")]
        pip = [str(self.locust.with_name("python")), "-m", "pip", "install", "--quiet", LOCUST]
        wanted = {"newman": (self.newman, [npm]), "locust": (self.locust, [venv, pip])}
        for name, (program, commands) in wanted.items():
            try:
                for command in commands if not program.exists() else []:
                    subprocess.run(command, check=True, capture_output=True, text=True, timeout=180)
            except FileNotFoundError:
                self.missing[name] = f"not installed: there is no {command[0]} here"
            except subprocess.TimeoutExpired:
                self.missing[name] = f"not installed: {name}'s registry gave no answer within 180 s"
            except subprocess.CalledProcessError as exc:
                words = (exc.stderr or exc.stdout or "nothing was said").strip().splitlines()[0]
                self.missing[name] = f"not installed: {words[:90]}"


def python_script(name: str, *options: str) -> Callable[[Path, str], Command]:
    return lambda file, url: ([sys.executable, str(HERE / name), str(file), url, *options], {})


def newman(tools: Tools, *options: str) -> Callable[[Path, str], Command]:
    """One iteration a row; it sends one request after the other and has no way to send more at once."""

    def command(file: Path, url: str) -> Command:
        request = {"method": "POST", "url": url, "header": [{"key": "Content-Type", "value": "application/json"}]}
        item = {"name": "post", "request": {**request, "body": {"mode": "raw", "raw": BODY}}}
        schema = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
        collection = file.with_suffix(".collection.json")
        collection.write_text(json.dumps({"info": {"name": "posts", "schema": schema}, "item": [item]}))
        return ["node", str(tools.newman), "run", str(collection), "-d", str(file), "--silent", *options], {}

    return command


def locust(tools: Tools, *, users: int, pace: float = 0.0) -> Callable[[Path, str], Command]:
    def command(file: Path, url: str) -> Command:
        words = [str(tools.locust), "-f", str(HERE / "locustfile.py"), "--headless", "--only-summary"]
        variables = {"FILE": str(file), "ADDRESS": url, "PACE": str(pace)}
        return [*words, "--users", str(users), "--spawn-rate", str(users)], variables

    return command


def rowrelay(environment: dict[str, str], *, limit: int, in_flight: int, name: str) -> Callable[[Path, str], Command]:
    def command(file: Path, url: str) -> Command:
        pipeline = definition(file.parent, url, limit=limit, in_flight=in_flight, name=name)
        words = [ROWRELAY, "send", str(file), "--pipeline", name, "--json"]
        return words, {**environment, "ROWRELAY_PIPELINES": str(pipeline)}

    return command


def run(peer: Peer, file: Path, api: Receiver) -> Watched:
    """The peer sends the file, by as many processes at once as it has."""
    commands = []
    for number in range(peer.processes):
        own = (
            file
            if peer.processes == 1
            else posts(file.with_stem(f"part{number}"), RATE_ROWS // peer.processes, first=1000 * number + 1)
        )
        commands.append(peer.command(own, api.url))
    with ThreadPoolExecutor(peer.processes) as pool:
        running = [
            pool.submit(watched, words, environment={**os.environ, **variables}) for words, variables in commands
        ]
        return max((each.result() for each in running), key=lambda ended: ended.code)


# -- speed -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Speed:
    """What a peer's two runs cost. Seconds count from the start of the command to its end."""

    rows: tuple[int, int]
    first: Watched
    second: Watched
    beside: dict[str, float]  # microseconds a row of the other processes, marginal

    @property
    def more(self) -> int:
        return self.rows[1] - self.rows[0]

    @property
    def rate(self) -> float:
        """Rows a second, marginal."""
        return self.more / (self.second.seconds - self.first.seconds)

    @property
    def cost(self) -> float:
        """Microseconds of CPU a row, marginal."""
        return 1e6 * (self.second.cpu_seconds - self.first.cpu_seconds) / self.more


def speed(tools: Tools, folder: Path, *, scale: float, only: list[str]) -> None:
    """The first table."""
    settings = Settings(data=folder / "data", redis_url=None)
    with stack.use(settings) as addresses, receiver("--unlimited", "--no-details") as api:
        environment = stack.environment(addresses, settings)
        unlimited = rowrelay(environment, limit=0, in_flight=IN_FLIGHT, name="bench")
        peers = [
            Peer("floor: aiohttp", python_script("floor.py"), (10_000, 40_000)),
            Peer("rowrelay send", unlimited, (10_000, 40_000)),
            Peer("locust", locust(tools, users=IN_FLIGHT), (10_000, 40_000), tool="locust"),
            Peer("plain httpx, 50 at once", python_script("plain.py"), (500, 2_000)),
            Peer("plain httpx, 10 at once", python_script("plain.py", "--at-once", "10"), (2_500, 10_000)),
            Peer("newman, 1 at once", newman(tools), (250, 1_500), tool="newman"),
        ]
        behind = {
            "Redis": listener(addresses.redis_url),
            "Prefect's server": listener(addresses.prefect_api_url),
            "the receiver": psutil.Process(api.pid),
        }
        run(Peer("warm", unlimited), posts(folder / "warm.csv", 20), api)  # a new limit waits some seconds
        print(f"{IN_FLIGHT} requests at once where not said otherwise, answers at once; marginal, but for the peak")
        print(f"{'':26}{'rows':>8}{'rows/s':>9}{'µs CPU a row':>14}{'to the floor':>14}{'peak MB':>9}{'command s':>11}")
        found: dict[str, Speed] = {}
        for peer in peers:
            if only and not any(word in peer.name for word in only):
                continue
            if peer.tool in tools.missing:
                print(f"{peer.name:26}{tools.missing[peer.tool]}")
                continue
            rows = (round(peer.rows[0] * scale), round(peer.rows[1] * scale))
            found[peer.name] = figure = _speed(peer, rows, folder, api, behind)
            floor = found.get("floor: aiohttp", figure)
            print(
                f"{peer.name:26}{rows[1]:>8,}{figure.rate:>9,.0f}{figure.cost:>14,.0f}"
                f"{figure.cost / floor.cost:>13.1f}x{figure.second.peak_megabytes:>9.0f}{figure.second.seconds:>11.1f}",
                flush=True,
            )
        for name, figure in found.items():
            if "rowrelay" in name or "floor" in name:
                costs = ", ".join(f"{other} {cost:.0f} µs" for other, cost in figure.beside.items())
                print(f"beside {name}, a row: {costs}")
    _judge(found)


def _speed(peer: Peer, rows: tuple[int, int], folder: Path, api: Receiver, behind: dict[str, psutil.Process]) -> Speed:
    runs, costs = [], []
    for count in rows:
        api.reset()
        before = {name: sum(process.cpu_times()[:2]) for name, process in behind.items()}
        ended = run(peer, posts(folder / "rows.csv", count), api)
        costs.append({name: sum(process.cpu_times()[:2]) - before[name] for name, process in behind.items()})
        arrived = api.report()["arrivals"]
        if ended.code or arrived != count:
            sys.exit(f"{peer.name}: exit code {ended.code}, {arrived} of {count} arrived: {ended.output[-500:]}")
        runs.append(ended)
    more = {name: 1e6 * (costs[1][name] - costs[0][name]) / (rows[1] - rows[0]) for name in behind}
    return Speed(rows, *runs, more)


def _judge(found: dict[str, Speed]) -> None:
    product, other = found.get("rowrelay send"), found.get("newman, 1 at once")
    if product is None:
        return
    told = [
        (f"{product.rate:,.0f} rows/s", f">= {AIM_ROWS:,}", product.rate >= AIM_ROWS),
        (f"{product.cost:.0f} µs a row", f"<= {AIM_MICROSECONDS}", product.cost <= AIM_MICROSECONDS),
    ]
    if other:
        factor = product.rate / other.rate
        told.append((f"{factor:.1f} x newman", f">= {AIM_FACTOR}", factor >= AIM_FACTOR))
    print("aims: " + "; ".join(f"{seen} ({aim}: {'kept' if kept else 'MISSED'})" for seen, aim, kept in told))


# -- rate --------------------------------------------------------------------------------------------------------------


def rate(tools: Tools, folder: Path, *, only: list[str]) -> None:
    """The second table."""
    settings = Settings(data=folder / "data", redis_url=None)
    with stack.use(settings) as addresses:
        environment = stack.environment(addresses, settings)
        product = rowrelay(environment, limit=RATE, in_flight=RATE, name="rate")
        ways = {"spaced": "one every 1/7 s", "batches": "7, then sleep", "bucket": "aiolimiter's bucket"}
        held = python_script("plain.py", "--way", "held")
        peers = [
            Peer("rowrelay send", product),
            Peer("rowrelay send, 3 processes", product, processes=3),
            *(Peer(f"plain: {what}", python_script("plain.py", "--way", way)) for way, what in ways.items()),
            Peer("plain: held 1 s longer", held),
            Peer("the same, 3 processes", held, processes=3),
            Peer(
                "locust, 7 users, 1 s each",
                locust(tools, users=RATE, pace=1.0),
                tool="locust",
            ),
            Peer("newman, delay 143 ms", newman(tools, "--delay-request", "143"), tool="newman"),
        ]
        print(f"{RATE} a second, {RATE_ROWS} rows, answers after 50 to 150 ms, counted up to 50 ms late")
        print(f"{'':28}{'arrivals':>9}{'worst second':>14}{'over':>6}{'refused':>9}{'pace':>9}")
        for peer in peers:
            if only and not any(word in peer.name for word in only):
                continue
            if peer.tool in tools.missing:
                print(f"{peer.name:28}{tools.missing[peer.tool]}")
                continue
            delays = ("--delay-min-seconds", "0.05", "--delay-max-seconds", "0.15", "--jitter-seconds", "0.05")
            with receiver("--requests", str(RATE), "--ban-after", "null", "--no-details", *delays) as api:
                run(peer, posts(folder / "rate.csv", RATE_ROWS), api)
                seen = api.report()
            pace = (seen["arrivals"] - 1) / seen["seconds"]
            print(
                f"{peer.name:28}{seen['arrivals']:>9}{seen['worst']:>14}{seen['over']:>6}{seen['refused']:>9}"
                f"{pace:>7.2f}/s",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("tables", nargs="*", choices=["speed", "rate", []], help="default: both")
    parser.add_argument("--tools", type=Path, help="folder to keep newman and locust in")
    parser.add_argument("--scale", type=float, default=1.0, help="so many times the rows of `speed`")
    parser.add_argument("--only", action="append", default=[], help="peers whose names have this word")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tools = Tools(options.tools or folder / "tools")
        tools.install()
        tables = {
            "speed": partial(speed, tools, folder, scale=options.scale, only=options.only),
            "rate": partial(rate, tools, folder, only=options.only),
        }
        for name, table in tables.items():
            if name in (options.tables or tables):
                table()


if __name__ == "__main__":
    main()
