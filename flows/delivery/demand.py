"""Which places the request of a parcel takes under the limits, and which rows may share one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flows.limit.places import Place, Places, value_name
from flows.pipeline.definition import Definition
from flows.pipeline.limits import COLUMN, Limit
from flows.records import Row
from flows.values import as_text


@dataclass(frozen=True, slots=True)
class Demand:
    """What requests of one definition need. `fixed`: the places of each of them, where they do not hang on its rows."""

    limits: tuple[Limit, ...]
    fixed: Places | None

    @classmethod
    def of(cls, definition: Definition) -> Demand:
        """From the limits of a definition."""
        limits = tuple(definition.each_limit)
        by_row = any(limit.columns or limit.cost_column or limit.cost == "rows" for limit in limits)
        fixed = tuple(Place(at, "", limit.cost or 1) for at, limit in enumerate(limits))  # type: ignore[arg-type]
        return cls(limits, None if by_row else fixed)

    def places(self, rows: Sequence[Row]) -> Places:
        """The places of a request of these rows; a request of none is one of no value, and costs one unit."""
        if self.fixed is not None:
            return self.fixed
        return tuple(place for at, limit in enumerate(self.limits) for place in self._places(at, limit, rows))

    def _places(self, at: int, limit: Limit, rows: Sequence[Row]) -> Iterator[Place]:
        """One; of a request that was put together before its limit was one for each value: one of each value in it."""
        if not limit.columns or not rows:
            yield Place(at, "", self._cost(limit, rows))
            return
        by_value: dict[str, list[Row]] = {}
        for row in rows:
            by_value.setdefault(self._value(limit, row), []).append(row)
        for value, some in by_value.items():
            yield Place(at, value, self._cost(limit, some))

    def _cost(self, limit: Limit, rows: Sequence[Row]) -> int:
        if isinstance(limit.cost, int):
            return limit.cost
        if (column := limit.cost_column) is not None and rows:
            return sum(int(row.values[column]) for row in rows)
        return max(1, len(rows)) if limit.cost == "rows" else 1

    def _value(self, limit: Limit, row: Row) -> str:
        return value_name(COLUMN.sub(lambda found: f"{as_text(row.values[found[1]])}\0", limit.name))

    def too_dear(self, places: Places) -> str:
        """Why a request can never go, if it costs more than a window holds; else nothing."""
        for place in places:
            limit = self.limits[place.limit]
            most = min((number for number, _ in (*limit.pairs, *limit.calendar)), default=place.cost)
            if limit.units is not None and place.cost > most:
                return f"costs {place.cost:,} units, and the limit {limit.name!r} allows {most:,}"
        return ""

    def values(self, row: Row) -> tuple[str, ...]:
        """Under which values a row goes: rows of other values travel in other requests."""
        return tuple(self._value(limit, row) for limit in self.limits if limit.columns)

    def costs(self, row: Row) -> tuple[tuple[int, int], ...]:
        """(cost of a row, most that one request may cost) of each limit where a column says the cost."""
        return tuple(
            (int(row.values[limit.cost_column]), min(number for number, _ in (*limit.pairs, *limit.calendar)))
            for limit in self.limits
            if limit.cost_column is not None
        )
