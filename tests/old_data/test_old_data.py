"""Data folders of earlier versions: each run in them goes on, the right rows go out and no others.

`tests/old_data/make.py` says what they are. A run stores the address that it sends to, so the API listens there: at an
address of this machine that nothing else uses. Nothing of the folders is changed on the way.
"""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deployments.embedded.locks import held
from deployments.standin.api import Knobs, StandIn
from deployments.standin.server import serving
from tests.harness.wait import wait_until
from tests.harness.world import ROOT
from tests.old_data.make import HOST, PORT

FOLDER = Path(__file__).resolve().parent
VERSIONS = sorted(path.name for path in FOLDER.iterdir() if list(path.glob("*.tar.xz")))
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has every address 127.* without being told"),
    pytest.mark.xdist_group("old_data"),
    pytest.mark.timeout(900),
]


@dataclass
class Old:
    """A data folder of an earlier version, what that said of its runs, and the API."""

    folder: Path
    judged: dict[str, Any]

    def rowrelay(self, *words: str, codes: tuple[int, ...] = (0,)) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "deployments.commands", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode in codes, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def rows(self, kind: str, *states: str) -> list[int]:
        """The rows that the earlier version had left in these states."""
        return sorted(int(row) for row, state in self.judged[kind]["rows"].items() if state in states)

    def arrived(self, kind: str) -> list[int]:
        """The rows of a run that have arrived here, as often as they did."""
        with urllib.request.urlopen(f"http://{HOST}:{PORT}/arrivals", timeout=10) as answer:
            seen = [int(json.loads(line)["tag"]) for line in answer.read().splitlines()]
        first = self.judged[kind]["first"]
        return sorted(each - first + 1 for each in seen if 0 <= each - first < 1000)

    def shown(self, kind: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.rowrelay("show", self.judged[kind]["run"], "--json"))
        return found

    def resume(self, kind: str, rows: str = "unfinished") -> dict[str, Any]:
        """Send what is left; the run as it stands then."""
        run = self.judged[kind]["run"]
        found = self.rowrelay("send", "--resume", run, "--rows", rows, "--json", codes=(0, 1))
        shown: dict[str, Any] = json.loads(found)
        return shown

    def results(self, kind: str) -> Counter[str]:
        lines = self.rowrelay("export", self.judged[kind]["run"], "--format", "jsonl").splitlines()
        return Counter(json.loads(line)["result"] for line in lines)


@pytest.fixture(scope="module")
def api() -> Iterator[None]:
    with ExitStack() as exits:
        until = time.monotonic() + 300
        while True:  # somebody else on this machine may be at the same test
            try:
                exits.enter_context(serving(StandIn(Knobs(requests=None, tag="userId")), host=HOST, port=PORT))
                break
            except OSError as exc:
                if exc.errno != errno.EADDRINUSE or time.monotonic() > until:
                    raise
                time.sleep(1)
        yield


@contextmanager
def unpacked(archive: Path, folder: Path) -> Iterator[Old]:
    with tarfile.open(archive) as packed:
        packed.extractall(folder)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ROWRELAY_REDIS_URL", "PREFECT_API_URL"):
            patch.delenv(name, raising=False)
        patch.setenv("ROWRELAY_DATA", str(folder / "data"))
        patch.setenv("ROWRELAY_PIPELINES", str(folder / "pipelines"))
        patch.setenv("ROWRELAY_SEPARATE_STACK", "1")
        patch.setenv("ROWRELAY_SETTLE_SECONDS", "0.2")
        request = urllib.request.Request(f"http://{HOST}:{PORT}/control", b'{"reset": true}', method="PUT")
        urllib.request.urlopen(request, timeout=10).read()
        yield Old(folder, json.loads((folder / "judged.json").read_text()))
        wait_until(lambda: not held(folder / "data" / "stack" / "supervisor.lock"), seconds=60, what="the servers' end")


@pytest.fixture(params=VERSIONS)
def command(request: pytest.FixtureRequest, tmp_path: Path, api: None) -> Iterator[Old]:
    with unpacked(FOLDER / request.param / "command.tar.xz", tmp_path) as old:
        yield old


@pytest.fixture(params=VERSIONS)
def stack_of(request: pytest.FixtureRequest, tmp_path: Path, api: None) -> Iterator[Old]:
    with unpacked(FOLDER / request.param / "stack.tar.xz", tmp_path) as old:
        yield old


def sane(shown: dict[str, Any]) -> None:
    """Counts that add up, and figures that can be."""
    assert sum(shown["counts"].values()) == shown["total"]
    assert shown["counts"]["waiting"] == shown["counts"]["sending"] == 0
    assert 0 <= shown["rate"] <= 20
    assert 0 < shown["peak"] <= 20
    assert shown["seconds"] > 0


@pytest.mark.slow
def test_runs_of_the_command_line_go_on(command: Old) -> None:
    before = command.judged["killed"]["counts"]
    ended = command.resume("killed")
    assert command.arrived("killed") == command.rows("killed", "waiting")
    lost = before["unknown"] + before["sending"]
    assert ended["counts"] == {"accepted": 0, **before, "waiting": 0, "sending": 0, "unknown": lost} | {
        "done": before["done"] + before["waiting"]
    }
    sane(command.shown("killed"))

    mixed = command.judged["mixed"]["counts"]
    assert command.results("mixed") == Counter({state: count for state, count in mixed.items() if count})
    for rows in ("failed", "unknown"):
        ended = command.resume("mixed", rows)
    assert command.arrived("mixed") == command.rows("mixed", "failed", "unknown")
    assert ended["counts"]["done"] == mixed["done"] + mixed["failed"] + mixed["unknown"]
    assert ended["counts"]["rejected"] == mixed["rejected"] > 0
    shown = command.shown("mixed")
    sane(shown)
    assert shown["sent"] >= ended["total"] - mixed["rejected"] + mixed["failed"]


@pytest.mark.slow
def test_runs_of_prefect_and_of_an_inbox_go_on_by_themselves_and_a_checked_one_waits(stack_of: Old) -> None:
    log = (stack_of.folder / "up.log").open("ab")
    up = subprocess.Popen([sys.executable, "-m", "deployments.commands", "up"], cwd=ROOT, stdout=log, stderr=log)
    try:
        for kind in ("prefect", "inbox"):
            run = stack_of.judged[kind]["run"]
            wait_until(
                lambda run=run: json.loads(stack_of.rowrelay("show", run, "--json"))["state"] == "finished",  # type: ignore[misc]
                seconds=150,
                what=f"the end of the {kind} run",
            )
        wait_until(
            lambda: not list((stack_of.folder / "data" / "inbox" / "old").glob("*.csv")),
            seconds=60,
            what="the file's end",
        )
    finally:
        up.terminate()
        up.wait(120)
    for kind in ("prefect", "inbox"):
        before = stack_of.judged[kind]["counts"]
        shown = stack_of.shown(kind)
        assert stack_of.arrived(kind) == stack_of.rows(kind, "waiting"), kind
        assert shown["counts"]["done"] == before["done"] + before["waiting"]
        assert shown["counts"]["unknown"] == before["unknown"] + before["sending"]
        sane(shown)

    assert stack_of.arrived("checked") == []
    assert stack_of.shown("checked")["counts"] == {"accepted": 0} | stack_of.judged["checked"]["counts"]
    ended = stack_of.resume("checked")
    assert len(stack_of.arrived("checked")) == ended["counts"]["done"] == 100
    sane(stack_of.shown("checked"))
