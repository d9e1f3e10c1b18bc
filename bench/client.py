"""CPU time of one attempt against a fast local receiver, by the way httpx is used: `python bench/client.py`.

A closed loop of tasks sends as fast as it can; the receiver is a process of its own that parses no more than it must.
Figures: requests a second, and microseconds of this process's CPU time a request (user and system).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import httpx

from flows.client.client import Client
from flows.client.request import idempotency_key
from flows.client.transport import Flight, Transport
from flows.limit.clock import boot_time
from flows.pipeline.definition import Definition
from flows.records import Parcel, Row, RowState

RECEIVER = """
import asyncio
BODY = b'{"userId": 1, "title": "a title", "id": 101}'
HEAD = b"HTTP/1.1 201 Created\\r\\nContent-Type: application/json; charset=utf-8\\r\\nContent-Length: %d\\r\\n\\r\\n"
ANSWER = HEAD % len(BODY) + BODY
class Receiver(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.data = transport, b""
    def data_received(self, data):
        self.data += data
        while (end := self.data.find(b"\\r\\n\\r\\n")) >= 0:
            head = self.data[:end].lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\\r\\n")[0] or 0)
            if len(self.data) < end + 4 + length:
                return
            self.data = self.data[end + 4 + length:]
            self.transport.write(ANSWER)
async def main():
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


class Permit:
    """A permit that is always good."""

    def __init__(self) -> None:
        self.start = boot_time()
        self.deadline = self.start + 10.0

    async def wait(self) -> None:
        """It has begun."""

    def check(self) -> None:
        """It is good."""

    unused = answered = lost = finished = check


def rows(count: int) -> list[Row]:
    """Rows of about 170 bytes as JSON."""
    return [
        Row(n, n + 1, {"userId": n, "title": f"the title of row {n}", "body": "body " * 24})
        for n in range(1, count + 1)
    ]


def definition(url: str) -> Definition:
    """The example pipeline, without a limit that would matter."""
    return Definition.model_validate(
        {
            "name": "bench",
            "columns": {"userId": {"type": "int"}, "title": {"type": "str"}, "body": {"type": "str"}},
            "request": {"url": url, "json": {"userId": "{userId}", "title": "{title}", "body": "{body}"}},
            "response": {"keep": {"postId": "id"}},
            "limit": {"name": "bench", "in_flight": 50},
        }
    )


Send = Callable[[Row], Awaitable[None]]


async def by_async_client(
    pipeline: Definition, connections: int, *, prepared: bool
) -> tuple[Send, Callable[[], Awaitable[None]]]:
    """httpx.AsyncClient on the same transport: `.post()`, or `.send()` of a prepared request."""
    inner = Client(pipeline, secrets={}, connections=connections)
    client = httpx.AsyncClient(transport=Transport(connections, timeout_seconds=5.0), trust_env=False)

    async def send(row: Row) -> None:
        request = inner.build(row, key=idempotency_key("bench", row, 0))
        request.extensions["flight"] = Flight(Permit())
        if prepared:
            answer = await client.send(request)
        else:
            answer = await client.post(
                request.url,
                content=request.content,
                headers=dict(request.headers),
                extensions={"flight": Flight(Permit())},
            )
        assert answer.status_code == 201

    return send, client.aclose


async def by_transport(pipeline: Definition, connections: int) -> tuple[Send, Callable[[], Awaitable[None]]]:
    """The transport called directly, the body read, nothing judged."""
    inner = Client(pipeline, secrets={}, connections=connections)
    transport = Transport(connections, timeout_seconds=5.0)

    async def send(row: Row) -> None:
        request = inner.build(row, key=idempotency_key("bench", row, 0))
        request.extensions["flight"] = Flight(Permit())
        answer = await transport.handle_async_request(request)
        await answer.aread()
        assert answer.status_code == 201

    return send, transport.aclose


async def by_client(pipeline: Definition, connections: int) -> tuple[Send, Callable[[], Awaitable[None]]]:
    """The product: build, send under a permit, time-outs, outcome."""
    client = await Client(pipeline, secrets={}, connections=connections).__aenter__()

    async def send(row: Row) -> None:
        exchange = client.exchange(Parcel((row,)), key=idempotency_key("bench", row, 0))
        reply = await client.send(next(exchange), Permit())
        try:
            exchange.send(reply)
        except StopIteration as end:
            (outcome,) = end.value
            assert outcome.state is RowState.DONE, outcome

    return send, lambda: client.__aexit__(None, None, None)


async def measure(send: Send, close: Callable[[], Awaitable[None]], *, tasks: int, count: int) -> tuple[float, float]:
    """Requests a second and CPU microseconds a request; the first tenth warms up and does not count."""
    for stage in (count // 10, count):
        todo = iter(rows(stage))

        async def work(todo: object = todo) -> None:
            for row in todo:  # type: ignore[attr-defined]
                await send(row)

        before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        await asyncio.gather(*(work() for _ in range(tasks)))
        after, seconds = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter() - began
    await close()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return count / seconds, cpu / count * 1e6


async def main() -> None:
    """Measure every way, in turn, several times; print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=50)
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    receiver = await asyncio.create_subprocess_exec(sys.executable, "-c", RECEIVER, stdout=subprocess.PIPE)
    try:
        assert receiver.stdout is not None
        pipeline = definition(f"http://127.0.0.1:{int(await receiver.stdout.readline())}/posts")
        ways = {
            "AsyncClient.post()": lambda: by_async_client(pipeline, options.tasks, prepared=False),
            "AsyncClient.send(request)": lambda: by_async_client(pipeline, options.tasks, prepared=True),
            "transport(request)": lambda: by_transport(pipeline, options.tasks),
            "flows.client.client.Client.send": lambda: by_client(pipeline, options.tasks),
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                found[name].append(await measure(*await way(), tasks=options.tasks, count=options.count))
        load = os.getloadavg()[0]
        print(f"{options.tasks} tasks, {options.count} requests, median of {options.rounds}, load {load:.1f}")
        for name, figures in found.items():
            rates, costs = zip(*figures, strict=True)
            middle = len(figures) // 2
            print(f"{name:28} {sorted(rates)[middle]:7.0f} /s {sorted(costs)[middle]:6.0f} us CPU")
    finally:
        receiver.kill()
        await receiver.wait()


if __name__ == "__main__":
    asyncio.run(main())
