"""Reading the accepted rows of a spool: those that the check accepted, and the mended ones that lie over them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from operator import attrgetter

import pyarrow as pa

from flows.errors import FileError
from flows.records import Row
from flows.spool.mended import NO_OVERLAY, Overlay, merged
from flows.spool.parts import Parts
from flows.spool.stored import LINE, ROW, to_rows
from flows.spool.writer import Manifest, Part


class AcceptedRows:
    """The accepted rows of a finished spool, as its manifest names the parts of them. Raises SpoolDamaged."""

    def __init__(self, parts: Parts, manifest: Manifest) -> None:
        self.manifest = manifest
        self.overlay = Overlay.read(parts.data(manifest.places)) if manifest.places else NO_OVERLAY
        self._parts = parts
        self._all = (*manifest.parts, *manifest.mended)
        self._starts = list(accumulate((part.rows for part in self._all), initial=0))

    def read(self, start: int, stop: int) -> list[Row]:
        """The rows `[start, stop)`, counted from 0 in the file's order; fewer at the end. For one thread at a time."""
        stop = min(stop, self.manifest.rows)
        checked, mended = self.overlay.split(start, stop) if len(self.overlay) else ((start, stop), (0, 0))
        rows = self._read(0, *checked)
        if mended[0] < mended[1]:
            behind = len(self.manifest.parts)
            rows = sorted([*rows, *self._read(behind, *mended)], key=attrgetter("row"))
        return rows

    def _read(self, first: int, start: int, stop: int) -> list[Row]:
        """Rows `[start, stop)` of the parts from `first` on, without those that come before it."""
        rows: list[Row] = []
        while start < stop:
            at, offset = self._find(first, start)
            part = self._all[at]
            count = min(stop - start, part.rows - offset)
            rows += to_rows(self._parts.table(part).slice(offset, count))
            start += count
        return rows

    def _find(self, first: int, ordinal: int) -> tuple[int, int]:
        """(which part, which of its rows) holds a row, counted from the part `first` on."""
        ordinal += self._starts[first]
        at = bisect_right(self._starts, ordinal) - 1
        return at, ordinal - self._starts[at]

    def unused(self, ordinals: Sequence[int]) -> Iterator[Sequence[str]]:
        """Of rows, by their ascending ordinals, the cells that the pipeline has no use for; () if unknown."""
        for ordinal in ordinals:
            checked, mended = self.overlay.split(ordinal, ordinal + 1)
            is_mended = mended[0] < mended[1]
            first, place = (len(self.manifest.parts), mended[0]) if is_mended else (0, checked[0])
            at, offset = self._find(first, place)
            cells = self._parts.unused(self._all[at])
            yield () if cells is None else cells[offset].as_py()

    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """All rows, a part at a time: their ordinals, their lines, then these columns as they are stored."""
        checked, mended = (self._tables(parts, columns) for parts in (self.manifest.parts, self.manifest.mended))
        yield from merged(checked, mended) if self.manifest.mended else checked

    def _tables(self, parts: Sequence[Part], columns: Sequence[str]) -> Iterator[pa.Table]:
        wanted = [ROW, LINE, *columns]
        for part in parts:
            stored = self._parts.opened(part)
            if missing := [name for name in wanted if name not in stored.schema_arrow.names]:
                raise FileError(f"its rows have no column {missing[0]!r}", file=self._parts.folder)
            yield stored.read(columns=wanted, use_threads=False).select(wanted)

    def mended(self) -> Iterator[pa.Table]:
        """The mended ones alone, as tables with all that is stored of them."""
        return (self._parts.opened(part).read(use_threads=False) for part in self.manifest.mended)
