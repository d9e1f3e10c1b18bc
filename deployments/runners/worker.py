"""A worker that can be stopped at any time: `rowrelay worker [POOL] [OPTIONS OF prefect worker start]`.

`prefect worker start` kills its runs at SIGTERM. So here it is halted first, so that it takes on no more; then
its runs are asked to leave: they get the answers under way, give back what is left, and the next worker goes on with
it. Only then is the worker ended.

It looks for new runs twice a second, unless PREFECT_WORKER_QUERY_SECONDS says otherwise (Prefect's own is 10). Its
health, where that is wished for, is told to this machine alone, unless PREFECT_WORKER_WEBSERVER_HOST says otherwise.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from deployments.embedded.children import die_with_parent
from deployments.registry.job import ENVIRONMENT
from deployments.registry.register import POOL
from deployments.runners import fork_server, zombies
from deployments.runners.drain import hand_over
from deployments.runners.serve import POLL_SECONDS
from flows import logs
from flows.client.proxy import spare_own_servers
from flows.settings import Settings

log = logging.getLogger("rowrelay.worker")
END_SECONDS = 10.0
_PREFECT = "deployments.runners.prefect_starter"  # not imported: it is heavy, and for another process
_OURS = {"PREFECT_WORKER_QUERY_SECONDS": str(POLL_SECONDS), "PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1"}


def run(pool: str, options: Sequence[str]) -> int:
    """Work until asked to end. Returns its exit code, 0 after an orderly end. Raises SettingError."""
    settings = Settings.read()
    logs.voice(log.name, settings.log_format)
    # Runs are begun as `python`: this one, wherever we were started from.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    environment = {**_OURS, **os.environ, "PATH": path, **logs.for_prefect(os.environ)}
    spare_own_servers(environment)
    with fork_server.beside({**ENVIRONMENT, **environment}) as starter:
        command = [sys.executable, "-m", _PREFECT, starter, "worker", "start", "--type", "process"]
        return _work([*command, "--pool", pool or POOL, *options], environment, settings)


def _work(command: Sequence[str], environment: Mapping[str, str], settings: Settings) -> int:
    worker = subprocess.Popen(
        command,
        env=environment,
        start_new_session=True,  # Ctrl-C is for us, who end things in order
        preexec_fn=die_with_parent(signal.SIGTERM),
    )
    zombies.watch_beside(settings)
    asked = False

    def leave(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if not asked:
            asked = True
            raise _Asked

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    try:
        return worker.wait()
    except _Asked:
        return _end(worker)


class _Asked(Exception):
    """Somebody wants us to end."""


def _end(worker: subprocess.Popen[bytes]) -> int:
    _say("Leaving: runs under way are handed over.")
    with halted(worker):
        left = hand_over(os.getpid())  # runs are below the worker, or beside it
        worker.send_signal(signal.SIGTERM)  # which it hears of before it does anything else
    try:
        worker.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()
    if not left:
        _say("Some runs did not end in time; they are resumed when they are found dead.")
    return 0 if left else 1


@contextmanager
def halted(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Stop a child for as long as the block lasts, or until this process dies, by kill -9 too.

    A stopped process does not hear that its parent is gone: a shell that waits for our end wakes it.
    """
    command = ["/bin/sh", "-c", 'cat; kill -CONT "$1"', "sh", str(process.pid)]
    waker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)
        waker.kill()
        waker.communicate()


def _say(text: str) -> None:
    log.info(text)
