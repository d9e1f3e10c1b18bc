"""Search and sort over what stands in a run's rows: DuckDB over the spool's tables and its rejected rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dashboard.rows.book import Rowbook
from dashboard.rows.cache import Cache
from dashboard.rows.question import Question
from flows.errors import FileError, RowrelayError
from flows.records import Rejection

_NUMBERS = ("int", "float", "decimal")
_SPAN = re.compile(r"\s*(\d{1,12})\s*(?:[-–]\s*(\d{1,12})\s*)?")
_BATCH = 5_000
Rows = NDArray[np.int64]


def find(book: Rowbook, question: Question) -> Rows:
    """The row numbers that fit the search, in the order asked for. Raises FileError where the spool is gone."""
    if question.search and question.column == "@row":
        return _numbered(question.search, book.run.total)
    key = (book.settings.spool_url, book.run.id, book.run.facts.rows_held, replace(question, states=(), reason=""))
    # What stands in a spool never changes, so neither does the answer.
    return _answered.get(key, lambda: _ask(_Scan(book), question))


class _Scan:
    """All rows of a run as text, in batches of Arrow: `r`, `l`, `rejected`, `c0` … in the definition's order."""

    def __init__(self, book: Rowbook) -> None:
        self.spool = book.spool
        self.places = book.places()
        self.names = book.definition.column_names
        self.kinds = {name: column.type for name, column in book.definition.columns.items()}
        self.failed: RowrelayError | None = None  # DuckDB passes on the text of an error and nothing else

    def reader(self, needed: list[str]) -> pa.RecordBatchReader:
        schema = pa.schema(
            [("r", pa.int64()), ("l", pa.int64()), ("rejected", pa.bool_())]
            + [(f"c{self.names.index(name)}", pa.string()) for name in needed]
        )
        return pa.RecordBatchReader.from_batches(schema, self._noting(self._batches(schema, needed)))

    def _noting(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        try:
            yield from batches
        except RowrelayError as exc:
            self.failed = exc
            raise

    def _batches(self, schema: pa.Schema, needed: list[str]) -> Iterator[pa.RecordBatch]:
        for table in self.spool.tables(needed):
            rows, lines, *cells = table.columns
            flags = pa.repeat(pa.scalar(False), table.num_rows)
            arrays = [rows, lines, flags, *(column.cast(pa.string()) for column in cells)]
            yield pa.RecordBatch.from_arrays([_flat(array) for array in arrays], schema=schema)
        yield from self._rejected(schema, needed)

    def _rejected(self, schema: pa.Schema, needed: list[str]) -> Iterator[pa.RecordBatch]:
        places = [self.places[name] for name in needed]
        rejections = self.spool.rejections()
        while batch := list(islice(rejections, _BATCH)):
            yield _as_batch(batch, places, schema)


def _as_batch(batch: list[Rejection], places: list[int | None], schema: pa.Schema) -> pa.RecordBatch:
    cells = [
        pa.array([None if at is None or at >= len(each.cells) else each.cells[at] for each in batch], pa.string())
        for at in places
    ]
    rows, lines = pa.array([each.row for each in batch]), pa.array([each.line for each in batch])
    return pa.RecordBatch.from_arrays([rows, lines, pa.repeat(pa.scalar(True), len(batch)), *cells], schema=schema)


def _flat(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(array, pa.ChunkedArray):
        return array.combine_chunks() if array.num_chunks != 1 else array.chunk(0)
    return array


_answered: Cache[Rows] = Cache(8)


def _ask(scan: _Scan, question: Question) -> Rows:
    import duckdb  # 13 MB that a dashboard in which nobody searches can do without

    searched = list(scan.names) if not question.column else [question.column] if question.column in scan.names else []
    sorted_by = [question.sort] if question.sort in scan.names else []
    needed = list(dict.fromkeys((searched if question.search else []) + sorted_by))
    at = {name: f"c{scan.names.index(name)}" for name in needed}
    where, values = _where(question, [at[name] for name in searched] if question.search else [])
    order = "r"
    if sorted_by:
        column = at[question.sort]
        value = f"TRY_CAST({column} AS DOUBLE)" if scan.kinds.get(question.sort) in _NUMBERS else column
        order = f"rejected, {value} {'DESC' if question.descending else 'ASC'} NULLS LAST, r"
    rows = scan.reader(needed)
    with duckdb.connect(config={"threads": 2, "memory_limit": "400MB"}) as connection:
        connection.register("rows", rows)
        # The names of columns are our own (c0, c1 …); what people typed goes in as values.
        try:
            found = connection.execute(f"SELECT r FROM rows WHERE {where} ORDER BY {order}", values).fetchnumpy()  # noqa: S608
        except duckdb.Error as exc:
            raise scan.failed or FileError(f"the rows of this run could not be searched: {str(exc)[:200]}") from exc
    return np.asarray(found["r"], dtype=np.int64)


def _where(question: Question, columns: list[str]) -> tuple[str, list[object]]:
    if not question.search:
        return "true", []
    if question.column == "@line":
        first, last = _span(question.search)
        return "l BETWEEN ? AND ?", [first, last]
    if not columns:
        return "false", []
    return " OR ".join(f"contains(lower({column}), ?)" for column in columns), [question.search.lower()] * len(columns)


def _numbered(text: str, total: int) -> Rows:
    first, last = _span(text)
    return np.arange(max(1, first), min(total, last) + 1, dtype=np.int64)


def _span(text: str) -> tuple[int, int]:
    """`17` or `17-20`; nothing at all where it is neither."""
    match = _SPAN.fullmatch(text)
    if not match:
        return 1, 0
    return int(match[1]), int(match[2] or match[1])
