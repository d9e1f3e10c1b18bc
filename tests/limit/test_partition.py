"""The link between sender and API goes down for longer than a request may be late, and heals: nothing piles up.

Without SO_LINGER the kernel would send all that was written during the outage at once, long after the sockets were
closed. The API lives in a network namespace of its own; sender and Redis stay here.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.records import RowState, RunState
from tests.harness.netns import Machine, machines
from tests.harness.proxy import Proxy
from tests.harness.wait import answers, wait_until
from tests.harness.world import ROOT, World, world

pytestmark = pytest.mark.slow
LIMIT: dict[str, Any] = {"name": "far", "requests": 7, "window_seconds": 1, "in_flight": 7, "grace_seconds": 0.5}


@pytest.fixture
def far() -> Iterator[Machine]:
    with machines(1) as (only,):
        yield only


@pytest.mark.parametrize("frozen", [False, True], ids=["awake", "frozen meanwhile"])
def test_nothing_piles_up_behind_a_link_that_was_down(
    far: Machine, tmp_path: Path, redis_url: str, frozen: bool
) -> None:
    """A frozen process closes no socket: then it is the kernel that has to give up what it has not got rid of."""
    options = [
        "--host",
        far.address,
        "--port",
        "8080",
        "--delay-min-seconds",
        "0.05",
        "--delay-max-seconds",
        "0.15",
        "--tag",
        "userId",
    ]
    w = None
    api = subprocess.Popen(far.inside(sys.executable, "-m", "deployments.commands", "standin", *options), cwd=ROOT)
    try:
        w = World(
            tmp_path,
            redis_url,
            f"http://{far.address}:8080",
            None,
            LIMIT,
            {"request": {"timeout_seconds": 1.0}, "stop_after": 1000},
        )  # type: ignore[arg-type]
        wait_until(lambda: answers(w.url), seconds=20, what="the API")
        engine = w.start("r1", file=w.file(70))
        w.wait_for_rows("r1", 11)

        for _ in range(2):
            far.down()
            if frozen:
                time.sleep(0.5)  # requests are written
                engine.send_signal(signal.SIGSTOP)
            time.sleep(5)  # longer than time-out and grace together
            healed = time.monotonic_ns()
            far.up()
            time.sleep(3)
            if frozen:
                late = [arrival for arrival in w.arrivals() if arrival["at"] > healed]
                assert not late, "the kernel has sent what nobody counts any more"
                engine.send_signal(signal.SIGCONT)
                time.sleep(2)
        ended = w.ended(engine)

        report = w.report()
        assert ended["state"] == RunState.FINISHED
        assert ended["counts"]["done"] + ended["counts"]["unknown"] + ended["counts"]["failed"] == 70
        assert ended["counts"]["unknown"] > 0, "the outage hit no request, so this proves nothing"
        assert report["over"] == 0
        assert report["keys_repeated"] == 0
        seen = {int(arrival["tag"]) for arrival in w.arrivals() if arrival["tag"]}
        done = set(w.view.select("r1", [RowState.DONE], 70).tolist())
        assert done <= seen
    finally:
        for process in w.engines if w else ():
            process.kill()
        api.terminate()
        api.wait(10)


def test_what_a_frozen_sender_had_written_counts_when_it_arrives(tmp_path: Path, redis_url: str) -> None:
    """Something on the way holds requests, and lets them through at the moment at which their sender wakes up."""
    limit = {"name": "frozen", "requests": 15, "window_seconds": 0.5, "in_flight": 6, "grace_seconds": 0.5}
    with world(tmp_path, redis_url, limit=limit, request={"timeout_seconds": 0.8}, stop_after=1000) as w:
        port = int(w.url.rpartition(":")[2].partition("/")[0])
        with Proxy(port) as line:
            w.url = f"http://127.0.0.1:{line.port}"
            engine = w.start("r1", file=w.file(200))
            w.wait_for_rows("r1", 11)
            for _ in range(4):
                line.set(cut=True)
                time.sleep(0.3)
                engine.send_signal(signal.SIGSTOP)
                time.sleep(2.5)  # longer than time-out, grace and window together
                engine.send_signal(signal.SIGCONT)
                line.set(cut=False)
                time.sleep(1.5)
            ended = w.ended(engine)

            report = w.report()
            assert ended["counts"]["done"] + ended["counts"]["unknown"] == 200
            assert ended["counts"]["unknown"] > 0, "nothing was held, so this proves nothing"
            assert report["over"] == 0
