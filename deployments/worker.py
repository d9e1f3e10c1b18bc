"""A worker that can be stopped at any time: `python -m deployments.worker [POOL] [OPTIONS OF prefect worker start]`.

`prefect worker start` waits at SIGTERM until its runs are through, which may take days, and whoever sent the signal
does not wait. So here it takes on nothing more and asks its runs to leave: they get the answers that are under way,
give back what is left, and the next worker goes on with it.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from deployments.leaving import hand_over
from deployments.process import die_with_parent
from deployments.setup import POOL
from flows import logs

log = logging.getLogger("rowrelay.worker")


def main(arguments: list[str]) -> int:
    """Work until asked to end. Returns the exit code of Prefect's worker, 0 after an orderly end."""
    pool, options = (
        (POOL, arguments) if not arguments or arguments[0].startswith("-") else (arguments[0], arguments[1:])
    )
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", "process", *options]
    logs.voice(log.name, os.environ.get("ROWRELAY_LOG_FORMAT", "text"))
    # Runs are begun as `python`: this one, wherever we were started from.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    worker = subprocess.Popen(
        command,
        env=os.environ | {"PATH": path} | logs.for_prefect(os.environ),
        start_new_session=True,  # Ctrl-C is for us, who end things in order
        preexec_fn=die_with_parent(signal.SIGTERM),
    )
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
    worker.send_signal(signal.SIGTERM)  # only once: at the second, Prefect's worker kills itself
    if hand_over(worker.pid, gone=lambda: worker.poll() is not None):
        return 0
    _say("Some runs did not end in time; they are resumed when they are found dead.")
    worker.kill()
    worker.wait()
    return 1


def _say(text: str) -> None:
    log.info(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
