"""A run's accepted rows as Parquet parts in storage, and its rejected rows beside them.

A folder a run: parts and rejections under names that no other writer uses, then `manifest.json` with their digests,
which makes them count. On a local disk every file is synced before, so a crash leaves either the whole or nothing that
counts.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flows.errors import FileError, SpoolGone
from flows.records import Rejection, Row
from flows.spool.accepted import AcceptedRows
from flows.spool.mended import Overlay, in_parts, merged, name_of
from flows.spool.parts import Parts, damaged
from flows.spool.rejected import RejectedRows
from flows.spool.stored import numbers, to_rows
from flows.spool.writer import MANIFEST, VERSION, Manifest, Writer
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
    """

    def __init__(self, url: str, run: str, mended: str = "") -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", run):
            raise ValueError(f"{run!r} cannot be the name of a spool")
        self._fs, root = filesystem(url)
        self._folder = f"{root}/{run}"
        self._mended = mended
        self._parts = Parts(self._fs, self._folder)
        self._accepted: AcceptedRows | None = None
        self._rejections: RejectedRows | None = None
        self._lock = threading.Lock()

    @property
    def folder(self) -> str:
        """Where it lies, for messages."""
        return self._folder

    def writer(self) -> Writer:
        """A writing of the spool anew. It replaces the one before it only when it is finished."""
        return Writer(self._fs, self._folder, self._written)

    def _written(self) -> None:
        with self._lock:
            self._mended, self._accepted = "", None

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
                self._mended, self._accepted = mended, None

    def manifest(self) -> Manifest:
        """What the spool holds. Raises SpoolGone where it is not there, SpoolDamaged where it is not readable."""
        return self._known().manifest

    def read(self, start: int, stop: int) -> list[Row]:
        """The accepted rows `[start, stop)`, counted from 0 in the file's order; fewer at the end.

        Raises FileError if the spool is gone or its content is not what was written.
        """
        with self._lock:
            return self._loaded().read(start, stop)

    def unused(self, ordinals: Sequence[int]) -> Iterator[Sequence[str]]:
        """Of accepted rows, by their ascending ordinals, the cells that the pipeline has no use for; () if unknown."""
        return self._known().unused(ordinals)

    def walk(self, columns: Sequence[str]) -> Iterator[list[Row]]:
        """All accepted rows in the file's order, with these columns alone, a part at a time.

        Raises FileError if the spool is gone, damaged, or has no such column.
        """
        for table in self.tables(columns):
            yield to_rows(table)

    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """What `walk` gives as tables: the rows' ordinals, their lines, then these columns as they are stored."""
        return self._known().tables(columns)

    def mend(self, judged: Iterable[Judged]) -> Manifest:
        """Write what has become of the rejected rows, all of them in their order, as a mending beside this one.

        It counts once the ledger names its digest. Raises what `judged` does, and then leaves nothing behind.
        """
        before, writer = self._known(), Writer(self._fs, self._folder)
        refused, taken = [before.overlay.rows], [before.overlay.rows]

        def accepted() -> Iterator[pa.Table]:
            for each in judged:
                writer.reject(each.rejected)
                refused.append(each.rows)
                if each.accepted is not None and each.accepted.num_rows:
                    taken.append(numbers(each.accepted))
                    yield each.accepted

        try:
            for table in in_parts(merged(before.mended(), accepted())):
                writer.write_table(table)
            overlay = Overlay.of(np.concatenate(taken), np.sort(np.concatenate(refused)))
            return writer.finish_mended(before.manifest, overlay)
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
        with self._lock:
            self._accepted = None
            self._parts.forget()
        with suppress(FileNotFoundError), reached(self._folder, "cannot be removed"):
            self._fs.rm(self._folder, recursive=True)

    def _known(self) -> AcceptedRows:
        with self._lock:
            return self._loaded()

    def _loaded(self) -> AcceptedRows:
        if self._accepted is None:
            name = name_of(self._mended) if self._mended else MANIFEST
            try:
                with reached(self._folder):
                    written = self._fs.cat_file(f"{self._folder}/{name}")
                manifest = msgspec.json.decode(written, type=Manifest)
            except FileNotFoundError as exc:
                raise SpoolGone("the spool of this run is gone", file=self._folder) from exc
            except msgspec.DecodeError as exc:
                raise damaged(self._folder, name, exc) from exc
            if manifest.version != VERSION:
                raise FileError(f"was written by another version ({manifest.version})", file=self._folder)
            self._parts.forget()
            self._accepted = AcceptedRows(self._parts, manifest)
        return self._accepted

    def _rejected(self, manifest: Manifest) -> RejectedRows:
        if self._rejections is None or self._rejections.part != manifest.rejections:
            self._rejections = RejectedRows(self._fs, self._folder, manifest.rejections)
        return self._rejections
