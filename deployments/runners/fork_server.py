"""A process that has Prefect, pandas and the flows loaded, and forks as soon as a flow run begins.

`rowrelay serve` and `rowrelay worker` start it beside themselves. Prefect then starts `flow_run.py`, which asks here
for the run. The process has one thread, no connection and no event loop, so a fork of it is as good as a fresh Python.

It ends with who started it, by kill -9 too, as soon as the last run has ended. Linux only. Elsewhere, and where a run's
environment is another one, each run is a fresh Python.
"""

from __future__ import annotations

import os
import runpy
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from deployments.runners import preloaded
from deployments.runners.drain import name_for
from deployments.runners.flow_run import ANSWER_SECONDS, GO, SIZE

END_SECONDS = 1.0  # for it to end; with runs under way it ends after them
_LAUNCHER = Path(__file__).with_name("flow_run.py")


@contextmanager
def beside(environment: Mapping[str, str]) -> Iterator[str]:
    """Have one for as long as the block lasts. Yields the command that starts a flow run; nothing where none can be.

    It loads in the background. Until it has, runs are fresh Pythons.
    """
    try:
        folder = tempfile.mkdtemp(prefix="rowrelay-") if hasattr(os, "pidfd_open") else ""  # for this user alone
    except OSError:
        folder = ""
    if not folder:
        yield ""
        return
    address = os.path.join(folder, "runs")
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", __name__, address],
        env=dict(environment),
        stdin=subprocess.PIPE,  # nobody writes to it: it closes when this process is gone
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches a run by way of its launcher alone
    )
    try:
        yield shlex.join([sys.executable, "-I", "-S", str(_LAUNCHER), address])
    finally:
        if process.stdin:
            process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Request:
    """What a launcher hands over: its connection, and all that its process would inherit."""

    connection: socket.socket
    streams: list[int]
    folder: bytes
    variables: dict[bytes, bytes]

    @classmethod
    def read(cls, connection: socket.socket) -> Request:
        """The request that comes in. Raises OSError, ValueError."""
        connection.settimeout(ANSWER_SECONDS)
        head, streams, _, _ = socket.recv_fds(connection, SIZE, 3)
        body = bytearray()
        while len(body) < int.from_bytes(head, "big"):
            if not (more := connection.recv(2**16)):
                raise ConnectionError("The launcher is gone.")
            body += more
        folder, *variables = bytes(body).split(b"\0")
        named = (each.partition(b"=") for each in variables)
        return cls(connection, streams, folder, {name: value for name, _, value in named})

    @property
    def environment(self) -> dict[str, str]:
        """Its variables, as Python has them."""
        return {os.fsdecode(name): os.fsdecode(value) for name, value in self.variables.items()}

    def close(self) -> None:
        """Let go of the streams in this process."""
        for stream in self.streams:
            os.close(stream)


class ForkServer:
    """Forks for whoever asks at a socket, and tells each launcher how its run ended. A launcher's death ends its run.

    Args:
        listener: The socket.
        parent: A descriptor that closes with who started this process.
        loaded: The environment that a run must have.
    """

    def __init__(self, listener: socket.socket, parent: int, loaded: Mapping[str, str]) -> None:
        self._listener, self._parent, self._loaded = listener, parent, loaded
        self._runs: dict[int, tuple[int, socket.socket]] = {}  # process and launcher, by what tells of the end
        self._poll = select.poll()
        for each in (listener, parent):
            self._poll.register(each, select.POLLIN)

    def next(self) -> Request | None:
        """Returns in each fork what it is to run, and None in this process once it is to end."""
        while self._runs or self._listener.fileno() >= 0:
            ready, _ = self._poll.poll()[0]  # one at a time: what it closes may have been among the others
            if ready == self._listener.fileno():
                if request := self._forked():
                    return request
            elif ready == self._parent:
                self._leave()
            elif ready in self._runs:
                self._tell(ready)
            else:
                self._kill(ready)
        return None

    def _forked(self) -> Request | None:
        connection, _ = self._listener.accept()
        try:
            request = Request.read(connection)
        except (OSError, ValueError):
            connection.close()
            return None
        if preloaded.fits(self._loaded, request.environment):
            with suppress(OSError):  # no more processes: its launcher runs it
                if not (process := os.fork()):
                    self._forget()
                    return request
                self._watch(process, connection)
                request.close()
                return None
        connection.close()
        request.close()
        return None

    def _watch(self, process: int, connection: socket.socket) -> None:
        end = os.pidfd_open(process)
        self._runs[end] = (process, connection)
        self._poll.register(end, select.POLLIN)
        self._poll.register(connection, 0)  # only its end
        with suppress(OSError):
            connection.sendall(b"%d" % process)

    def _tell(self, end: int) -> None:
        process, connection = self._runs.pop(end)
        self._poll.unregister(end)
        os.close(end)
        with suppress(KeyError):  # the launcher ended first
            self._poll.unregister(connection)
        _, status = os.waitpid(process, 0)
        with suppress(OSError):
            connection.sendall(b"%d" % os.waitstatus_to_exitcode(status))
        connection.close()

    def _kill(self, ready: int) -> None:
        """End the run whose launcher is gone."""
        for process, connection in self._runs.values():
            if connection.fileno() == ready:
                self._poll.unregister(connection)
                os.kill(process, signal.SIGKILL)

    def _leave(self) -> None:
        self._poll.unregister(self._parent)
        self._poll.unregister(self._listener)
        self._listener.close()

    def _forget(self) -> None:
        """Close in a fork what is of no concern to it."""
        self._listener.close()
        for end, (_, connection) in self._runs.items():
            os.close(end)
            connection.close()


def main(address: str) -> None:
    """Load, then fork until the parent is gone; in a fork, run its flow run."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # meant for runs; this process ends with its parent
    loaded = preloaded.load()
    if (threads := len(os.listdir("/proc/self/task"))) != 1:
        sys.exit(f"Flow runs start without preloading: {threads} threads are there, and a fork would take one along.")
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address + ".new")
            listener.listen()
            os.rename(address + ".new", address)  # there is no moment at which it is there and does not listen
            request = ForkServer(listener, sys.stdin.fileno(), loaded).next()
    except OSError:  # the folder went with the parent, or its name is too long for a socket
        return
    if request:
        for name in loaded.keys() & os.environ.keys():
            del os.environ[name]
        _run(request)
    else:
        shutil.rmtree(os.path.dirname(address), ignore_errors=True)


def _run(request: Request) -> None:
    """Become the process that the launcher would be, were it a fresh Python."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, stream in enumerate(request.streams):
        os.dup2(stream, number)
    request.close()
    os.environb.update(request.variables)
    os.chdir(request.folder)
    sys.path.insert(0, os.getcwd())
    sys.argv = ["prefect.engine"]
    Path("/proc/self/comm").write_text(name_for(os.environ.get("PREFECT__FLOW_RUN_ID", "")))
    request.connection.settimeout(None)
    if request.connection.recv(len(GO)) == GO:  # else the launcher runs it
        sys.modules.pop("prefect.engine", None)  # run anew, as the main module
        runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1])
