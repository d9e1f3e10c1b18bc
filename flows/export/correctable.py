"""The troubled rows as a file, ready to be corrected and sent.

It gives back the file's own rows, guarded against what spreadsheets do to numbers and dates; the name of its first
column tells the source that its cells have to be restored, so a corrected file can be uploaded as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.export.layout import Layout, free, positions_of
from flows.export.pairs import pairs
from flows.ledger.keys import Record
from flows.ledger.reasons import reason_of
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.pipeline.reader import writer
from flows.pipeline.reading import from_resolved
from flows.records import Rejection, Row, RowState
from flows.sheet import REASON, Table, for_spreadsheets, guarded, neutral
from flows.spool.ordinals import Ordinals
from flows.spool.spool import Spool

TROUBLED = (RowState.REJECTED, RowState.FAILED)


def troubled_csv(
    view: View, spool: Spool, run: Run, *, states: Collection[RowState] = TROUBLED, reason: str = ""
) -> Iterator[bytes]:
    """The rows in `states` as a file of their own: the reason, then the original columns, in the definition's encoding.

    With a `reason` only those that have it.
    Good rows that were left out, since they were delivered before, are not among them: there is nothing to mend.
    Rejected rows are as they stood in the file, ragged ones too. Of the others the columns of the definition are
    there, as their values are written, and those that the pipeline has no use for as they stood. The reason comes
    first, where it is seen and where a ragged row cannot push it aside; when the file is uploaded again it is passed
    over, and what was neutralised here is restored.
    """
    if not run.total:
        return
    definition = from_resolved(view.definition(run.id))
    layout, header = Layout.of(definition, run.facts.delimiter), spool.manifest().header
    form = Correctable.of(header, layout.columns)
    table = Table(layout.delimiter, for_spreadsheets(definition.source.encoding))
    writers = {name: writer(definition.columns.get(name)) for name in layout.columns}
    used = {at: (name, writers[name]) for name, at in positions_of(layout, header, run) if at is not None}
    ordinals, places = Ordinals(view.rejected(run.id)), run.facts.places
    yield table.lines([form.header])
    for some in pairs(view, spool, run, layout, states):
        batch = [pair for pair in some if not reason or _has(reason, *pair)]
        accepted = [record.row for record, row in batch if isinstance(row, Row)]
        unused = spool.unused(ordinals.of(accepted).tolist())
        yield table.lines(
            form.line(*_original(record, row, used, len(header), next(unused)))
            if isinstance(row, Row)
            else form.line(places.told(row.line) + row.why, row.cells)
            for record, row in batch
            if isinstance(row, Row) or not row.skipped
        )


def _has(reason: str, record: Record, row: Row | Rejection) -> bool:
    return reason_of(record) == reason if isinstance(row, Row) else any(str(why) == reason for why in row.reasons)


def _original(
    record: Record, row: Row, used: Mapping[int, tuple[str, Callable[[Any], str]]], width: int, unused: Iterable[str]
) -> tuple[str, Sequence[str]]:
    """(reason, cells in the file's order). `used`: by place in the file a column of the definition, and its writer."""
    left = iter(unused)
    cells = [own[1](row.values[own[0]]) if (own := used.get(at)) is not None else next(left, "") for at in range(width)]
    status = f"HTTP {record.status}" if record.status is not None else ""
    return record.reason or status or record.state, cells


@dataclass(frozen=True, slots=True)
class Correctable:
    """A file of rows to be corrected: a reason in front of the columns of the file that they came from."""

    header: tuple[str, ...]
    _old: frozenset[int]  # where a file that came from here has its reasons

    @classmethod
    def of(cls, header: Sequence[str], columns: Sequence[str]) -> Correctable:
        """For rows of a file with this header, of a pipeline with these columns."""
        own = free(REASON, set(columns))
        old = frozenset(at for at, name in enumerate(header) if name == own)
        return cls((own, *(neutral(name) for at, name in enumerate(header) if at not in old)), old)

    def line(self, reason: str, cells: Sequence[str]) -> list[str]:
        """One row of it."""
        return [neutral(reason), *(guarded(cell) for at, cell in enumerate(cells) if at not in self._old)]
