"""The link between sender and API goes down for longer than a request may be late, and heals: nothing piles up.

Without SO_LINGER the kernel would send all that was written during the outage at once, long after the sockets were
closed. The API lives in a network namespace of its own; sender and Redis stay here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.records import RowState, RunState
from tests.conftest import wait_until
from tests.world import ROOT, World

API, HERE = "10.213.7.2", "10.213.7.1"
LIMIT: dict[str, Any] = {"name": "far", "requests": 7, "window_seconds": 1, "in_flight": 7, "grace_seconds": 0.5}


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def link() -> Iterator[tuple[str, str]]:
    """A namespace and the name of the link to it. Needs root, as CI has."""
    if os.geteuid() != 0:
        pytest.skip("only root may make network namespaces")
    name = f"rr{os.getpid() % 100000}"
    ip("netns", "add", name)
    try:
        ip("link", "add", name, "type", "veth", "peer", "name", "api0", "netns", name)
        ip("addr", "add", f"{HERE}/24", "dev", name)
        ip("link", "set", name, "up")
        ip("-n", name, "addr", "add", f"{API}/24", "dev", "api0")
        ip("-n", name, "link", "set", "api0", "up")
        ip("-n", name, "link", "set", "lo", "up")
        yield name, name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", name], check=False, capture_output=True)


def test_nothing_piles_up_behind_a_link_that_was_down(link: tuple[str, str], tmp_path: Path, redis_url: str) -> None:
    namespace, device = link
    options = [
        "--host",
        API,
        "--port",
        "8080",
        "--delay-min-seconds",
        "0.05",
        "--delay-max-seconds",
        "0.15",
        "--tag",
        "userId",
    ]
    api = subprocess.Popen(
        ["ip", "netns", "exec", namespace, sys.executable, "-m", "deployments.standin", *options], cwd=ROOT
    )
    try:
        w = World(
            tmp_path,
            redis_url,
            f"http://{API}:8080",
            None,
            LIMIT,
            {"request": {"timeout_seconds": 1.0}, "stop_after": 1000},
        )  # type: ignore[arg-type]
        wait_until(lambda: answers(w.url), seconds=20, what="the API")
        engine = w.start("r1", file=w.file(70))
        wait_until(
            lambda: w.view.client.exists("rowrelay:run:{r1}") and w.run("r1").counts[RowState.DONE] > 10,
            seconds=40,
            what="rows",
        )

        for _ in range(2):
            ip("link", "set", device, "down")
            time.sleep(5)  # longer than time-out and grace together
            ip("link", "set", device, "up")
            time.sleep(3)
        ended = w.ended(engine)

        report = w.report()
        assert ended["state"] == RunState.FINISHED
        assert ended["counts"]["done"] + ended["counts"]["unknown"] + ended["counts"]["failed"] == 70
        assert ended["counts"]["unknown"] > 0, "the outage hit no request, so this proves nothing"
        assert report["over"] == 0
        assert report["keys_repeated"] == 0
        late = {int(arrival["tag"]) for arrival in w.arrivals() if arrival["tag"]}
        done = set(w.view.select("r1", [RowState.DONE], 70).tolist())
        assert done <= late
    finally:
        api.terminate()
        api.wait(10)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url + "/report", timeout=1) as answer:
            return bool(json.loads(answer.read()))
    except OSError:
        return False
