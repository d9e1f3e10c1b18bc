"""A parcel on its way through the sender, and what is to be recorded of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from msgspec import UNSET

from flows.client.exchange import NO_NOTE, Note
from flows.ledger.moves import Answer
from flows.limit.places import Places
from flows.records import Parcel, Row


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
class Ticket:
    """A row that was handed in, until nothing more is to be done for it here."""

    row: Row
    slice: Slice
    attempts: int = 0
    first: float = 0.0  # when its first attempt ended, later by the pauses that the API has asked for since
    unconnected: int = 0  # so many times in a row there was no connection for a request of it
    let_out: int = 0  # so many times in a row our token or session did not hold when it was sent
    part: Any = UNSET  # its part of a batch, where that is known already


@dataclass(slots=True, eq=False)
class Job:
    """A parcel that waits, is under way, or is to be recorded."""

    tickets: list[Ticket]
    serial: int = 0  # of the claim it holds, or that Redis may have taken; 0: none
    resends: bool = False  # a claim may come from `unknown`: the API knows the parcel's key
    whole: bool = False  # it goes as this very parcel, or not at all
    places: Places = ()  # that its request takes, where that hangs on its rows
    others: list[Ticket] = field(
        default_factory=list
    )  # the other half of a refused parcel, until it is known of this one
    held: list[Ticket] = field(default_factory=list)  # rows that surely are not refused, until the search is over
    note: Note = NO_NOTE  # what is known of the steps of its row

    @property
    def apart(self) -> list[Ticket]:
        """Rows that wait for what becomes of this parcel."""
        return [*self.others, *self.held]

    @property
    def parcel(self) -> Parcel:
        """Its rows, in their order."""
        return Parcel(tuple([ticket.row for ticket in self.tickets]))

    @property
    def rows(self) -> list[int]:
        """The numbers of its rows."""
        return [ticket.row.row for ticket in self.tickets]

    @property
    def parts(self) -> list[Any] | None:
        """The rows' parts of the batch, where all are known already."""
        parts = [ticket.part for ticket in self.tickets]
        return None if any(part is UNSET for part in parts) else parts

    def end(self, state: str) -> None:
        """All its rows need nothing more here."""
        for ticket in self.tickets:
            ticket.slice.end(state)


class Entry(NamedTuple):
    """What the ledger is to be told of a parcel, by row, in its order."""

    answers: Sequence[Answer]
    job: Job
    waits: Sequence[float | None]  # seconds until the row's next attempt; None: there is none
    attempted: bool  # False: a claim that is only taken back
    refused: bool = False  # the API refused the parcel as a whole, so that it is to be split
