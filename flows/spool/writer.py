"""The writing of a spool: each file under a name of its own and synced, the manifest last, which names them."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any
from uuid import uuid4

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from flows.records import Rejection
from flows.spool.mended import Overlay, digest_of, name_of
from flows.spool.stored import to_table
from flows.storage.storage import make_folder, reached, whole

VERSION = 1
MANIFEST = "manifest.json"


class Part(msgspec.Struct, frozen=True):
    """One file of the spool."""

    name: str
    rows: int
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a complete spool holds. `header` names the cells of the rejected rows: the file's own columns.

    `mended`: the rows that were accepted once a person had mended them, and `places`, where they stand among the others
    (flows.spool.mended). Without them it is written as it was before there were any, and has the same digest.
    """

    version: int
    header: tuple[str, ...]
    parts: tuple[Part, ...]
    rejections: Part
    mended: tuple[Part, ...] = ()
    places: Part | None = None

    @property
    def rows(self) -> int:
        """How many rows were accepted."""
        return sum(part.rows for part in (*self.parts, *self.mended))

    @property
    def rejected(self) -> int:
        """How many rows were rejected."""
        return self.rejections.rows

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the manifest, and so of everything in the spool."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()


class Writer:
    """One writing of a spool, under names of its own: `write` and `reject` in any order, then `finish`, or `abandon`.

    For one thread. `on_finish` is called as soon as it counts.
    """

    def __init__(self, fs: Any, folder: str, on_finish: Callable[[], None] | None = None) -> None:
        self._fs, self._folder, self._token = fs, folder, uuid4().hex[:8]
        self._on_finish = on_finish
        self._local = isinstance(fs, LocalFileSystem)
        with self._translated():
            make_folder(fs, folder)
            self._before = [name for name in self._list() if not name.endswith("/" + MANIFEST)]
        self._parts: list[Part] = []
        self._rejections: Any = None
        self._rejected, self._rejected_bytes, self._rejected_hash = 0, 0, hashlib.sha256()
        self._encoder = msgspec.json.Encoder()
        self._names: list[str] = []  # everything that this writer has made or may have made

    def _list(self) -> list[str]:
        """What lies there. In an object store a folder is there only while something lies in it."""
        try:
            return list(self._fs.ls(self._folder, detail=False))
        except FileNotFoundError:
            return []

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
        if len(rows):
            self.write_table(to_table(values, rows, lines, unused))

    def write_table(self, table: pa.Table) -> None:
        """The same of a table that `to_table` made."""
        import pyarrow.parquet as pq  # 5 MB that pages without rows do without

        buffer = io.BytesIO()
        # No dictionaries or statistics: whole parts are read, and they double the time of writing.
        pq.write_table(table, buffer, compression="zstd", use_dictionary=False, write_statistics=False)
        data = buffer.getbuffer()
        name = f"{self._token}-{len(self._parts):05}.parquet"
        self._made(name)
        self._put(name, bytes(data))
        self._parts.append(Part(name, table.num_rows, len(data), hashlib.sha256(data).hexdigest()))

    def reject(self, rejections: Sequence[Rejection]) -> None:
        """Append rejected rows."""
        if not rejections:
            return
        data = self._encoder.encode_lines(rejections)
        with self._translated():
            if self._rejections is None:
                self._rejections = self._fs.open(self._made(self._rejections_name), "wb")
            self._rejections.write(data)
        self._rejected_hash.update(data)
        self._rejected += len(rejections)
        self._rejected_bytes += len(data)

    def finish(self, header: Sequence[str]) -> Manifest:
        """Make all that was written count, and remove what an earlier writing left.

        `header`: the file's own column names.
        """
        manifest = Manifest(VERSION, tuple(header), tuple(self._parts), self._all_rejected())
        self._put(MANIFEST, msgspec.json.encode(manifest))
        for old in self._before:
            self._remove(old)
        self._names.clear()
        if self._on_finish:
            self._on_finish()
        return manifest

    def finish_mended(self, before: Manifest, overlay: Overlay) -> Manifest:
        """Write the manifest of a mending, beside the one `before`: what was written now takes its overlay's place."""
        name, data = f"{self._token}-places", overlay.data
        self._made(name)
        self._put(name, data)
        manifest = msgspec.structs.replace(
            before,
            rejections=self._all_rejected(),
            mended=tuple(self._parts),
            places=Part(name, len(overlay), len(data), digest_of(data)),
        )
        self._made(name_of(manifest.digest))
        self._put(name_of(manifest.digest), msgspec.json.encode(manifest))
        return manifest

    def _all_rejected(self) -> Part:
        if self._rejections is not None:
            with self._translated():
                if self._local:
                    self._rejections.flush()
                    os.fsync(self._rejections.fileno())
                self._rejections.close()
        digest = self._rejected_hash.hexdigest()
        return Part(self._rejections_name, self._rejected, self._rejected_bytes, digest)

    def abandon(self) -> None:
        """Remove everything that was written; nothing once it is finished."""
        if self._rejections is not None:
            with suppress(OSError):  # closing writes what is buffered, and the disk may be full
                self._rejections.close()
        for name in self._names:
            self._remove(f"{self._folder}/{name}")
        if self._local:
            with suppress(OSError):  # an earlier writing lies in it
                os.rmdir(self._folder)

    def _put(self, name: str, data: bytes) -> None:
        with self._translated(), whole(self._fs, f"{self._folder}/{name}") as file:
            file.write(data)

    def _translated(self) -> AbstractContextManager[None]:
        return reached(self._folder, "the run's rows cannot be written here", writing=True)

    def _remove(self, path: str) -> None:
        with suppress(FileNotFoundError), reached(path, "cannot be removed"):
            self._fs.rm_file(path)

    @property
    def _rejections_name(self) -> str:
        return f"{self._token}-rejections.jsonl"

    def _made(self, name: str) -> str:
        """The path of a file that goes away if this writing is abandoned."""
        self._names.append(name)
        return f"{self._folder}/{name}"
