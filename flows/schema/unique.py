"""Which values a file has held so far, on disk: uniqueness over any number of rows in flat memory."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from flows.errors import StorageError

CACHE_KIB = 16 * 1024
SHORT = 48  # characters up to which a value is its own key; longer ones go by their 256-bit hash


class UniqueIndex:
    """An index of seen values by column, in a scratch file of `folder`. Closing it deletes the file."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "unique.sqlite"
        self._path.unlink(missing_ok=True)
        self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        # Scratch data: if the machine dies, the file is checked anew. So nothing is journalled or synced.
        self._db.execute("PRAGMA journal_mode=OFF")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        self._db.execute("CREATE TABLE seen(name, value, line INTEGER, PRIMARY KEY(name, value)) WITHOUT ROWID")

    def add(self, name: str, values: Sequence[str | None], lines: Sequence[int]) -> dict[int, int]:
        """Note values with the lines they stand in; gives the earlier line for each position that repeats one.

        Nulls are never equal to each other. Raises StorageError if the index cannot be kept, as on a full disk.
        """
        rows = [(name, _key(value), line) for value, line in zip(values, lines, strict=True) if value is not None]
        before = self._db.total_changes
        try:
            self._db.execute("BEGIN")
            self._db.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", rows)
            self._db.execute("COMMIT")
            if self._db.total_changes - before == len(rows):
                return {}
            return self._repeated(name, values, lines)
        except sqlite3.Error as exc:
            raise StorageError(f"the index of unique values failed: {exc}", file=str(self._path)) from exc

    def _repeated(self, name: str, values: Sequence[str | None], lines: Sequence[int]) -> dict[int, int]:
        query = "SELECT line FROM seen WHERE name = ? AND value = ?"
        found = {}
        for at, (value, line) in enumerate(zip(values, lines, strict=True)):
            if value is not None and (first := self._db.execute(query, (name, _key(value))).fetchone()[0]) != line:
                found[at] = int(first)
        return found

    def close(self) -> None:
        """Forget everything."""
        self._db.close()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> UniqueIndex:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _key(value: str) -> str | bytes:
    return value if len(value) <= SHORT else hashlib.sha256(value.encode()).digest()
