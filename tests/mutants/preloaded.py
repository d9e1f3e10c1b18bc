"""Runs pytest again and again, each time in a fork of a process that has imported what tests import of other projects.

Nothing of this repository is imported before the fork, but for this file alone: it is run as a script.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

MODULES = (
    "aiohttp",
    "httpx",
    "hypothesis.strategies",
    "pandas",
    "pyarrow.compute",
    "pydantic",
    "pytest",
    "redis.asyncio",
)
CPU_SECONDS = 900  # of one pytest: for one that hangs where pytest's own time-out is not heard
END_SECONDS = 60  # from its last test to its end


class Preloaded:
    """The process that is forked. For one thread at a time."""

    def __init__(self) -> None:
        self._said = tempfile.NamedTemporaryFile(prefix="mutant-", suffix=".log")  # noqa: SIM115  until `close`
        self._process = subprocess.Popen(
            [sys.executable, __file__, self._said.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
        )

    def run(self, tree: Path, arguments: list[str]) -> tuple[int, str]:
        """Pytest's exit code and what it said, in a tree that has a `tests` of its own."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([str(tree), arguments]) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return code, Path(self._said.name).read_text(encoding="utf-8", errors="replace")

    def close(self) -> None:
        """Ends it."""
        self._process.communicate()
        self._said.close()


def serve() -> None:
    """Read what to run, a line each, until there is no more."""
    del sys.path[0]  # the folder of this file
    for name in MODULES:
        importlib.import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            become(*json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def become(tree: str, arguments: list[str]) -> NoReturn:
    """Be pytest in this tree."""
    import pytest

    out = os.open(sys.argv[1], os.O_WRONLY | os.O_TRUNC)
    for fd, own in ((0, os.open(os.devnull, os.O_RDONLY)), (1, out), (2, out)):
        os.dup2(own, fd)
    os.chdir(tree)
    os.environ |= {"PYTHONPATH": tree, "ROWRELAY_SEPARATE_STACK": "1"}
    sys.path.insert(0, tree)
    sys.argv = ["pytest", *arguments]
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    random.seed()
    flows = importlib.import_module("flows")
    assert str(flows.__file__).startswith(tree)
    code = pytest.main(arguments)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(END_SECONDS)
    sys.exit(code)


if __name__ == "__main__":
    serve()
