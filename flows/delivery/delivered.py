"""Which rows of a file were delivered before: their keys against those of the pipeline's earlier runs.

The keys of all rows that are done or unknown go into an index on disk, so memory is flat whatever was sent before. It
knows what the ledger and the spools still know: rows of a deleted run are forgotten, and those of a run whose spool
is gone, or had no such columns, cannot be told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from flows.delivery.undone import undone
from flows.errors import DefinitionError, FileError, RowrelayError
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.pipeline.definition import Definition
from flows.records import Reason, Row, RowState, delivered_before
from flows.schema.key import joined, text_of
from flows.scratch_index import ScratchIndex
from flows.spool.spool import Spool

if TYPE_CHECKING:  # the dashboard imports this module, and never pandera (20 MB)
    from flows.delivery.check import CheckResult

CACHE_KIB = 32 * 1024
SHORT = 8  # characters of a run's id
SHOWN = 3  # runs named
_AT_ONCE = 500  # runs read, and keys asked for, in one go


@dataclass(frozen=True, slots=True)
class Earlier:
    """A row of an earlier run with the same key. `sure`: it is done; otherwise its answer was lost."""

    run: str
    row: int
    sure: bool

    @property
    def why(self) -> Reason:
        """The reason to leave it out."""
        return delivered_before(f"as row {self.row} of run {self.run}" if self.run else "")


class DeliveredIndex(ScratchIndex):
    """The keys of rows that were sent before, in a scratch file of `folder`.

    `unread` names the runs whose rows could not be looked at, with the reason.
    """

    def __init__(self, folder: Path, key: Sequence[str]) -> None:
        table = "sent(key BLOB PRIMARY KEY, run, row INTEGER, sure INTEGER)"
        super().__init__(folder / "delivered.sqlite", "delivered rows", table, cache_kib=CACHE_KIB)
        self.key = tuple(key)
        self.unread: dict[str, str] = {}
        self._runs: list[str] = []

    def take(self, view: View, spool_url: str, pipeline: str, *, but: str = "") -> None:
        """Note the rows that runs of a pipeline (except `but`) have sent; of equal keys the newest counts.

        Raises StackError if the ledger does not answer, StorageError if the index cannot be kept.
        """
        for run in _runs(view, pipeline, but):
            done = view.bitmap(run.id, RowState.DONE, run.total)
            unknown = view.bitmap(run.id, RowState.UNKNOWN, run.total)
            try:
                if run.facts.undone_by:  # what was taken back may be delivered again
                    done &= ~undone(view, spool_url, run)
                for rows in Spool(spool_url, run.id, run.facts.mended).walk(self.key):
                    self._add(run.id, rows, done, unknown)
            except FileError as exc:
                self.unread[run.id] = exc.message

    def _add(self, run: str, rows: list[Row], done: npt.NDArray[np.bool_], unknown: npt.NDArray[np.bool_]) -> None:
        if not self._runs or self._runs[-1] != run:
            self._runs.append(run)
        at = len(self._runs) - 1
        sent = [row for row in rows if done[row.row - 1] or unknown[row.row - 1]]
        keys = ((self._key_of(row), at, row.row, int(done[row.row - 1])) for row in sent)
        # In order of the keys, since neighbours in the file are then written together.
        values = sorted(value for value in keys if value[0] is not None)
        self.write(
            "INSERT INTO sent VALUES (?, ?, ?, ?) ON CONFLICT(key) DO UPDATE SET run = excluded.run,"
            " row = excluded.row, sure = excluded.sure WHERE excluded.sure > sure",
            values,
        )

    def find(self, rows: Sequence[Row]) -> dict[int, Earlier]:
        """For each position whose key was sent before: as which row of which run."""
        if not self._runs:
            return {}
        keys = [self._key_of(row) for row in rows]
        asked = [key for key in keys if key is not None]
        known: dict[bytes | None, Earlier] = {}
        for first in range(0, len(asked), _AT_ONCE):
            some = asked[first : first + _AT_ONCE]
            marks = ", ".join("?" * len(some))
            query = f"SELECT key, run, row, sure FROM sent WHERE key IN ({marks})"  # noqa: S608  only marks
            for key, run, row, sure in self.ask(query, some):
                known[key] = Earlier(self._runs[run], row, bool(sure))
        return {at: known[key] for at, key in enumerate(keys) if key in known}

    @property
    def empty(self) -> bool:
        """Whether nothing was sent before, as far as is known."""
        return not self._runs

    def _key_of(self, row: Row) -> bytes | None:
        text = joined([text_of(row.values[name]) for name in self.key])
        return None if text is None else hashlib.blake2b(text.encode(), digest_size=16).digest()


class SkippedThen:
    """Finds the rows that a run left out as delivered when it was checked, for checking its file once more.

    `rejected` says which rows the run rejected: good ones among them were left out.
    """

    key: tuple[str, ...] = ()
    empty = False

    def __init__(self, rejected: npt.NDArray[np.bool_]) -> None:
        self._rejected = rejected

    def find(self, rows: Sequence[Row]) -> dict[int, Earlier]:
        """The positions of those rows."""
        most = len(self._rejected)
        return {at: _LEFT_OUT for at, row in enumerate(rows) if row.row <= most and self._rejected[row.row - 1]}


_LEFT_OUT = Earlier("", 0, True)


def told(result: CheckResult, unread: Mapping[str, str]) -> Iterator[str]:
    """What a check found of rows that were sent before, in words."""
    if count := sum(result.delivered.values()):
        which = ", ".join(f"{run[:SHORT]}: {rows:,}" for run, rows in list(result.delivered.items())[:SHOWN])
        more = f", and {len(result.delivered) - SHOWN} more" if len(result.delivered) > SHOWN else ""
        rows, they = ("1 row was", "It is") if count == 1 else (f"{count:,} rows were", "They are")
        again = "`--skip-delivered`, or `skip_delivered` in Prefect's form, leaves out what was delivered."
        fate = f"{they} left out." if result.skipped else f"{they} sent again: {again}"
        yield f"{rows} delivered before (run {which}{more}). {fate}"
    if result.unsure:
        yield (
            f"{result.unsure:,} more rows were sent before without an answer, so the API may have acted on them; they"
            " are not left out. Where it has, call them done in that run first (rowrelay mark-done)."
        )
    for run, why in unread.items():
        yield f"Whether run {run[:SHORT]} delivered some of the rows cannot be told: {why}."


def refuse_skipping(definition: Definition, known: Run | None, *, wished: bool) -> None:
    """Raises RowrelayError where the wish to leave out delivered rows cannot be granted. `known`: a resumed run."""
    if not wished:
        return
    if not definition.key:
        raise DefinitionError(
            f"Pipeline {definition.name} has no `key`, so nobody can tell which rows were delivered before.",
            hint="Name the columns that say which row is which in its definition, e.g. key: [id].",
        )
    if known is not None and known.total and not known.facts.skip_delivered:
        raise RowrelayError(
            f"Run {known.id} was checked without leaving out delivered rows.", hint="Send its file as a new run."
        )


def _runs(view: View, pipeline: str, but: str) -> Iterator[Run]:
    """The runs of a pipeline that sent anything, newest first."""
    for first in range(0, view.count(), _AT_ONCE):
        for run in view.runs(first, _AT_ONCE):
            sent = run.counts[RowState.DONE] + run.counts[RowState.UNKNOWN]
            if run.pipeline == pipeline and run.id != but and sent and not run.facts.undoes:
                yield run
