"""A run's accepted rows as Parquet parts in storage, and its rejected rows beside them.

A folder a run: parts and rejections under names that no other writer uses, then `manifest.json` with their digests,
which makes them count. On a local disk every file is synced before, so a crash leaves either the whole or nothing that
counts.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import accumulate

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from flows.errors import FileError, SpoolGone
from flows.records import Rejection, Row
from flows.spool.parts import Parts, damaged
from flows.spool.rejected import RejectedRows
from flows.spool.stored import LINE, ROW, to_rows
from flows.spool.writer import MANIFEST, VERSION, Manifest, Writer
from flows.storage.storage import filesystem, lies_there, reached


class Spool:
    """The spool of one run below `url` (a path or an fsspec URL). Reading is safe from many threads at once.

    Writing is for one thread: `write` and `reject` in any order, then `finish`, or `abandon`. A spool that is written
    again replaces the one before it only when it is finished.
    """

    def __init__(self, url: str, run: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", run):
            raise ValueError(f"{run!r} cannot be the name of a spool")
        self._fs, root = filesystem(url)
        self._folder = f"{root}/{run}"
        self._writer: Writer | None = None
        self._manifest: Manifest | None = None
        self._starts: list[int] = []
        self._parts = Parts(self._fs, self._folder)
        self._rejections: RejectedRows | None = None
        self._lock = threading.Lock()

    @property
    def folder(self) -> str:
        """Where it lies, for messages."""
        return self._folder

    def write(
        self,
        values: pd.DataFrame,
        rows: npt.NDArray[np.int64],
        lines: npt.NDArray[np.int64],
        unused: Sequence[Sequence[str]] | None = None,
    ) -> None:
        """Append accepted rows, as one part: a typed frame, the rows' ordinals and their lines in the file.

        `unused`: of each row the cells that no column of the frame stands for, in the file's order, to be given back.
        """
        self._writing().write(values, rows, lines, unused)

    def reject(self, rejections: Sequence[Rejection]) -> None:
        """Append rejected rows."""
        self._writing().reject(rejections)

    def finish(self, header: Sequence[str]) -> Manifest:
        """Make all that was written count. `header`: the file's own column names."""
        manifest = self._writing().finish(header)
        with self._lock:
            self._writer = None
            self._take(manifest)
        return manifest

    def abandon(self) -> None:
        """Remove what was written since the last `finish`."""
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None

    def close(self) -> None:
        """Let go of the thread that reads. Nothing can be read any more."""
        self._parts.close()

    def exists(self) -> bool:
        """Whether there is a finished spool."""
        with reached(self._folder):
            return lies_there(self._fs, f"{self._folder}/{MANIFEST}")

    def manifest(self) -> Manifest:
        """What the spool holds. Raises SpoolGone where it is not there, SpoolDamaged where it is not readable."""
        with self._lock:
            return self._known()

    def read(self, start: int, stop: int) -> list[Row]:
        """The accepted rows `[start, stop)`, counted from 0 in the file's order; fewer at the end.

        Raises FileError if the spool is gone or its content is not what was written.
        """
        rows: list[Row] = []
        with self._lock:
            manifest = self._known()
            stop = min(stop, manifest.rows)
            while start < stop:
                at = bisect_right(self._starts, start) - 1
                offset = start - self._starts[at]
                count = min(stop - start, manifest.parts[at].rows - offset)
                rows += to_rows(self._parts.table(manifest.parts[at]).slice(offset, count))
                start += count
        return rows

    def unused(self, ordinals: Sequence[int]) -> Iterator[Sequence[str]]:
        """Of accepted rows, by their ascending ordinals, the cells that the pipeline has no use for; () if unknown."""
        manifest = self.manifest()
        for ordinal in ordinals:
            at = bisect_right(self._starts, ordinal) - 1
            cells = self._parts.unused(manifest.parts[at])
            yield () if cells is None else cells[ordinal - self._starts[at]].as_py()

    def walk(self, columns: Sequence[str]) -> Iterator[list[Row]]:
        """All accepted rows in the file's order, with these columns alone, a part at a time.

        Raises FileError if the spool is gone, damaged, or has no such column.
        """
        for table in self.tables(columns):
            yield to_rows(table)

    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """What `walk` gives as tables: the rows' ordinals, their lines, then these columns as they are stored."""
        wanted = [ROW, LINE, *columns]
        for part in self.manifest().parts:
            stored = self._parts.opened(part)
            if missing := [name for name in wanted if name not in stored.schema_arrow.names]:
                raise FileError(f"its rows have no column {missing[0]!r}", file=self._folder)
            yield stored.read(columns=wanted, use_threads=False).select(wanted)

    def rejections(self) -> Iterator[Rejection]:
        """The rejected rows in the file's order, streamed."""
        return self._rejected(self.manifest()).walk()

    def rejections_at(self, ordinals: Sequence[int]) -> list[Rejection]:
        """Rejected rows by their ordinals among the rejected, counted from 0, without reading all those before them."""
        return self._rejected(self.manifest()).at(ordinals)

    def delete(self) -> None:
        """Remove the spool, finished or not; no error if there is none."""
        self.abandon()
        with self._lock:
            self._manifest = None
            self._parts.forget()
        with suppress(FileNotFoundError), reached(self._folder, "cannot be removed"):
            self._fs.rm(self._folder, recursive=True)

    def _writing(self) -> Writer:
        if self._writer is None:
            self._writer = Writer(self._fs, self._folder)
        return self._writer

    def _known(self) -> Manifest:
        if self._manifest is None:
            try:
                with reached(self._folder):
                    written = self._fs.cat_file(f"{self._folder}/{MANIFEST}")
                self._take(msgspec.json.decode(written, type=Manifest))
            except FileNotFoundError as exc:
                raise SpoolGone("the spool of this run is gone", file=self._folder) from exc
            except msgspec.DecodeError as exc:
                raise damaged(self._folder, MANIFEST, exc) from exc
        assert self._manifest is not None
        if self._manifest.version != VERSION:
            raise FileError(f"was written by another version ({self._manifest.version})", file=self._folder)
        return self._manifest

    def _take(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._starts = list(accumulate((part.rows for part in manifest.parts[:-1]), initial=0))
        self._parts.forget()

    def _rejected(self, manifest: Manifest) -> RejectedRows:
        if self._rejections is None or self._rejections.part != manifest.rejections:
            self._rejections = RejectedRows(self._fs, self._folder, manifest.rejections)
        return self._rejections
