"""Records on their way into a frame: row by row, or column by column as some kinds of file have them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias, overload

import pandas as pd
import pyarrow as pa

Texts: TypeAlias = "Sequence[str] | pa.Array"  # one column: texts, or an array of large_string without nulls


def listed(texts: Texts) -> Sequence[str]:
    """A column as Python's texts."""
    return list(texts.to_pylist()) if isinstance(texts, pa.Array) else texts


def as_rows(columns: Iterable[Texts]) -> list[list[str]]:
    """Columns of one length as records."""
    return list(map(list, zip(*map(listed, columns), strict=True)))


class Cells(Sequence[list[str]]):
    """Records that stand column by column; each is made when it is asked for."""

    def __init__(self, columns: Sequence[Texts]) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns[0])

    def __iter__(self) -> Iterator[list[str]]:
        return iter(as_rows(self.columns))

    @overload
    def __getitem__(self, at: int) -> list[str]: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[list[str]]: ...
    def __getitem__(self, at: int | slice) -> Any:
        """A record; a slice of them is made at once."""
        if isinstance(at, slice):
            return as_rows(column[at] for column in self.columns)
        return [column[at].as_py() if isinstance(column, pa.Array) else column[at] for column in self.columns]


def beside(cells: Sequence[list[str]], rows: Sequence[int], columns: Sequence[int]) -> list[list[str]]:
    """Of some records the cells in some columns, both by position."""
    if not isinstance(cells, Cells):
        return [[cells[row][at] for at in columns] for row in rows]
    texts = [listed(cells.columns[at]) for at in columns]
    return [[column[row] for column in texts] for row in rows]


class Gathered:
    """Records of one width in their order. `positions`: where the wanted columns stand, None: left out."""

    def __init__(self, positions: Mapping[str, int | None], width: int) -> None:
        self._positions, self._width, self._count = positions, width, 0
        self._wanted = {at for at in positions.values() if at is not None}
        self._parts: list[list[list[str]] | Cells] = []

    def __len__(self) -> int:
        return self._count

    def add(self, records: list[list[str]]) -> None:
        """Some records more."""
        self._count += len(records)
        if self._parts and isinstance(last := self._parts[-1], list):
            last += records
        else:
            self._parts.append(list(records))

    def add_columns(self, columns: Sequence[Texts]) -> None:
        """Some records more, column by column."""
        self._parts.append(self._columned(columns))
        self._count += len(self._parts[-1])

    def take(self, count: int) -> tuple[pd.DataFrame, Sequence[list[str]]]:
        """The first `count` records, which are no longer there then: the wanted columns, and the whole records."""
        self._count -= count
        parts = []
        while count:
            part = self._parts.pop(0)
            if len(part) > count:
                self._parts.insert(0, _cut(part, count, len(part)))
                part = _cut(part, 0, count)
            parts.append(part)
            count -= len(part)
        if all(isinstance(part, list) for part in parts):
            rows = parts[0] if len(parts) == 1 else list(chain.from_iterable(parts))
            return table_of(rows, self._positions, self._width), rows
        columned = [
            part if isinstance(part, Cells) else self._columned(list(zip(*part, strict=True))) for part in parts
        ]
        cells = Cells([_joined(texts) for texts in zip(*(part.columns for part in columned), strict=True)])
        return _table(cells.columns, self._positions, len(cells)), cells

    def _columned(self, columns: Sequence[Texts]) -> Cells:
        return Cells([_array(texts) if at in self._wanted else texts for at, texts in enumerate(columns)])


def table_of(cells: Sequence[Sequence[str]], positions: Mapping[str, int | None], width: int) -> pd.DataFrame:
    """The wanted columns of records of one width as text; `positions`: where each stands, None: left out."""
    return _table(list(zip(*cells, strict=True)) or [()] * width, positions, len(cells))


def _table(columns: Sequence[Texts], positions: Mapping[str, int | None], count: int) -> pd.DataFrame:
    wanted = {name: _text(columns[at] if at is not None else ("",) * count) for name, at in positions.items()}
    return pd.DataFrame(wanted, index=pd.RangeIndex(count), copy=False)


def _text(texts: Texts) -> Any:
    return pd.array(_array(texts), dtype="str")


def _array(texts: Texts) -> pa.Array:
    return texts if isinstance(texts, pa.Array) else pa.array(texts, pa.large_string())


def _joined(texts: Sequence[Texts]) -> Texts:
    if len(texts) == 1:
        return texts[0]
    if all(isinstance(each, pa.Array) for each in texts):
        return pa.concat_arrays(texts)
    return list(chain.from_iterable(map(listed, texts)))


def _cut(part: list[list[str]] | Cells, begin: int, end: int) -> list[list[str]] | Cells:
    return Cells([texts[begin:end] for texts in part.columns]) if isinstance(part, Cells) else part[begin:end]
