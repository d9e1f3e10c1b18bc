"""A process that sends as fast as its limit lets it, for tests that need several, or one to kill."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flows.errors import Stopped
from flows.limit.limiter import Limit, Limiter, StalePermit
from flows.limit.places import Place, Places, value_name
from flows.limit.script import SCRIPT
from flows.records import LimitTerms

CLOCK_LINE = "redis.call('TIME')"
# The real clock of the server, moved by as many seconds as the key says.
STEPPED = SCRIPT.replace(
    CLOCK_LINE,
    "(function() local t = redis.call('TIME') return {t[1] + (redis.call('GET', 'test:step') or 0), t[2]} end)()",
)


class Sender:
    """The process, as the test sees it. It sends for `seconds` and ends by itself, or stops on `stop()`."""

    def __init__(
        self,
        folder: Path,
        tag: str,
        *,
        redis_url: str,
        port: int,
        terms: LimitTerms,
        seconds: float,
        workers: int = 8,
        timeout: float | None = None,
        stall: tuple[float, float] = (0.0, 0.0),
        stepped: bool = False,
        give_up_seconds: float = 60.0,
        more: Sequence[LimitTerms] = (),
        values: int = 0,
        costs: int = 0,
    ) -> None:
        """`more`: limits beside `terms`; a request is of one of `values` values, and costs 1 to `costs` units."""
        self.log = folder / f"{tag}.sent"
        self.log.touch()
        config = {
            "tag": tag, "redis_url": redis_url, "port": port, "terms": asdict(terms), "seconds": seconds,
            "workers": workers, "timeout": timeout or terms.max_timeout_seconds, "stall": stall, "stepped": stepped,
            "log": str(self.log), "give_up_seconds": give_up_seconds, "more": [asdict(each) for each in more],
            "values": values, "costs": costs,
        }  # fmt: skip
        self._out = (folder / f"{tag}.out").open("w+")
        self._errors = (folder / f"{tag}.err").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(config)], stdout=self._out, stderr=self._errors, text=True
        )

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def result(self, timeout: float = 120.0) -> dict[str, Any]:
        """What it says about itself at its end. Never used as proof."""
        self.process.wait(timeout)
        self._out.seek(0)
        self._errors.seek(0)
        text = self._out.read().strip()
        if not text:
            raise AssertionError(f"the sender died: {self._errors.read()[-2000:]}")
        found: dict[str, Any] = json.loads(text.splitlines()[-1])
        return found

    @property
    def sent(self) -> set[str]:
        """The ids that it wrote or was about to write."""
        return set(self.log.read_text().split())


class _Line:
    """One connection, made again when it broke. It resets instead of closing: the kernel sends nothing later."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def open(self) -> asyncio.StreamWriter:
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
            sock = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return self.writer

    def drop(self) -> None:
        if self.writer is not None:
            self.writer.transport.abort()
            self.reader = self.writer = None


class _Work:
    """The workers' shared notes."""

    def __init__(self, config: dict[str, Any], limit: Limit) -> None:
        self.config, self.limit = config, limit
        self.end = time.monotonic() + config["seconds"]
        self.next, self.stale, self.lost, self.outcomes = 0, 0, 0, dict[str, int]()
        self.trips: list[float] = []
        self.log = Path(config["log"]).open("a", buffering=1)  # noqa: SIM115 - lives as long as the process
        self.stopped = ""

    async def send(self) -> None:
        line = _Line(self.config["port"])
        while time.monotonic() < self.end and not self.stopped:
            try:
                async with asyncio.timeout(max(0.01, self.end - time.monotonic())):
                    value, cost = (
                        random.randrange(self.config["values"] or 1),
                        random.randint(1, self.config["costs"] or 1),
                    )
                    (permit,) = await self.limit.acquire(1, self.places(value, cost))
            except TimeoutError:
                return
            except Stopped as exc:
                self.stopped = f"{type(exc).__name__}: {exc.message}"
                return
            await self.one(line, permit, f":{value}:{cost}")

    def places(self, value: int, cost: int) -> Places:
        """Those of a request of this value and cost."""
        return tuple(
            Place(at, value_name(str(value)) if each.is_family else "", cost if each.units else 1)
            for at, each in enumerate(self.limit.each)
        )

    async def one(self, line: _Line, permit: Any, what: str) -> None:
        began = permit.start
        id = f"{self.config['tag']}-{self.next}{what}"
        self.next += 1
        wrote = False
        try:
            await permit.wait()
            left = min(permit.deadline, began + self.config["timeout"]) - self.limit.clock()
            async with asyncio.timeout(left):
                writer = await line.open()
                permit.check()
                self.log.write(id + "\n")
                permit.check()
                wrote = True
                writer.write(f"{self.config['tag']} {id}\n".encode())
                assert line.reader
                answer = await line.reader.readline()
            if not answer:
                raise ConnectionResetError
            permit.answered()
            permit.finished()
            self.trips.append(self.limit.clock() - began)
            self.outcomes[answer.decode().strip()] = self.outcomes.get(answer.decode().strip(), 0) + 1
        except StalePermit:
            self.stale += 1
        except OSError:
            line.drop()
            if wrote:
                permit.lost()
                self.lost += 1
            else:
                permit.unused()


async def _run(config: dict[str, Any]) -> None:
    every = [config["terms"], *config["more"]]
    for terms in every:
        terms["windows"] = tuple((int(n), float(s)) for n, s in terms["windows"])
        terms["calendar"] = tuple((int(n), period) for n, period in terms["calendar"])
    script = STEPPED if config["stepped"] else SCRIPT
    give_up = config["give_up_seconds"]
    async with Limiter(config["redis_url"], asker_id=config["tag"], script=script, give_up_seconds=give_up) as limiter:
        limit = limiter.limit(*(LimitTerms(**terms) for terms in every))
        work = _Work(config, limit)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: setattr(work, "end", 0.0))
        stalls = asyncio.create_task(_stall(*config["stall"]))
        cpu = time.process_time()
        await asyncio.gather(*(work.send() for _ in range(config["workers"])))
        stalls.cancel()
        spent = time.process_time() - cpu
    counters = asdict(limit.counters)
    trips = sorted(work.trips) or [0.0]
    print(
        json.dumps(
            counters
            | {"stale": work.stale, "lost": work.lost, "outcomes": work.outcomes, "stopped": work.stopped, "cpu": spent}
            | {"trip": sum(trips) / len(trips), "shortest_trip": trips[0], "other_numbers": bool(limit.other_numbers)}
        )
    )


async def _stall(every: float, blocked: float) -> None:
    """Block the event loop, as checking a chunk of rows would."""
    while every:
        await asyncio.sleep(random.uniform(0.5, 1.5) * every)
        time.sleep(blocked)  # noqa: ASYNC251 - the point


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(json.loads(sys.argv[1])))
