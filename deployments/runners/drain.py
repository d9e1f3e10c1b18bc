"""How a worker leaves: it takes on nothing more, and its flow runs hand over what is left, which takes seconds."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path

from flows.flow_runs.launch import HAND_OVER as SIGNAL

HAND_OVER_SECONDS = 75.0  # for answers that are under way: a time-out, a block of permits, a write to Prefect
QUIET_SECONDS = 1.0  # a run that was being started has its process by then
LOOK_SECONDS = 0.2
_NAME = "run "


def hand_over(pid: int, *, seconds: float = HAND_OVER_SECONDS) -> bool:
    """Ask the flow runs below a process to leave, and wait for them. False if some were still there at the end.

    They are asked by a signal of our own: SIGTERM also means a cancellation, and crashes a run that has just begun.
    Each is asked as soon as it listens.
    """
    asked: set[int] = set()
    deadline = time.monotonic() + seconds
    seen = time.monotonic()
    while time.monotonic() < deadline:
        there = [each for each in descendants(pid) if is_flow_run(each)]
        for each in there:
            if each not in asked and _listens(each):
                asked.add(each)
                with suppress(ProcessLookupError):
                    os.kill(each, SIGNAL)
        seen = time.monotonic() if there else seen
        if time.monotonic() - seen > QUIET_SECONDS:
            return True
        time.sleep(LOOK_SECONDS)
    return False


def is_flow_run(pid: int) -> bool:
    """Whether a process below a worker delivers, and is not a helper of Python's own."""
    try:
        fresh = b"prefect.engine" in Path(f"/proc/{pid}/cmdline").read_bytes()
        return fresh or name_of(pid).startswith(_NAME)
    except OSError:
        return False


def name_for(run: str) -> str:
    """What the process of a flow run is called where it is a fork: the system keeps 15 characters."""
    return _NAME + run[-11:]


def name_of(pid: int) -> str:
    """What a process is called. Raises OSError where it is gone."""
    return Path(f"/proc/{pid}/comm").read_text().strip("\n")


def _listens(pid: int) -> bool:
    """Whether a process waits for the signal. One that does not would just die of it."""
    try:
        caught = re.search(r"^SigCgt:\s*([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text(), flags=re.MULTILINE)
    except OSError:
        return False
    return bool(caught and int(caught[1], 16) >> (SIGNAL - 1) & 1)


def descendants(pid: int) -> list[int]:
    """The processes below one, as far as the system tells (Linux)."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(stat.parent.name)] = int(parent)
    found = [pid]
    for each in found:
        found += [child for child, its_parent in parents.items() if its_parent == each]
    return found[1:]
