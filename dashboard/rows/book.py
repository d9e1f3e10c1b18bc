"""A hundred of a run's rows at a time, filtered, searched, sorted: the cost is that of the page, not of the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dashboard.rows.question import Found
from flows.errors import FileError
from flows.ledger.keys import Record
from flows.ledger.parcels import Place, places
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.pipeline.definition import Definition
from flows.records import Rejection, Row, RowState
from flows.settings import Settings
from flows.source.header import Called, match
from flows.spool.ordinals import Ordinals
from flows.spool.spool import Spool

Rows = NDArray[np.int64]


@dataclass(slots=True)
class Rowbook:
    """The rows of one run, spool and ledger side by side. Safe to share between threads."""

    view: View
    run: Run
    definition: Definition
    settings: Settings
    _rejected: Rows | None = field(default=None, repr=False)

    @property
    def spool(self) -> Spool:
        """The run's spool, kept open between pages."""
        return _spool(self.settings.spool_url, self.run.id, self.run.facts.spool, self.run.facts.mended)

    def rows(self, numbers: list[int]) -> list[Found]:
        """These rows, in this order."""
        names = self.definition.kept
        records = self.view.records(self.run.id, numbers, names=names, created=self.run.created)
        rejected = [record.row for record in records if record.state is RowState.REJECTED]
        accepted = [record.row for record in records if record.state is not RowState.REJECTED]
        known: dict[int, Row | Rejection] = {**self._accepted(accepted), **self._rejections(rejected)}
        where = places(self.view, self.run.id, records) if self.definition.batch is not None else {}
        return [self._found(record, known.get(record.row), where.get(record.row)) for record in records]

    def travelled_with(self, number: int) -> list[int]:
        """The numbers of the rows that last went in one request with this one, itself included, in their order."""
        return self.view.parcel(self.run.id, number) if self.definition.batch is not None else [number]

    def parcel(self, number: int) -> list[Row]:
        """The same with what stands in them; empty where rows do not travel together."""
        if self.definition.batch is None:
            return []
        numbers = self.travelled_with(number)
        known = self._accepted(numbers)
        return [known[each] for each in numbers if each in known]

    def places(self) -> dict[str, int | None]:
        """Where each column of the definition stands in the file, and so among a rejected row's cells."""
        header, columns = self.spool.manifest().header, self.definition.column_names
        called = Called.of(self.definition, self.run.facts.asked_map)
        return match(list(header), dict.fromkeys(columns, True), ",", FileError, called).positions

    def cell_places(self) -> Callable[[int, str], str]:
        """What says where a cell of a column of the definition stands; "" as column: where the row does."""
        return self.run.facts.places.placing(self.names_in_file(), self.spool.manifest().header)

    def names_in_file(self) -> dict[str, str]:
        """What the file calls the definition's columns, as far as it has them: a rejected row goes by these names."""
        header = self.spool.manifest().header
        return {name: header[at] for name, at in self.places().items() if at is not None}

    @property
    def rejected(self) -> Rows:
        """The numbers of the rejected rows: they change only while a person mends them, and the run is another then."""
        if self._rejected is None:
            if self.run.counts[RowState.REJECTED] == 0:
                self._rejected = np.zeros(0, dtype=np.int64)
            else:
                bitmap = self.view.bitmap(self.run.id, RowState.REJECTED, self.run.total)
                self._rejected = np.flatnonzero(bitmap) + 1
        return self._rejected

    def _accepted(self, numbers: list[int]) -> dict[int, Row]:
        if not numbers:
            return {}
        return {row.row: row for row in Ordinals(self.rejected).read(self.spool, numbers)}

    def _rejections(self, numbers: list[int]) -> dict[int, Rejection]:
        if not numbers:
            return {}
        ordinals = np.searchsorted(self.rejected, np.array(numbers, dtype=np.int64))
        return {each.row: each for each in self.spool.rejections_at(ordinals.tolist())}

    def _found(self, record: Record, row: Row | Rejection | None, place: Place | None) -> Found:
        if isinstance(row, Rejection):
            header = self.spool.manifest().header
            values = dict(zip(header, row.cells, strict=False))
            stands = self.run.facts.places.place(row.line)
            return Found(record, row.line, values, row.reasons, changed=row.changed or {}, stands=stands)
        changed = (row.changed if row else None) or {}
        line = row.line if row else 0
        stands = self.run.facts.places.place(line) if line else ""
        values = row.values if row else {}
        return Found(record, line, values, changed=changed, stands=stands, place=place)


@lru_cache(maxsize=8)
def _spool(url: str, run: str, digest: str, mended: str) -> Spool:
    del digest  # a spool that was written anew is another one
    return Spool(url, run, mended)
