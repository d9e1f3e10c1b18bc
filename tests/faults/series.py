"""Playing many trials: several at once, each in one of a few processes; those of the whole stack one after another."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.faults.draw import Trial
from tests.faults.play import Result, play
from tests.harness.forked import _context


def played(trials: Sequence[Trial], *, jobs: int, log: Path) -> Iterator[Result]:
    """Every result as soon as it is there. What all the processes have to say goes to `log`."""
    small = [trial for trial in trials if not trial.whole]
    if small:
        with ProcessPoolExecutor(jobs, mp_context=_context(), initializer=_speak_to, initargs=(str(log),)) as pool:
            for ended in as_completed([pool.submit(play, trial) for trial in small]):
                yield ended.result()
    if whole := [trial for trial in trials if trial.whole]:
        from tests.faults.whole import play_whole  # loads Prefect

        yield from play_whole(whole, log)


def _speak_to(log: str) -> None:
    """Let a process and all that it starts write its troubles there: many of them are meant."""
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
