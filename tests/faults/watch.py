"""Looking at a run all the time, past whatever is broken between the sender and Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import redis

from flows.errors import RowrelayError
from flows.ledger.view import View
from flows.records import RowState

EVERY_SECONDS = 0.01
BITS_EVERY = 3  # looks at the counts between two looks at the rows


Sums = dict[tuple[tuple[tuple[str, int], ...], int], int]
"""How often which counts, state by state, were seen beside which total."""


@dataclass
class Seen:
    """What was seen of a run."""

    looks: int = 0
    sums: dict[tuple[tuple[tuple[str, int], ...], int], int] = field(
        default_factory=dict
    )  # (counts, total) → how often
    done_at: dict[int, int] = field(default_factory=dict)  # row → CLOCK_MONOTONIC ns by which it was `done`
    undone: set[int] = field(default_factory=set)  # rows that were `done` and then were not
    finished: int = 0  # rows that need nothing more, at the last look
    ended: threading.Event = field(default_factory=threading.Event)

    def look(self, view: View, run: str) -> None:
        """Once. Raises what Redis raises when it is away."""
        if not view.client.exists(f"rowrelay:run:{{{run}}}"):
            return
        found = view.run(run)
        self.looks += 1
        sums = tuple((str(state), found.counts[state]) for state in RowState), found.total
        self.sums[sums] = self.sums.get(sums, 0) + 1
        self.finished = found.finished_rows if found.total else 0
        if found.total and self.looks % BITS_EVERY == 0:
            done = set(view.select(run, [RowState.DONE], found.total).tolist())
            now = time.monotonic_ns()
            self.undone |= self.done_at.keys() - done
            for row in done - self.done_at.keys():
                self.done_at[row] = now


@contextmanager
def watching(view: View, run: str) -> Iterator[Seen]:
    """Look until the block ends."""
    seen = Seen()

    def watch() -> None:
        while not seen.ended.wait(EVERY_SECONDS):
            try:
                seen.look(view, run)
            except (RowrelayError, redis.RedisError, OSError):
                view.client.connection_pool.disconnect()

    watcher = threading.Thread(target=watch, name="watch", daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        seen.ended.set()
        watcher.join()
