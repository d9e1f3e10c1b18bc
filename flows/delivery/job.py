"""A row on its way through the sender, and what came of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from flows.ledger.ledger import Answer
from flows.records import Row


@dataclass(slots=True)
class Batch:
    """Rows that were handed in together, and what became of them."""

    left: int
    done: asyncio.Future[Counter[str]]
    states: Counter[str] = field(default_factory=Counter)

    def end(self, state: str) -> None:
        """One row of the batch needs nothing more here."""
        self.states[state] += 1
        self.left -= 1
        if self.left == 0 and not self.done.done():
            self.done.set_result(self.states)

    def abandon(self) -> None:
        """Let go whoever waits: of some of its rows nothing more will be heard here."""
        if not self.done.done():
            self.done.set_result(self.states + Counter(left=self.left))


@dataclass(slots=True)
class Job:
    """A row that waits, is under way, or is to be recorded."""

    row: Row
    batch: Batch
    attempts: int = 0
    first: float = 0.0  # when its first attempt ended, later by the pauses that the API has asked for since
    serial: int = 0  # of the claim it holds, or that Redis may have taken; 0: none
    resends: bool = False  # a claim may come from `unknown`: the API knows the row's key


@dataclass(frozen=True, slots=True)
class Entry:
    """What the ledger is to be told of a job."""

    answer: Answer
    job: Job
    wait: float | None  # seconds until the row's next attempt; None: there is none
    attempted: bool  # False: a claim that is only taken back
