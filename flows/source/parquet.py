"""Parquet, a batch of rows at a time, whatever the size of its row groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.origin import Origin
from flows.pipeline.file_form import FileForm
from flows.records import Reason
from flows.source.arrow_values import values_of
from flows.source.body import Body
from flows.source.content import Noticed
from flows.source.quoting import LONG_CELL, MAX_CELL, NUL, Batch
from flows.source.rawfile import RATIO_FROM
from flows.source.spelled_columns import Columns
from flows.source.spelling import canonical
from flows.source.table import SAMPLES, Named, Spelling

BATCH_ROWS, BATCH_BYTES = 8192, 8 << 20
PIECE_ROWS = 1024  # that become text at once: in the processor's cache
BUFFER = 1 << 18  # bytes of a column that are read at a time
MOST_COLUMNS = 10_000
RATIO = 2000  # as of other packed files: see flows.source.unpack

Way = tuple[int | str, ...]  # to a column: its index, and the names of the fields in it


class Parquet(Named):
    """A Parquet file as a flows.source.table.Table. A wanted name with points in it may be a path into structs.

    Raises FileError where it is damaged, encrypted, or unpacks without measure.
    """

    kind, encoding, delimiter, header_row, origin = "parquet", "", "", 0, Origin(kind="parquet")

    def __init__(self, body: Body, form: FileForm, wanted: Iterable[str], noticed: Noticed) -> None:
        self.form, self._refuse, self._most = form, body.refuse, body.max_bytes
        with self._damages():
            file = body.seekable()
            self._bytes = file.seek(0, 2)
            file.seek(0)
            self._file = pq.ParquetFile(file, buffer_size=BUFFER, pre_buffer=False)
            schema = self._file.schema_arrow
        self._refuse_measure(_unpacked(self._file.metadata))
        ways: list[tuple[str, Way]] = [(name, (at,)) for at, name in enumerate(schema.names)]
        known = set(schema.names)
        ways += [(name, way) for name in dict.fromkeys(wanted) if name not in known and (way := _way(schema, name))]
        if not ways:
            raise body.refuse("has no columns")
        if len(ways) > MOST_COLUMNS:
            raise body.refuse(f"has more than {MOST_COLUMNS:,} columns")
        self.names, self._ways = [name for name, _ in ways], [way for _, way in ways]
        first = next(self._parts(SAMPLES), None)
        columns = [values_of(_column(first, way)) for way in self._ways] if first is not None else []
        self.samples = [[canonical(value) for value in row] for row in zip(*columns, strict=True)]
        self._row_bytes = first.nbytes // SAMPLES if first is not None else 0

    def batches(self, spellings: Sequence[Spelling]) -> Iterator[Batch]:
        """The records. Raises FileError for what is damaged, or unpacks without measure."""
        columns, row, unpacked = Columns(self.names, spellings), 1, 0
        for part in self._parts(max(1, min(BATCH_ROWS, BATCH_BYTES // (self._row_bytes + 1)))):
            arrays = [_column(part, way) for way in self._ways]
            size = sum(map(_size, arrays))
            unpacked += size
            self._refuse_measure(unpacked)
            odd, most = _odd_texts(arrays), max(1, min(PIECE_ROWS, BATCH_BYTES * part.num_rows // (size + 1)))
            for at in range(0, part.num_rows, most):
                with self._damages():
                    texts, faults = columns.texts([array.slice(at, most) for array in arrays])
                for place in (each for each in odd if at <= each < at + most):
                    faults[place - at] = (odd[place], *faults.get(place - at, ()))
                count = len(texts[0])
                yield Batch(list(range(row, row + count)), [], faults, size * count // part.num_rows, texts)
                row += count

    def close(self) -> None:
        """Let go of the reader; the file itself is the body's."""
        self._file.close()

    def _parts(self, rows: int) -> Iterator[pa.RecordBatch]:
        with self._damages():
            parts = self._file.iter_batches(batch_size=rows, use_threads=False)
        while True:
            with self._damages():
                part = next(parts, None)
            if part is None:
                return
            yield part

    def _refuse_measure(self, unpacked: int) -> None:
        if unpacked > self._most:
            raise self._refuse(
                f"holds more than the {self._most:,} bytes that are allowed",
                hint="Split it, or raise ROWRELAY_MAX_UPLOAD_BYTES.",
            )
        if unpacked > RATIO_FROM and unpacked > RATIO * self._bytes:
            raise self._refuse(f"unpacks to more than {RATIO:,} times its size, which no file of rows does")

    @contextmanager
    def _damages(self) -> Iterator[None]:
        """What Arrow says of a file that it cannot read, in other words."""
        try:
            yield
        except (pa.ArrowException, OSError, ValueError, OverflowError, KeyError, MemoryError) as exc:
            said = " ".join(str(exc).split())[:200]
            if "ncrypt" in said or "decrypt" in said:
                raise self._refuse("is an encrypted Parquet file", hint="Write it without encryption.") from exc
            raise self._refuse(
                f"is a Parquet file that cannot be read: {said or 'it is damaged'}",
                hint="Write it anew, or save the rows as CSV (UTF-8).",
            ) from exc


def _unpacked(metadata: Any) -> int:
    """Bytes of all columns unpacked, as the file states them."""
    groups = (metadata.row_group(at) for at in range(metadata.num_row_groups))
    return sum(group.total_byte_size for group in groups)


def _way(schema: pa.Schema, name: str) -> Way | None:
    """Where a name with points leads: into the fields of a struct."""
    parts = name.split(".")
    for at, top in enumerate(schema.names):
        kind, rest = schema.field(at).type, parts[1:]
        way: Way = (at,)
        if top != parts[0] or not rest:
            continue
        for part in rest:
            if not pa.types.is_struct(kind) or kind.get_field_index(part) < 0:
                break
            kind, way = kind.field(part).type, (*way, part)
        else:
            return way
    return None


def _column(part: pa.RecordBatch, way: Way) -> pa.Array:
    first, *inner = way
    array = part.column(first)
    return pc.struct_field(array, inner) if inner else array


def _size(array: pa.Array) -> int:
    """Bytes of an array, with each value of a dictionary as often as it comes."""
    if not pa.types.is_dictionary(array.type) or not _is_text(array.dictionary):
        return int(array.nbytes)
    lengths = pc.take(pc.binary_length(array.dictionary), array.indices)
    return int(pc.sum(lengths).as_py() or 0) + int(array.indices.nbytes)


def _is_text(array: pa.Array) -> bool:
    return bool(pa.types.is_string(array.type) or pa.types.is_large_string(array.type))


def _odd_texts(arrays: Sequence[pa.Array]) -> dict[int, Reason]:
    """By position the records with a text that no cell may hold."""
    found: dict[int, Reason] = {}
    for array in arrays:
        if pa.types.is_dictionary(array.type):
            array = (
                array.dictionary_decode() if _is_text(array.dictionary) and _odd_texts([array.dictionary]) else array
            )
        if _is_text(array):
            long = pc.greater(pc.binary_length(array), MAX_CELL)
            for odd, fault in ((long, LONG_CELL), (pc.match_substring(array, "\0"), NUL)):
                if pc.any(odd).as_py():
                    found |= dict.fromkeys(pc.indices_nonzero(odd).to_pylist(), fault)
    return found
