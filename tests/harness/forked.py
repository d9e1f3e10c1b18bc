"""Processes that start at once: forked from a process that has already imported what takes seconds to import.

Each is a process of its own for all that tests do to it: it has a pid, hears signals, can be killed and is waited for.
"""

from __future__ import annotations

import atexit
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

# numpy and pyarrow start threads as they are imported, which a fork would not have.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
_loaded = ["tests.harness.engine"]


def load(module: str) -> None:
    """Have a module imported where processes are forked from; too late once the first of them has begun."""
    if module not in _loaded:
        _loaded.append(module)


class Forked:
    """`python -m MODULE GIVEN`, and what `subprocess.Popen` can do; what it says lies in files `said` and `said.err`.

    Its environment is that of this process, or `environment` where Prefect is to read it anew.
    """

    def __init__(
        self, given: str, said: Path, module: str = "tests.harness.engine", environment: Mapping[str, str] | None = None
    ) -> None:
        self._said = said
        self._process = _context().Process(
            target=_run, args=(module, given, str(said), dict(environment or {})), daemon=True
        )
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
            raise subprocess.TimeoutExpired("a forked process", timeout or 0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        self.wait(timeout)
        errors = self._said.with_name(self._said.name + ".err")
        return tuple(path.read_text() if path.exists() else "" for path in (self._said, errors))  # type: ignore[return-value]

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
    found.set_forkserver_preload(_loaded)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _ONE_THREAD.items():
            patch.setenv(name, value)
        forkserver.ensure_running()
    return found


def _run(module: str, given: str, said: str, environment: dict[str, str]) -> None:
    for path, stream in ((said, 1), (said + ".err", 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), stream)
    if environment:
        _become(environment)
    try:
        importlib.import_module(module).main(given)
    finally:  # as a Python that ends does; a fork leaves it out, and Prefect then loses what it has not sent yet
        if environment:
            sys.stdout.flush()
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()


def _become(environment: dict[str, str]) -> None:
    """Be a process of this environment, which Prefect has read where it was imported."""
    from prefect import context
    from prefect.logging.configuration import setup_logging

    os.environ.clear()
    os.environ.update(environment)
    context.refresh_global_settings_context()
    setup_logging()
