"""A whole stack with a dashboard on it, for tests: Redis and Prefect that can be away, a runner, an API that counts."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from deployments.embedded.redis_server import RedisServer
from deployments.embedded.stack import environment, use
from deployments.standin import Knobs, StandIn, serving
from flows.pipeline.pipelines import present
from flows.pipeline.reading import redirected
from flows.settings import Settings
from tests.harness.browser import ROOT, Dashboard, dashboard
from tests.harness.seeding import Seeded, seed
from tests.harness.wait import wait_until

# For what waits for a runner to take something up, on a machine that has much else to do.
SECONDS = float(os.environ.get("ROWRELAY_TEST_SECONDS", "90"))

REPLIES = """
name: replies
description: Replies, for a second pipeline beside posts
columns:
  note: {type: str, blank: false, max_length: 40}
request: {url: "${POSTS_URL}", json: {title: "{note}"}, timeout_seconds: 2}
limit: {name: replies, requests: 7, window_seconds: 1}
"""


class Gate:
    """A way to a server that can be shut: connections are then refused, as if the server had been stopped."""

    def __init__(self, port: int) -> None:
        self.port, self._to = 0, port  # of its own: whichever is free at the first opening, and the same ever after
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.open()

    def open(self) -> None:
        """Let connections through."""
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(10)

    def shut(self) -> None:
        """Cut all connections and refuse new ones."""
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(10)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._guest, "127.0.0.1", self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def _shut(self) -> None:
        if self._server:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _guest(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        await asyncio.gather(_pass(reader, far_writer), _pass(far_reader, writer), return_exceptions=True)
        self._writers -= {writer, far_writer}


async def _pass(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
        target.close()
    except OSError:
        target.transport.abort()


@dataclass
class Site:
    """Everything that runs."""

    board: Dashboard
    api: StandIn
    redis: RedisServer
    prefect: Gate
    runner: subprocess.Popen[bytes]
    settings: Settings
    variables: dict[str, str]

    def upload(self, name: str, content: str | bytes) -> str:
        """Put a file there; what a run is started with."""
        answer = self.board.api("PUT", f"/files/{name}", content=content)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["file"])

    def seed(self, file: Path) -> Seeded:
        """A run of the file, put into the ledger, whose rows would go to the stand-in."""
        definition = redirected(present(self.settings)["posts"], self.variables["POSTS_URL"])
        return seed(self.settings, self.redis.url, file, definition=definition)

    def run(self, run: str) -> dict[str, Any]:
        """A run as the API has it."""
        answer = self.board.api("GET", f"/runs/{run}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def start(self, file: str, **more: Any) -> str:
        """Start a run; its id."""
        answer = self.board.api("POST", "/runs", json={"pipeline": "posts", "file": file, **more})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def shown(self, run: str, *words: str) -> dict[str, Any]:
        """Wait until a run is shown as one of these."""
        wait_until(lambda: self.run(run)["shown_as"] in words, seconds=SECONDS, what=f"the run to be {words}")
        return self.run(run)

    @contextmanager
    def nobody_works(self) -> Iterator[None]:
        """Let the runner take nothing up."""
        self.runner.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.runner.send_signal(signal.SIGCONT)

    @property
    def tags(self) -> list[str]:
        """The titles that have arrived at the API, in order."""
        return [arrival.tag for arrival in self.api.arrivals.details]


@contextmanager
def site(folder: Path, **more: str) -> Iterator[Site]:
    """A whole stack with a Redis and a way to Prefect that can be shut, a runner, a stand-in API and the dashboard.

    `more` are variables of its environment.
    """
    api = StandIn(Knobs(ban_after=None, tag="title"))
    (folder / "replies.yaml").write_text(REPLIES)
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.delenv("PREFECT_API_URL", raising=False)
        redis = RedisServer(folder / "redis").start()
        stack.callback(redis.stop)
        address = stack.enter_context(serving(api))
        settings = Settings(data=folder / "data", redis_url=redis.url)  # type: ignore[arg-type]
        addresses = stack.enter_context(use(settings))
        variables = {
            **environment(addresses, settings),
            "POSTS_URL": address + "/posts",
            "ROWRELAY_PIPELINES": str(folder / "replies.yaml"),
            "ROWRELAY_MAX_UPLOAD_BYTES": "200000",
            "PREFECT_RUNNER_POLL_FREQUENCY": "1",
            **more,
        }
        own = {**os.environ, **variables}
        runner = subprocess.Popen([sys.executable, "-m", "deployments.commands", "serve"], cwd=ROOT, env=own)
        stack.callback(_end, runner)
        prefect = Gate(urlsplit(variables["PREFECT_API_URL"]).port or 0)
        seen = {**variables, "PREFECT_API_URL": f"http://127.0.0.1:{prefect.port}/api"}
        board = stack.enter_context(dashboard(seen, folder / "dashboard.log"))
        wait_until(
            lambda: board.api("GET", "/status").json()["well"],
            seconds=SECONDS,
            what="the runner to serve the pipelines",
        )
        yield Site(board, api, redis, prefect, runner, settings, variables)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def rows_file(first: int, count: int, extra: str = "") -> str:
    """Good rows with titles that nobody else uses."""
    return "userId,title,body\n" + "".join(f"{n % 9 + 1},t{n},b\n" for n in range(first, first + count)) + extra


def titles(first: int, count: int) -> list[str]:
    """The titles of such rows, sorted."""
    return sorted(f"t{n}" for n in range(first, first + count))
