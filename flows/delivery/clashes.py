"""Which accepted rows of a run hold values of unique columns that rows which are checked again would take.

A million rows are not put into an index for the sake of some: the end of a hash says which of them may be met, and only
those are looked up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from flows.schema.key import joined, text_of
from flows.schema.schema import Checker
from flows.spool.spool import Spool
from flows.spool.stored import LINE, is_read_from_text, values_of

_READ_ALIKE = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer)
Group = tuple[str, ...]
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Clash:
    """Accepted rows in these lines hold these keys of a group of unique columns."""

    group: Group
    keys: Sequence[str]
    lines: Sequence[int]


@dataclass(slots=True)
class Taken:
    """What the rows that one checker was given would take, as hashes by group."""

    checker: Checker
    _hashes: dict[Group, list[Hashes]] = field(default_factory=dict)

    def note(self) -> None:
        """Take in the frame that the checker has checked last."""
        if self.checker.unique:
            for group, keys in self.checker.keys.items():
                self._hashes.setdefault(group, []).append(_hashed([key for key in keys if key is not None]))

    def clashes(self, spool: Spool) -> Iterator[Clash]:
        """What of it accepted rows in a spool hold. Raises FileError."""
        wanted = {group: np.unique(np.concatenate(hashes)) for group, hashes in self._hashes.items()}
        sieves = {group: _sieve(hashes) for group, hashes in wanted.items()}
        if not sieves:
            return
        for table in spool.tables(list(dict.fromkeys(name for group in sieves for name in group))):
            for group, sieve in sieves.items():
                met = _met(table, group, sieve, wanted[group])
                keys = met.column(0).to_pylist()
                if found := self.checker.held(group, keys):
                    yield Clash(group, [keys[at] for at in found], met.column(1).take(found).to_pylist())


def _sieve(hashes: Hashes) -> npt.NDArray[np.bool_]:
    """Which ends of hashes there are: of other values some three in a hundred pass, too."""
    size = 1 << max(16, min(24, (32 * len(hashes)).bit_length()))
    sieve = np.zeros(size, dtype=np.bool_)
    sieve[hashes & np.uint64(size - 1)] = True
    return sieve


def _met(table: pa.Table, group: Group, sieve: npt.NDArray[np.bool_], wanted: Hashes) -> pa.Table:
    """(keys, lines) of the rows whose hashes are `wanted`, which ascend; the sieve says of most that they are not."""
    texts = _texts(table, group)
    there = np.flatnonzero(texts.is_valid().to_numpy(zero_copy_only=False))
    hashes = _hashed(texts.drop_null().to_numpy(zero_copy_only=False))
    passed = np.flatnonzero(sieve[hashes & np.uint64(len(sieve) - 1)])
    nearest = wanted[np.searchsorted(wanted[:-1], hashes[passed])]
    met = pa.array(there[passed[nearest == hashes[passed]]])
    return pa.table([texts.take(met), table.column(LINE).take(met)], names=["key", "line"])


def _texts(table: pa.Table, group: Group) -> pa.Array:
    """What says of each row what it holds, as the check has it."""
    column = table.column(group[0])
    plain = len(group) == 1 and not is_read_from_text(table, group[0])
    if plain and any(kind(column.type) for kind in _READ_ALIKE):
        return column.cast(pa.string()).combine_chunks()
    columns = [[text_of(value) for value in values_of(table, name)] for name in group]
    return pa.array([joined(row) for row in zip(*columns, strict=True)], pa.string())


def _hashed(texts: Any) -> Hashes:
    return np.asarray(pd.util.hash_array(np.asarray(texts, dtype=object), categorize=False), dtype=np.uint64)
