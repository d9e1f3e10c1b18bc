"""An index on disk for one piece of work: any number of entries in flat memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from flows.errors import StorageError


class ScratchIndex:
    """A table of SQLite in a scratch file. Closing it deletes the file.

    Raises StorageError if the index cannot be kept, as on a full disk; `what` it is of is said in the message.
    """

    def __init__(self, path: Path, what: str, table: str, *, cache_kib: int) -> None:
        self._path, self._what = path, what
        path.unlink(missing_ok=True)
        with self._translated():
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            # If the machine dies, the work is begun anew. So nothing is journalled or synced.
            self._db.execute("PRAGMA journal_mode=OFF")
            self._db.execute("PRAGMA synchronous=OFF")
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute(f"PRAGMA cache_size=-{cache_kib}")
            self._db.execute(f"CREATE TABLE {table} WITHOUT ROWID")

    def write(self, statement: str, entries: Iterable[Sequence[Any]]) -> int:
        """Run a statement for each entry; gives how many entries of the table it changed."""
        before = self._db.total_changes
        with self._translated():
            self._db.execute("BEGIN")
            self._db.executemany(statement, entries)
            self._db.execute("COMMIT")
        return self._db.total_changes - before

    def ask(self, query: str, values: Sequence[Any]) -> list[Any]:
        """The entries that a query finds."""
        with self._translated():
            return self._db.execute(query, values).fetchall()

    def close(self) -> None:
        """Forget everything."""
        self._db.close()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            raise StorageError(f"the index of {self._what} failed: {exc}", file=str(self._path)) from exc
