"""Starts one flow run in the preloaded process, and stands for it towards Prefect: its number, signals, exit code.

    python -I -S flow_run.py SOCKET

Where that process is not there, or does not take the run, this one becomes a fresh Python that runs it. Only the
standard library is imported, and little of it, so that it is there in some hundredths of a second.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import suppress
from types import FrameType
from typing import NoReturn

ANSWER_SECONDS = 10.0  # on a machine that swaps
GO = b"!"
SIZE = 8  # bytes that say how long a request is
_RELAYED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def main(address: str) -> NoReturn:
    """Run the flow run that the environment names, and end as it ends."""
    server = socket.socket(socket.AF_UNIX)
    server.settimeout(ANSWER_SECONDS)
    try:
        server.connect(address)
        _ask(server)
        process = os.pidfd_open(int(server.recv(SIZE) or "-1"))
        _relay(process)
        server.settimeout(None)
        server.sendall(GO)  # from here on it is that process which runs it, and no other
    except (OSError, ValueError):
        os.execv(sys.executable, [sys.executable, "-m", "prefect.engine"])  # noqa: S606  no shell is what we want
    _end(int(server.recv(SIZE) or "1"))  # nothing: the preloaded process is gone, and so is the run


def _ask(server: socket.socket) -> None:
    """Hand over all that a process inherits: environment, folder, standard streams."""
    variables = [name + b"=" + value for name, value in os.environb.items()]
    request = b"\0".join([os.getcwdb(), *variables])
    socket.send_fds(server, [len(request).to_bytes(SIZE, "big")], [0, 1, 2])
    server.sendall(request)


def _relay(process: int) -> None:
    def relay(number: int, frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):  # it has just ended
            signal.pidfd_send_signal(process, number)

    for number in _RELAYED:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, relay)


def _end(code: int) -> NoReturn:
    """End with the exit code, or by the signal that it stands for."""
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(abs(code))


if __name__ == "__main__":
    main(sys.argv[1])
