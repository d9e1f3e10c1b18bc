"""`rowrelay send` of a corrected whole file: what was delivered before is left out on request."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.command import PROGRAM
from tests.harness.stack import RunningStack
from tests.harness.world import ROOT, World, world

LIMIT: dict[str, Any] = {"name": "keyed", "requests": 50, "window_seconds": 1, "in_flight": 10, "grace_seconds": 0.3}
QUICK = {"delay_min_seconds": 0.01, "delay_max_seconds": 0.03}


@pytest.fixture
def keyed(stack: RunningStack, tmp_path: Path) -> Iterator[World]:
    """A pipeline with a key, on the session's stack, and a file of ten rows that was sent."""
    limit = LIMIT | {"name": f"keyed-{abs(hash(tmp_path)) % 10**6}"}
    name = f"keyed-{abs(hash(tmp_path)) % 10**6}"
    with world(tmp_path, stack.addresses.redis_url, limit=limit, knobs=QUICK, name=name, key=["userId"]) as made:
        made.file(10)
        yield made


def environment(w: World, stack: RunningStack) -> dict[str, str]:
    return {**os.environ, **stack.environment, "ROWRELAY_PIPELINES": str(w.pipeline)}


def command(w: World, *args: str) -> list[str]:
    return [*PROGRAM, "send", str(w.folder / "rows.csv"), "--pipeline", w.more["name"], *args]


def test_send_leaves_out_what_was_delivered_if_asked_to(keyed: World, stack: RunningStack) -> None:
    given: dict[str, Any] = {"cwd": ROOT, "env": environment(keyed, stack), "capture_output": True, "timeout": 90}
    assert subprocess.run(command(keyed), **given).returncode == 0
    keyed.file(12)

    ended = subprocess.run(command(keyed, "--skip-delivered", "--json"), **given)

    found = json.loads(ended.stdout)
    assert (ended.returncode, found["skipped"], found["counts"]["done"]) == (0, 10, 2), ended.stderr
    assert found["delivered_before"]["rows"] == 10
    assert len(found["definition_digest"]) == 64
    assert keyed.report()["arrivals"] == 12


def test_failed_rows_that_a_later_run_delivered_stay_where_they_are(keyed: World, stack: RunningStack) -> None:
    given: dict[str, Any] = {"cwd": ROOT, "env": environment(keyed, stack), "capture_output": True, "timeout": 90}
    keyed.control(faults={"unprocessable": 1.0})
    first = json.loads(subprocess.run(command(keyed, "--json"), **given).stdout)
    assert first["counts"]["failed"] == 10
    keyed.control(faults={})
    keyed.file(4)
    assert subprocess.run(command(keyed, "--yes"), **given).returncode == 0
    before = keyed.report()["arrivals"]
    again = [*PROGRAM, "send", "--resume", first["run"], "--rows", "failed"]

    refused = subprocess.run(again, **given)
    sent = subprocess.run([*again, "--skip-delivered", "--json"], **given)

    assert (refused.returncode, sent.returncode) == (2, 1), sent.stderr
    assert b"4 rows were delivered since by a later run" in refused.stderr
    counts = json.loads(sent.stdout)["counts"]
    assert (counts["done"], counts["failed"]) == (6, 4)
    assert keyed.report()["arrivals"] == before + 6


@pytest.mark.parametrize(
    ("answer", "code", "arrivals"), [("l", 0, 12), pytest.param("a", 0, 22, marks=pytest.mark.slow), ("n", 2, 10)]
)
def test_send_asks_at_a_terminal(keyed: World, stack: RunningStack, answer: str, code: int, arrivals: int) -> None:
    env = environment(keyed, stack)
    first = subprocess.run(command(keyed), cwd=ROOT, env=env, capture_output=True, timeout=90)
    assert first.returncode == 0, first.stderr
    keyed.file(12)

    ended, said = at_terminal(command(keyed), env, answer)

    assert ended == code, said
    assert "10 rows were delivered before" in said
    assert keyed.report()["arrivals"] == arrivals


def at_terminal(args: list[str], env: dict[str, str], answer: str) -> tuple[int, str]:
    """Run a program at a terminal, answer its question; its exit code and all it said."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(args, cwd=ROOT, env={**env, "TERM": "xterm"}, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said, answered, deadline = "", False, time.monotonic() + 90
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.2)[0]:
            try:
                data = os.read(ours, 65536)
            except OSError:  # it has closed its end
                break
            said += data.decode(errors="replace")
        if not answered and re.search(r"\[l\] ", said):
            os.write(ours, answer.encode() + b"\n")
            answered = True
    os.close(ours)
    return process.wait(120), said
