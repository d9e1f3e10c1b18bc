"""Rows that may be sent again only as the parcel in which they went, put together as they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from flows.ledger.connection import translated
from flows.ledger.view import View
from flows.records import Row
from flows.spool.ordinals import Ordinals
from flows.spool.spool import Spool


@dataclass(slots=True)
class Grouped:
    """Rows as they are to travel. `elsewhere`: so many are sent with a row that another slice has, or not at all."""

    loose: list[Row] = field(default_factory=list)
    parcels: list[list[Row]] = field(default_factory=list)
    elsewhere: int = 0


class Regrouping:
    """Of one run. A parcel is whoever's has its first row."""

    def __init__(self, run: str, view: View, spool: Spool) -> None:
        self._run, self._view, self._spool = run, view, spool
        self._ordinals: Ordinals | None = None

    @translated()
    def of(self, rows: Sequence[Row], *, resends: bool) -> Grouped:
        """How these rows are to travel. Those that `resends` may only go as they went. Raises StackError."""
        run = self._view.run(self._run)
        if not (resends or run.facts.requests):  # only who was asked for again can be in doubt
            return Grouped(list(rows))
        known = {row.row: row for row in rows}
        parcels = self._view.doubtful_parcels(self._run, list(known))
        grouped = Grouped()
        for row in rows:
            parcel = parcels.get(row.row)
            if parcel is None and not resends:
                grouped.loose.append(row)
            elif parcel is None or parcel[0] != row.row:
                grouped.elsewhere += 1
            else:
                grouped.parcels.append([known.get(each) or self._read(each) for each in parcel])
                grouped.elsewhere -= sum(each not in known for each in parcel)
        return grouped

    def _read(self, row: int) -> Row:
        if self._ordinals is None:
            self._ordinals = Ordinals(self._view.rejected(self._run))
        return self._ordinals.read(self._spool, [row])[0]
