"""Which values a file has held so far, on disk: uniqueness over any number of rows in flat memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from flows.scratch_index import ScratchIndex

CACHE_KIB = 16 * 1024
SHORT = 48  # characters up to which a value is its own key; longer ones go by their 256-bit hash


class UniqueIndex(ScratchIndex):
    """An index of seen values by column, in a scratch file of `folder`."""

    def __init__(self, folder: Path) -> None:
        table = "seen(name, value, line INTEGER, PRIMARY KEY(name, value))"
        super().__init__(folder / "unique.sqlite", "unique values", table, cache_kib=CACHE_KIB)

    def add(self, name: str, values: Sequence[str | None], lines: Sequence[int]) -> dict[int, int]:
        """Note values with the lines they stand in; gives the earlier line for each position that repeats one.

        Nulls are never equal to each other. Raises StorageError if the index cannot be kept, as on a full disk.
        """
        rows = [(name, _key(value), line) for value, line in zip(values, lines, strict=True) if value is not None]
        if self.write("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", rows) == len(rows):
            return {}
        return self._repeated(name, values, lines)

    def held(self, name: str, values: Sequence[str]) -> list[int]:
        """The positions of values that were noted before."""
        query = "SELECT 1 FROM seen WHERE name = ? AND value = ?"
        return [at for at, value in enumerate(values) if self.ask(query, (name, _key(value)))]

    def _repeated(self, name: str, values: Sequence[str | None], lines: Sequence[int]) -> dict[int, int]:
        query = "SELECT line FROM seen WHERE name = ? AND value = ?"
        found = {}
        for at, (value, line) in enumerate(zip(values, lines, strict=True)):
            if value is not None and (first := self.ask(query, (name, _key(value)))[0][0]) != line:
                found[at] = int(first)
        return found


def _key(value: str) -> str | bytes:
    return value if len(value) <= SHORT else hashlib.sha256(value.encode()).digest()
