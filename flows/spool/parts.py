"""Reading the Parquet parts of a spool, each checked against its digest."""

from __future__ import annotations

import io
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from flows.errors import SpoolDamaged
from flows.spool.mended import digest_of
from flows.spool.stored import UNUSED
from flows.spool.writer import Part
from flows.storage.storage import reached

KEPT_PARTS = 3  # a part of 20,000 rows is a few MB


def damaged(folder: str, name: str, why: object) -> SpoolDamaged:
    """The error of a file in a spool that is not what was written."""
    return SpoolDamaged(
        f"the spool of this run cannot be read: {why}",
        file=f"{folder}/{name}",
        hint="Delete the run's spool and resume: the original file is then checked again.",
    )


class Parts:
    """The parts in one folder; the latest that were read are kept. Raises SpoolDamaged."""

    def __init__(self, fs: Any, folder: str) -> None:
        self.folder = folder
        self._fs = fs
        self._tables: OrderedDict[str, pa.Table] = OrderedDict()
        self._unused: tuple[str, Any] = "", None
        # Allocators keep for each thread what it has freed: parts read by sixteen threads cost some 40 MB more.
        self._reader = ThreadPoolExecutor(1, "spool")

    def table(self, part: Part) -> pa.Table:
        """The rows of a part, as to_rows takes them. For one thread at a time."""
        if part.name in self._tables:
            self._tables.move_to_end(part.name)
            return self._tables[part.name]
        table = self._reader.submit(self._read, part).result()
        while len(self._tables) >= KEPT_PARTS:
            self._tables.popitem(last=False)
        self._tables[part.name] = table
        return table

    def unused(self, part: Part) -> Any:
        """Of each row of a part the cells that the pipeline has no use for; None where they were not kept."""
        name, cells = self._unused  # both at once: another thread may be at another part
        if name != part.name:
            stored = self.opened(part)
            kept = UNUSED in stored.schema_arrow.names
            cells = stored.read(columns=[UNUSED], use_threads=False).column(0) if kept else None
            self._unused = part.name, cells
        return cells

    def _read(self, part: Part) -> pa.Table:
        stored = self.opened(part)
        return stored.read(columns=[n for n in stored.schema_arrow.names if n != UNUSED], use_threads=False)

    def opened(self, part: Part) -> Any:
        """The part as a ParquetFile."""
        import pyarrow.parquet as pq  # 5 MB that pages without rows do without

        return pq.ParquetFile(io.BytesIO(self.data(part)))

    def forget(self) -> None:
        """Keep none."""
        self._tables.clear()

    def close(self) -> None:
        """Let go of the thread that reads. Nothing can be read any more."""
        self._reader.shutdown(wait=False)

    def data(self, part: Part) -> bytes:
        """The content of a file of the spool."""
        try:
            with reached(self.folder):
                data: bytes = self._fs.cat_file(f"{self.folder}/{part.name}")
        except FileNotFoundError as exc:
            raise damaged(self.folder, part.name, exc) from exc
        if digest_of(data) != part.sha256:
            raise damaged(self.folder, part.name, "its content has changed")
        return data
