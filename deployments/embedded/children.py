"""Child processes that die with their parent, and what every service of the stack is asked for."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from deployments.embedded.locks import Lock
from deployments.embedded.reachable import redis_answers
from deployments.embedded.redis_server import RedisServer, free_port

PR_SET_PDEATHSIG = 1
LOG_BYTES = 5 * 2**20  # a log longer than this is put aside when its service starts
_libc = ctypes.CDLL(None)


def die_with_parent(number: signal.Signals) -> Callable[[], None]:
    """What a child runs before its program, so that it gets `number` when its parent is gone, by kill -9 too.

    The kernel watches the *thread* that started the child, so only main threads may use this. Linux only;
    elsewhere an orphan is noticed by the lock it holds.
    """
    parent = os.getpid()

    def prepare() -> None:
        if sys.platform == "linux":
            _libc.prctl(PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return prepare


def pick_port(remembered: int) -> int:
    """The remembered port of 127.0.0.1 if nobody has it, so that links and clients stay valid; else a free one."""
    if remembered:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections winding down do not count
            try:
                sock.bind(("127.0.0.1", remembered))
                return remembered
            except OSError:
                pass
    return free_port()


class Service(Protocol):
    """A server that is one child process, on one port for as long as the object lives."""

    port: int
    process: subprocess.Popen[bytes] | None

    @property
    def log(self) -> Path:
        """What it has to say."""

    def spawn(self, guard: Lock) -> None:
        """Start the process, which holds `guard` for as long as it lives."""

    def ready(self) -> bool:
        """Whether it answers."""

    def busy(self) -> bool:
        """Whether a stop now would lose something it has taken in."""

    def stop(self) -> None:
        """End it cleanly, by force if it does not listen."""


class GuardedRedis(RedisServer):
    """The embedded Redis as a service of the stack."""

    @property
    def log(self) -> Path:
        """Where the server writes what it has to say."""
        return self.folder / "server.log"

    def spawn(self, guard: Lock) -> None:
        """Start the process, which holds `guard`: two servers must never write to one append-only file."""
        set_aside(self.log)
        self.launch(pass_fds=(guard.fileno(),), preexec_fn=die_with_parent(signal.SIGTERM))

    def ready(self) -> bool:
        """Whether it answers to its password (while it loads its data it does not)."""
        return redis_answers(self.url)

    def busy(self) -> bool:
        """Never: what it has acknowledged is on disk."""
        return False


def set_aside(log: Path) -> None:
    """Rename a log that has grown long; one former log is kept."""
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))


def last_words(log: Path, *, lines: int = 5) -> str:
    """The end of a log, for an error message."""
    try:
        text = log.read_text(errors="replace")[-2000:]
    except OSError:
        return ""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])
