"""How fast a run went: from what each process that ever sent rows of it has noted in the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import msgspec

from flows.ledger.facts import FactValue
from flows.ledger.run import Run
from flows.limit.limiter import Counters
from flows.limit.pace import Pace, guaranteed_rate
from flows.records import LimitTerms

EARLIER = "earlier"  # in place of a process: what a version noted that kept sums only


class Sent(msgspec.Struct, frozen=True):
    """What one process has sent of a run. `first` and `last` are Unix seconds, of its first and its last request."""

    first: float
    last: float
    requests: int
    round_trip_seconds: float = 0.0
    held: dict[str, float] = {}
    permits: int = 0
    permits_unused: int = 0
    limit_visits: int = 0

    @classmethod
    def of(cls, pace: Pace, counters: Counters, *, offset: float) -> Sent:
        """Of a process that has sent something. `offset` makes Unix seconds of its clock's."""
        first = pace.latest if pace.first is None else pace.first
        permits = counters.granted, counters.unused, counters.visits
        held = dict(counters.held_seconds)
        return cls(first + offset, pace.latest + offset, pace.sent, pace.round_trip_seconds, held, *permits)

    @property
    def packed(self) -> bytes:
        """As the ledger keeps it."""
        return msgspec.json.encode(self)

    @classmethod
    def unpacked(cls, raw: bytes) -> Sent:
        """What `packed` gave."""
        return msgspec.json.decode(raw, type=cls)


def earlier(run: Run) -> Sent:
    """What the sums of a run say, whose processes noted nothing of themselves. When that was is not known."""
    facts = run.facts
    permits = facts.permits, facts.permits_unused, facts.limit_visits
    return Sent(0.0, facts.seconds, facts.sent, facts.round_trip_seconds, facts.held_by, *permits)


def totals(sent: Sequence[Sent], terms: LimitTerms) -> dict[str, FactValue]:
    """The facts of a run, by name. Rates are requests a second, shares between 0 and 1.

    A rate counts intervals, and those of two windows at least: the first requests leave at once, so it would be above
    the limit for a shorter time. A window that is longer than that had no say.
    """
    requests = sum(each.requests for each in sent)
    trip = sum(each.round_trip_seconds * each.requests for each in sent) / max(1, requests)
    stretches = list(_stretches(sent))
    seconds = sum(last - first for first, last, _ in stretches)
    facts: dict[str, FactValue] = {
        "sent": requests,
        "seconds": round(seconds, 4),
        "rate": 0.0,
        "round_trip_seconds": round(trip, 4),
        "used_of_limit": 0.0,
        "used_of_guaranteed": 0.0,
        "held_by": _held(sent),
        "permits": sum(each.permits for each in sent),
        "permits_unused": sum(each.permits_unused for each in sent),
        "limit_visits": sum(each.limit_visits for each in sent),
    }
    heard = tuple((requests, width) for requests, width in terms.windows if seconds >= 2 * width)
    if not seconds or (terms.windows and not heard):
        return facts
    rate = sum(requests - 1 for _, _, requests in stretches) / seconds
    if heard:
        limit = min(requests / width for requests, width in heard)
        safe = guaranteed_rate(replace(terms, windows=heard), trip) or limit
        rate = min(rate, limit)
        facts |= {"used_of_limit": round(rate / limit, 4), "used_of_guaranteed": round(min(1.0, rate / safe), 4)}
        facts["guaranteed_rate"] = round(safe, 4)
    return facts | {"rate": round(rate, 4)}


def _stretches(sent: Iterable[Sent]) -> Iterator[tuple[float, float, int]]:
    """When something was sent, as (first, last, requests): what overlaps, of several processes, is one."""
    first, last, requests = 0.0, 0.0, 0
    for each in sorted(sent, key=lambda each: each.first):
        if requests and each.first > last:
            yield first, last, requests
            requests = 0
        first, last = (first, max(last, each.last)) if requests else (each.first, each.last)
        requests += each.requests
    if requests:
        yield first, last, requests


def _held(sent: Iterable[Sent]) -> dict[str, float]:
    """What waiters waited for, the longest first. Seconds."""
    found: Counter[str] = Counter()
    for each in sent:
        found.update(each.held)
    return {why: round(seconds, 1) for why, seconds in found.most_common() if seconds >= 0.1}
