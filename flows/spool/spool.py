"""A run's accepted rows as Parquet parts in storage, and its rejected rows beside them.

A folder a run: parts and rejections under names that no other writer uses, then `manifest.json` with their digests,
which makes them count. On a local disk every file is synced before, so a crash leaves either the whole or nothing that
counts.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from operator import attrgetter

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from flows.errors import FileError, SpoolGone
from flows.records import Rejection, Row
from flows.spool.mended import NO_OVERLAY, Overlay, digest_of, in_parts, merged, name_of
from flows.spool.parts import Parts, damaged
from flows.spool.rejected import RejectedRows
from flows.spool.stored import LINE, ROW, numbers, to_rows
from flows.spool.writer import MANIFEST, VERSION, Manifest, Part, Writer
from flows.storage.storage import filesystem, lies_there, reached


@dataclass(frozen=True, slots=True)
class Judged:
    """What has become of some rejected rows, all of a stretch. `rows`: their ordinals in the file.

    `accepted`: those that are accepted now, as `to_table` makes them. `rejected`: the others.
    """

    rows: npt.NDArray[np.int64]
    accepted: pa.Table | None
    rejected: Sequence[Rejection]


class Spool:
    """The spool of one run below `url` (a path or an fsspec URL). Reading is safe from many threads at once.

    `mended`: the digest of the mending that counts, as the ledger has it; "": its rows are as the check left them.
    Writing is for one thread: `write` and `reject` in any order, then `finish`, or `abandon`. A spool that is written
    again replaces the one before it only when it is finished.
    """

    def __init__(self, url: str, run: str, mended: str = "") -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", run):
            raise ValueError(f"{run!r} cannot be the name of a spool")
        self._fs, root = filesystem(url)
        self._folder = f"{root}/{run}"
        self._writer: Writer | None = None
        self._manifest: Manifest | None = None
        self._mended = mended
        self._all: tuple[Part, ...] = ()
        self._starts: list[int] = []
        self._overlay = NO_OVERLAY
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
            self._writer, self._mended = None, ""
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
        """Whether there is a finished spool, with the mending that counts."""
        names = [MANIFEST, *([name_of(self._mended)] if self._mended else [])]
        with reached(self._folder):
            return all(lies_there(self._fs, f"{self._folder}/{name}") for name in names)

    def at(self, mended: str) -> None:
        """Read another mending from now on, by its digest; "": none."""
        with self._lock:
            if mended != self._mended:
                self._mended, self._manifest = mended, None

    def manifest(self) -> Manifest:
        """What the spool holds. Raises SpoolGone where it is not there, SpoolDamaged where it is not readable."""
        with self._lock:
            return self._known()

    def read(self, start: int, stop: int) -> list[Row]:
        """The accepted rows `[start, stop)`, counted from 0 in the file's order; fewer at the end.

        Raises FileError if the spool is gone or its content is not what was written.
        """
        with self._lock:
            manifest = self._known()
            stop = min(stop, manifest.rows)
            checked, mended = self._overlay.split(start, stop) if len(self._overlay) else ((start, stop), (0, 0))
            rows = self._read(0, *checked)
            if mended[0] < mended[1]:
                behind = len(manifest.parts)
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
        """Of accepted rows, by their ascending ordinals, the cells that the pipeline has no use for; () if unknown."""
        manifest = self.manifest()
        for ordinal in ordinals:
            checked, mended = self._overlay.split(ordinal, ordinal + 1)
            is_mended = mended[0] < mended[1]
            at, offset = self._find(len(manifest.parts) if is_mended else 0, mended[0] if is_mended else checked[0])
            cells = self._parts.unused(self._all[at])
            yield () if cells is None else cells[offset].as_py()

    def walk(self, columns: Sequence[str]) -> Iterator[list[Row]]:
        """All accepted rows in the file's order, with these columns alone, a part at a time.

        Raises FileError if the spool is gone, damaged, or has no such column.
        """
        for table in self.tables(columns):
            yield to_rows(table)

    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """What `walk` gives as tables: the rows' ordinals, their lines, then these columns as they are stored."""
        manifest, wanted = self.manifest(), [ROW, LINE, *columns]

        def of(parts: Sequence[Part]) -> Iterator[pa.Table]:
            for part in parts:
                stored = self._parts.opened(part)
                if missing := [name for name in wanted if name not in stored.schema_arrow.names]:
                    raise FileError(f"its rows have no column {missing[0]!r}", file=self._folder)
                yield stored.read(columns=wanted, use_threads=False).select(wanted)

        yield from merged(of(manifest.parts), of(manifest.mended)) if manifest.mended else of(manifest.parts)

    def mend(self, judged: Iterable[Judged]) -> Manifest:
        """Write what has become of the rejected rows, all of them in their order, as a mending beside this one.

        It counts once the ledger names its digest. Raises what `judged` does, and then leaves nothing behind.
        """
        before, writer = self.manifest(), Writer(self._fs, self._folder)
        refused, taken = [self._overlay.rows], [self._overlay.rows]

        def accepted() -> Iterator[pa.Table]:
            for each in judged:
                writer.reject(each.rejected)
                refused.append(each.rows)
                if each.accepted is not None and each.accepted.num_rows:
                    taken.append(numbers(each.accepted))
                    yield each.accepted

        try:
            old = (self._parts.opened(part).read(use_threads=False) for part in before.mended)
            for table in in_parts(merged(old, accepted())):
                writer.write_table(table)
            overlay = Overlay.of(np.concatenate(taken), np.sort(np.concatenate(refused)))
            return writer.finish_mended(before, overlay)
        except BaseException:
            writer.abandon()
            raise

    def forget(self, mending: Manifest) -> None:
        """Remove what a mending wrote that came to nothing."""
        before = {each.name for each in (*self.manifest().mended, self.manifest().rejections)}
        made = [*mending.mended, mending.rejections, *([mending.places] if mending.places else [])]
        for name in [*(each.name for each in made if each.name not in before), name_of(mending.digest)]:
            with suppress(FileNotFoundError), reached(self._folder, "cannot be removed"):
                self._fs.rm_file(f"{self._folder}/{name}")

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
            name = name_of(self._mended) if self._mended else MANIFEST
            try:
                with reached(self._folder):
                    written = self._fs.cat_file(f"{self._folder}/{name}")
                self._take(msgspec.json.decode(written, type=Manifest))
            except FileNotFoundError as exc:
                raise SpoolGone("the spool of this run is gone", file=self._folder) from exc
            except msgspec.DecodeError as exc:
                raise damaged(self._folder, name, exc) from exc
        assert self._manifest is not None
        if self._manifest.version != VERSION:
            raise FileError(f"was written by another version ({self._manifest.version})", file=self._folder)
        return self._manifest

    def _take(self, manifest: Manifest) -> None:
        overlay = self._places(manifest.places) if manifest.places else NO_OVERLAY
        self._manifest, self._overlay = manifest, overlay
        self._all = (*manifest.parts, *manifest.mended)
        self._starts = list(accumulate((part.rows for part in self._all), initial=0))
        self._parts.forget()

    def _places(self, places: Part) -> Overlay:
        data: bytes = self._fs.cat_file(f"{self._folder}/{places.name}")
        if digest_of(data) != places.sha256:
            raise damaged(self._folder, places.name, "its content has changed")
        return Overlay.read(data)

    def _rejected(self, manifest: Manifest) -> RejectedRows:
        if self._rejections is None or self._rejections.part != manifest.rejections:
            self._rejections = RejectedRows(self._fs, self._folder, manifest.rejections)
        return self._rejections
