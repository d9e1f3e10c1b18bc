"""The places that a request takes: under which limits, as which value of one that has many, and at what cost."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from flows.limit.calendar import period_seconds
from flows.records import LimitTerms

IN_FLIGHT_BY_DEFAULT = 500  # most: connections, and rows that a kill leaves unknown; more has to be asked for


class Place(NamedTuple):
    """A place under the limit at this index. `value`: its name where the limit is one for each value, else empty."""

    limit: int
    value: str = ""
    cost: int = 1


Places = tuple[Place, ...]
ONE: Places = (Place(0),)  # of one plain limit


def value_name(text: str) -> str:
    """What a value is called in Redis: what stands in a file is nobody's business there, and may be long."""
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


def bounding(terms: Sequence[LimitTerms], costs: Sequence[int] = ()) -> LimitTerms:
    """What all of these limits allow together, as one limit of requests: for estimates, connections and charts.

    `costs` are what a request costs at least of each; by default one. A limit for each value bounds no more than what
    is under way at once where another one bounds the pace. Raises ValueError where there is none.
    """
    if len(terms) == 1 and not terms[0].is_special:
        return terms[0]
    if not terms:
        raise ValueError("there is no limit")
    windows: dict[float, int] = {}
    for each, cost in zip(terms, costs or [1] * len(terms), strict=True):
        periods = [(units, period_seconds(period)) for units, period in each.calendar]
        for units, seconds in () if each.is_family else (*each.windows, *periods):
            windows[seconds] = min(windows.get(seconds, 1 << 62), max(1, units // max(1, cost)))
    shared = [each for each in terms if not each.is_family]
    late = [each.late_seconds for each in terms]
    return LimitTerms(
        name=", ".join(each.name for each in terms),
        windows=tuple(sorted(((units, seconds) for seconds, units in windows.items()), key=lambda pair: pair[1])),
        in_flight=min((each.in_flight for each in shared), default=IN_FLIGHT_BY_DEFAULT),
        max_timeout_seconds=min(each.max_timeout_seconds for each in terms),
        grace_seconds=max(each.grace_seconds for each in terms),
        late_seconds=None if None in late else max(seconds for seconds in late if seconds is not None),
    )
