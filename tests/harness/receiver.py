"""A receiver in a process of its own: it stamps what arrives with its own clock and trusts no sender.

One request is one line, `tag id`; the answer is one line. Lines that begin with `!` are orders from the test.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import subprocess
import sys
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from typing import Any


def worst(arrivals: Sequence[float], seconds: float) -> int:
    """The most arrivals in any window of `seconds`, its end included and its beginning not."""
    ordered = sorted(arrivals)
    return max((i + 1 - bisect_right(ordered, at - seconds) for i, at in enumerate(ordered)), default=0)


def over(arrivals: Sequence[float], requests: int, seconds: float) -> int:
    """How many arrivals found more than `requests` in their window."""
    ordered = sorted(arrivals)
    return sum(i + 1 - bisect_right(ordered, at - seconds) > requests for i, at in enumerate(ordered))


def pace(arrivals: Sequence[float]) -> float:
    """Arrivals a second in the long run: without the first and last second, where a run starts and ends."""
    ordered = sorted(arrivals)
    inner = [at for at in ordered if ordered[0] + 1 < at < ordered[-1] - 1]
    return (len(inner) - 1) / (inner[-1] - inner[0]) if len(inner) > 1 else 0.0


class Receiver:
    """The process, as the test sees it. Use as a context manager."""

    def __init__(self, **conduct: Any) -> None:
        self._process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())
        self._control = socket.create_connection(("127.0.0.1", self.port))
        self._answers = self._control.makefile()
        self.set(**conduct)

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._control.close()
        self._answers.close()
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()

    def set(self, **conduct: Any) -> None:
        """Change what it does: `delay` (from, to) seconds to the answer, `queue` (from, to) seconds before a request is
        counted, shares of `errors`, `resets`, `hangs`."""
        self._order("!set " + json.dumps(conduct))

    def arrivals(self) -> list[tuple[float, str, str]]:
        """(moment by its clock, tag, id) of everything that came, in order."""
        return [tuple(each) for each in self._order("!arrivals")]  # type: ignore[misc]

    def times(self) -> list[float]:
        """The moments alone."""
        return [at for at, _, _ in self.arrivals()]

    def tags(self) -> Counter[str]:
        """How many each sender got through."""
        return Counter(tag for _, tag, _ in self.arrivals())

    def most_at_once(self) -> int:
        """The most requests that were counted and not yet answered at any time."""
        return int(self._order("!flights"))

    def strays(self, sent: set[str]) -> list[str]:
        """What arrived though no sender says that it sent it, or twice. Must be empty, or the run is void."""
        ids = [id for _, _, id in self.arrivals()]
        return [id for id, count in Counter(ids).items() if id not in sent or count > 1]

    def _order(self, line: str) -> Any:
        self._control.sendall(line.encode() + b"\n")
        return json.loads(self._answers.readline())


class _Desk:
    """Everything that arrived, and the conduct."""

    def __init__(self) -> None:
        self.arrivals: list[tuple[float, str, str]] = []
        self.conduct: dict[str, Any] = {"delay": (0.05, 0.15), "queue": (0, 0), "errors": 0, "resets": 0, "hangs": 0}
        self.flights = self.most = 0

    def order(self, line: str) -> str:
        what, _, rest = line.partition(" ")
        if what == "!set":
            self.conduct |= json.loads(rest)
        return json.dumps(self.arrivals if what == "!arrivals" else self.most if what == "!flights" else None)


class _Guest(asyncio.Protocol):
    """One connection."""

    def __init__(self, desk: _Desk) -> None:
        self.desk, self.rest = desk, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        loop, conduct = asyncio.get_running_loop(), self.desk.conduct
        for line in lines:
            if line.startswith(b"!"):
                self.transport.write(self.desk.order(line.decode()).encode() + b"\n")
            elif queue := random.uniform(*conduct["queue"]):
                loop.call_later(queue, self.count, line.decode())
            else:
                self.count(line.decode())

    def count(self, line: str) -> None:
        tag, id = line.split()
        desk, conduct = self.desk, self.desk.conduct
        desk.arrivals.append((time.monotonic(), tag, id))
        desk.flights += 1
        desk.most = max(desk.most, desk.flights)
        luck = random.random() - conduct["hangs"]
        if luck < 0:
            desk.flights -= 1
            return
        asyncio.get_running_loop().call_later(random.uniform(*conduct["delay"]), self.answer, luck - conduct["resets"])

    def answer(self, luck: float) -> None:
        self.desk.flights -= 1
        if luck < 0:
            self.transport.abort()
        elif not self.transport.is_closing():
            self.transport.write(b"500\n" if luck < self.desk.conduct["errors"] else b"200\n")


async def _serve() -> None:
    desk = _Desk()
    server = await asyncio.get_running_loop().create_server(lambda: _Guest(desk), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
