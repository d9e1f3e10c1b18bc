"""A process that is halted while its runs are handed over goes on when whoever halted it is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from deployments.runners.worker import halted
from tests.harness.wait import wait_until
from tests.harness.world import ROOT

HALTS = """
import signal, subprocess, sys, time
from deployments.embedded.children import die_with_parent
from deployments.runners.worker import halted
child = subprocess.Popen(["sleep", "600"], preexec_fn=die_with_parent(signal.SIGTERM))
with halted(child):
    print(child.pid, flush=True)
    time.sleep(600)
"""


def state(pid: int) -> str:
    """One letter, as ps shows it; empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def test_a_halted_process_ends_with_whoever_halted_it() -> None:
    halting = subprocess.Popen([sys.executable, "-c", HALTS], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert halting.stdout is not None
    child = int(halting.stdout.readline())
    try:
        wait_until(lambda: state(child) == "T", seconds=20, what="the halt")

        halting.kill()
        halting.wait(10)

        wait_until(lambda: state(child) in ("", "Z"), seconds=20, what="its end")
    finally:
        if state(child) not in ("", "Z"):
            os.kill(child, signal.SIGKILL)


def test_a_halted_process_goes_on_afterwards() -> None:
    child = subprocess.Popen(["sleep", "600"])
    try:
        with halted(child):
            wait_until(lambda: state(child.pid) == "T", seconds=20, what="the halt")
        wait_until(lambda: state(child.pid) == "S", seconds=20, what="the end of the halt")
    finally:
        child.kill()
        child.wait()
