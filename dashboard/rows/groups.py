"""Rows that were not done, by what is wrong with them: how many share a column, a reason and a value.

Exact numbers by DuckDB, over what the spool has of rejected rows and the ledger of failed and unknown ones: in flat
memory, however many there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dashboard.rows.book import Rowbook
from dashboard.rows.cache import Cache
from flows.errors import FileError, RowrelayError
from flows.ledger import reasons
from flows.records import Reason, Rejection, RowState

State = Literal["rejected", "failed", "unknown"]
STATES: tuple[State, ...] = ("rejected", "failed", "unknown")
MOST_READ = 200_000  # failed or unknown rows whose reasons are read
LONGEST = 1000  # characters of a value; a longer one is cut
_BATCH = 5_000
_SCHEMA = pa.schema(
    [
        ("r", pa.int64()),
        ("l", pa.int64()),
        ("c", pa.string()),
        ("k", pa.string()),
        ("v", pa.string()),
        ("cut", pa.bool_()),
        ("why", pa.string()),
        ("status", pa.int64()),
    ]
)
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that share what is wrong with them. `reason` is all of it in words, by which rows can be filtered.

    `column` and `value` only of rejected rows: the cell that was refused, as it stands in the file; `cut`: not all of
    it. `status` only of the others: what the API answered. `first`: the first row; `place`: where its cell stands, of
    a rejected one.
    """

    state: State
    column: str
    check: str
    value: str
    cut: bool
    reason: str
    status: int | None
    rows: int
    first: int
    place: str = ""

    @property
    def by_value(self) -> bool:
        """Whether one change by value mends all of it."""
        return self.state == "rejected" and bool(self.column) and not self.cut


@dataclass(frozen=True, slots=True)
class Groups:
    """Some groups, the largest first, and how many there are. `note`: where not all rows were looked at."""

    items: list[Group]
    matching: int
    note: str = ""


def groups(book: Rowbook, state: State, *, skip: int = 0, limit: int = 100) -> Groups:
    """The groups of rows in a state. Raises StackError, FileError."""
    key = (book.settings.spool_url, book.run.id, book.run.facts.rows_held, book.run.facts.epoch, state, skip, limit)
    return _grouped.get((*key, tuple(book.run.counts.values())), lambda: _ask(book, state, skip, limit))


def with_reason(book: Rowbook, reason: str, states: Sequence[str]) -> Rows:
    """The numbers of rows in these states (none: any) with this reason, ascending. Raises StackError, FileError."""
    key = (book.settings.spool_url, book.run.id, book.run.facts.rows_held, book.run.facts.epoch, reason, tuple(states))
    return _found.get((*key, tuple(book.run.counts.values())), lambda: _with_reason(book, reason, states))


_grouped: Cache[Groups] = Cache(16)
_found: Cache[Rows] = Cache(8)


def _with_reason(book: Rowbook, reason: str, states: Sequence[str]) -> Rows:
    found: list[int] = []
    if not states or {"rejected", "wrong", "skipped"} & set(states):
        found += [row.row for row in book.spool.rejections() if any(str(why) == reason for why in row.reasons)]
    wanted = [state for state in (RowState.FAILED, RowState.UNKNOWN) if not states or state in states]
    sent = reasons.with_reason(book.view, book.run, wanted, reason, MOST_READ)
    return np.sort(np.concatenate([np.array(found, dtype=np.int64), sent]))


def _ask(book: Rowbook, state: State, skip: int, limit: int) -> Groups:
    import duckdb  # 13 MB that a dashboard in which nobody asks can do without

    failed: list[RowrelayError] = []  # DuckDB passes on the text of an error and nothing else

    def noting(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        try:
            yield from batches
        except RowrelayError as exc:
            failed.append(exc)
            raise

    batches = _rejected(book) if state == "rejected" else _sent(book, RowState(state))
    rows = pa.RecordBatchReader.from_batches(_SCHEMA, noting(batches))
    with duckdb.connect(config={"threads": 2, "memory_limit": "400MB"}) as connection:
        connection.register("rows", rows)
        query = (
            "SELECT c, k, v, cut, min(why), status, count(*) n, min(r) first, arg_min(l, r), "
            "count(*) OVER () FROM rows "
            "GROUP BY c, k, v, cut, status ORDER BY n DESC, first LIMIT ? OFFSET ?"
        )
        try:
            found = connection.execute(query, [limit, skip]).fetchall()
        except duckdb.Error as exc:
            raise (failed or [FileError(f"the rows of this run could not be grouped: {str(exc)[:200]}")])[0] from exc
    many = book.run.counts[RowState(state)]
    note = f"Of the first {MOST_READ:,} of {many:,} rows." if state != "rejected" and many > MOST_READ else ""
    place = book.cell_places() if state == "rejected" else None
    made = [replace(Group(state, *each[:8]), place=place(each[8], each[0]) if place else "") for each in found]
    return Groups(made, found[0][9] if found else 0, note)


def _rejected(book: Rowbook) -> Iterator[pa.RecordBatch]:
    places = book.places()
    rejections = (each for each in book.spool.rejections() if not each.skipped)
    while batch := list(islice(rejections, _BATCH)):
        yield _batch([each for row in batch for each in _cells(row, places)])


_Line = tuple[int, int, str, str, str, bool, str, int | None]


def _cells(row: Rejection, places: Mapping[str, int | None]) -> Iterator[_Line]:
    """What is wrong with a row, cell by cell; one that a person skipped is wrong no more."""
    for why in row.reasons[:1] if row.skipped_by_hand else row.reasons:
        value = _value(row, why, places)
        cut = len(value) > LONGEST
        yield row.row, row.line, why.column, why.check, value[:LONGEST], cut, str(why), None


def _value(row: Rejection, why: Reason, places: Mapping[str, int | None]) -> str:
    """The whole cell: what a reason has of it is cut."""
    at = places.get(why.column)
    return row.cells[at] if at is not None and at < len(row.cells) else why.value


def _sent(book: Rowbook, state: RowState) -> Iterator[pa.RecordBatch]:
    for some in reasons.records_of(book.view, book.run, state, MOST_READ):
        whys = [(each, reasons.reason_of(each)) for each in some]
        yield _batch([(each.row, 0, "", why, "", False, why, each.status) for each, why in whys])


def _batch(lines: list[_Line]) -> pa.RecordBatch:
    columns = list(zip(*lines, strict=True)) or [()] * len(_SCHEMA)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)
