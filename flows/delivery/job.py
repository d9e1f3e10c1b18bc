"""A parcel on its way through the sender, and what is to be recorded of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from flows.ledger.moves import Answer
from flows.records import Parcel


@dataclass(slots=True)
class Slice:
    """Rows that were handed in together, and what became of them."""

    left: int
    done: asyncio.Future[Counter[str]]
    states: Counter[str] = field(default_factory=Counter)

    def end(self, state: str) -> None:
        """One row needs nothing more here."""
        self.states[state] += 1
        self.left -= 1
        if self.left == 0 and not self.done.done():
            self.done.set_result(self.states)

    def abandon(self) -> None:
        """Let go whoever waits: of some of its rows nothing more will be heard here."""
        if not self.done.done():
            self.done.set_result(self.states + Counter(left=self.left))


@dataclass(slots=True, eq=False)
class Job:
    """A parcel that waits, is under way, or is to be recorded."""

    parcel: Parcel
    slice: Slice
    attempts: int = 0
    first: float = 0.0  # when its first attempt ended, later by the pauses that the API has asked for since
    serial: int = 0  # of the claim it holds, or that Redis may have taken; 0: none
    resends: bool = False  # a claim may come from `unknown`: the API knows the parcel's key

    @property
    def rows(self) -> list[int]:
        """The numbers of its rows."""
        return [row.row for row in self.parcel.rows]

    def end(self, state: str) -> None:
        """All its rows need nothing more here."""
        for _ in self.parcel.rows:
            self.slice.end(state)


class Entry(NamedTuple):
    """What the ledger is to be told of a parcel, by row, in its order."""

    answers: Sequence[Answer]
    job: Job
    waits: Sequence[float | None]  # seconds until the row's next attempt; None: there is none
    attempted: bool  # False: a claim that is only taken back
