"""Where tests write: in memory, where the machine has it.

Servers and spools sync what they write at once. On a disk that is most of the time that many tests take, and the same
disk serves them all. No test pulls the plug of the machine.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psutil

MEMORY = Path("/dev/shm")
ENOUGH = 6_000_000_000  # bytes


def use_memory() -> None:
    """Let pytest make its temporary folders in memory, unless there is little of it or nothing there can be run."""
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        free = min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available)
        if free > ENOUGH:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
