"""A parcel that the API refused as a whole, halved until the row at fault stands alone. Pure.

Of n rows with one that is refused, at most ⌈log2 n⌉ + 2 requests more are sent: a half of what is known to hold it goes
at a time. Where it is refused, the other half surely had no effect and is held until the row is found, to join a later
parcel; where it is taken, the other half holds the row.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from flows.delivery.job import Job, Ticket


@dataclass(slots=True)
class Next:
    """What follows: parcels that go next, and rows that travel with whichever others."""

    whole: list[Job] = field(default_factory=list)
    loose: list[Ticket] = field(default_factory=list)


def refused(job: Job) -> Next:
    """A parcel of several rows was refused."""
    return _inside(job.tickets, held=job.apart)


def decided(job: Job, *, taken: bool) -> Next:
    """A half is decided: it was taken, or it was one row that was refused."""
    if job.others and taken:
        return _inside(job.others, held=job.held)
    return Next(loose=job.apart)


def _inside(tickets: list[Ticket], *, held: list[Ticket]) -> Next:
    """Rows that are known to hold one that is refused."""
    if len(tickets) == 1:
        return Next(whole=[Job(tickets, whole=True, held=held)])
    half = (len(tickets) + 1) // 2
    return Next(whole=[Job(tickets[:half], whole=True, others=tickets[half:], held=held)])
