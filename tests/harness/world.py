"""A small world for whole deliveries: files, a pipeline, a stand-in that judges, engines to start and to kill."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from deployments.standin.api import Knobs, StandIn
from deployments.standin.server import serving
from flows.ledger.connection import connect
from flows.ledger.keys import run_key
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.records import RowState
from tests.harness.forked import Forked
from tests.harness.limits import long_known
from tests.harness.wait import wait_until

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class World:
    """One API, one ledger, one pipeline."""

    folder: Path
    redis_url: str
    url: str
    standin: StandIn
    limit: dict[str, Any]
    more: dict[str, Any] = field(default_factory=dict)
    engines: list[subprocess.Popen[str] | Forked] = field(default_factory=list)

    @property
    def view(self) -> View:
        return View(connect(self.redis_url))

    @property
    def pipeline(self) -> Path:
        """The pipeline's definition, as a file."""
        path = self.folder / "posts.yaml"
        definition: dict[str, Any] = {
            "name": "posts",
            "columns": {
                "userId": {"type": "int", "min": 1},
                "title": {"type": "str", "blank": False},
                "body": {"type": "str"},
            },
            "request": {"url": self.url + "/posts", "timeout_seconds": 5.0, **self.more.get("request", {})},
            "response": {"keep": {"postId": "id"}, "success": [200, 201]},
            "limit": self.limit,
            **{key: value for key, value in self.more.items() if key != "request"},
        }
        part = path.with_name(f"{uuid4().hex}.part")  # several threads may ask at once
        part.write_text(json.dumps(definition))
        part.rename(path)
        return path

    def file(self, rows: int, *, bad: int = 0, name: str = "rows.csv", first: int = 1) -> Path:
        """A file of so many good rows and some bad ones behind them; `userId` is the row."""
        path = self.folder / name
        lines = ["userId,title,body", *(f"{i},title {i},{name}" for i in range(first, first + rows))]
        path.write_text("\n".join([*lines, *(f"x{i},,body" for i in range(bad))]) + "\n")
        return path

    def start(self, run: str, **arguments: Any) -> Forked:
        """Start an engine."""
        given = {
            "redis_url": self.redis_url,
            "data": str(self.folder / "data"),
            "pipeline": str(self.pipeline),
            "run": run,
            **{key: str(value) if isinstance(value, Path) else value for key, value in arguments.items()},
        }
        process = Forked(json.dumps(given), self.folder / f"engine-{uuid4().hex}.json")
        self.engines.append(process)
        return process

    def deliver(self, run: str, **arguments: Any) -> dict[str, Any]:
        """Run an engine to its end and return what it says."""
        return self.ended(self.start(run, **arguments))

    def ended(self, process: Forked, *, seconds: float = 90.0) -> dict[str, Any]:
        """What an engine says at its end."""
        out, _ = process.communicate(timeout=seconds)
        assert process.returncode == 0, f"the engine ended with {process.returncode}: {out}"
        found: dict[str, Any] = json.loads(out)
        return found

    def run(self, run: str) -> Run:
        """A run as it stands."""
        return self.view.run(run)

    def control(self, **knobs: Any) -> None:
        """Change the stand-in's behaviour."""
        request = urllib.request.Request(self.url + "/control", json.dumps(knobs).encode(), method="PUT")
        request.add_header("Content-Type", "application/json")
        urllib.request.urlopen(request, timeout=5).read()

    def report(self, **query: Any) -> dict[str, Any]:
        """What the stand-in counted."""
        words = "&".join(f"{key}={value}" for key, value in query.items())
        with urllib.request.urlopen(f"{self.url}/report?{words}", timeout=10) as answer:
            found: dict[str, Any] = json.loads(answer.read())
        return found

    def wait_for_rows(self, run: str, rows: int, *, seconds: float = 40) -> None:
        """Wait until so many rows of a run are done, which need not have begun."""
        view = self.view
        wait_until(
            lambda: view.client.exists(run_key(run)) and view.run(run).counts[RowState.DONE] >= rows,
            seconds=seconds,
            what=f"{rows} rows",
        )

    def arrivals(self) -> list[dict[str, Any]]:
        """Every arrival, in order."""
        with urllib.request.urlopen(f"{self.url}/arrivals", timeout=10) as answer:
            return [json.loads(line) for line in answer.read().splitlines()]


@contextmanager
def world(
    folder: Path, redis_url: str, *, limit: dict[str, Any], knobs: dict[str, Any] | None = None, **more: Any
) -> Iterator[World]:
    """A world whose stand-in enforces the limit it is given; engines still there at the end are killed.

    The stand-in is new, so that nothing can still be on its way to it: the limit need not wait to be sure of that.
    """
    windows = limit.get("requests")
    judge = Knobs(
        **{"requests": windows, "window_seconds": limit.get("window_seconds", 1.0), "tag": "userId", **(knobs or {})}
    )
    standin = StandIn(judge)
    if redis_url:
        long_known(connect(redis_url), limit["name"])
    with serving(standin) as url:
        made = World(folder, redis_url, url, standin, limit, more)
        try:
            yield made
        finally:
            for process in made.engines:
                if process.poll() is None:
                    process.kill()
                    process.wait()
