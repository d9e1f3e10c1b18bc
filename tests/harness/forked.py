"""Engines that start at once: forked from a process that has already imported what takes a second to import.

Each is a process of its own for all that tests do to it: it has a pid, hears signals, can be killed and is waited for.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path


class Forked:
    """What `subprocess.Popen` can do, as far as engines need it; its output lies in a file."""

    def __init__(self, given: str, said: Path) -> None:
        self._said = said
        self._process = _context().Process(target=_run, args=(given, str(said)), daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("an engine", timeout or 0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        self.wait(timeout)
        return (self._said.read_text() if self._said.exists() else ""), ""

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@cache
def _context() -> ForkServerContext:
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["tests.harness.engine"])
    return found


def _run(given: str, said: str) -> None:
    os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 1)
    from tests.harness.engine import main

    main(given)
