"""Which places the request of a parcel takes under the limits, and which rows may share one."""

from __future__ import annotations

from collections.abc import Sequence
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
        return tuple(self._place(at, limit, rows) for at, limit in enumerate(self.limits))

    def _place(self, at: int, limit: Limit, rows: Sequence[Row]) -> Place:
        cost = limit.cost if isinstance(limit.cost, int) else 1
        if (column := limit.cost_column) is not None and rows:
            cost = sum(int(row.values[column]) for row in rows)
        elif limit.cost == "rows":
            cost = max(1, len(rows))
        return Place(at, self._value(limit, rows[0]) if limit.columns and rows else "", cost)

    def _value(self, limit: Limit, row: Row) -> str:
        return value_name(COLUMN.sub(lambda found: f"{as_text(row.values[found[1]])}\0", limit.name))

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
