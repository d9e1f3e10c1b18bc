"""The text of cells as the values of a column's type, strictly: what a person would not read so is refused.

pandas alone would take `1_000` and Arabic digits as numbers, `"false"` as true and `inf` as a price. Blanks and tabs
around a value are tolerated, except in `str` columns, whose text is kept as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from flows.pipeline.judge import (
    EMPTY,
    NOT_FINITE,
    NUMBERS,
    PADDED,
    PADDING,
    SHAPES,
    TOO_LARGE,
    TOO_PRECISE,
    TRUE,
    WHOLE,
    WORDS,
    fits,
    kept,
    words_of,
)

SURE_DIGITS = 18  # so many always fit into 64 bits
OFFSET = "must state its offset, such as +01:00 or Z"
NO_OFFSET = "must not state an offset"

_NULLABLE = {pa.int64(): pd.Int64Dtype(), pa.float64(): pd.Float64Dtype(), pa.bool_(): pd.BooleanDtype()}

Values = Any  # a pandas array or a numpy array of objects, one value a cell, null where there is none


@dataclass(frozen=True, slots=True)
class Column:
    """The values of a column, and by position why a cell has none though it should."""

    values: Values
    faults: dict[int, str]

    def without(self, more: dict[int, str]) -> Column:
        """The same, with more faults; of two faults of one cell the earlier stays."""
        if not more:
            return self
        values = self.values.copy()
        values[list(more)] = None
        return Column(values, more | self.faults)


def read(kind: str, text: pd.Series, *, optional: bool, zoned: bool | None = None, says: str | None = None) -> Column:
    """A column of text as values of `kind`: int, float, decimal, str, bool, date or datetime.

    An empty cell is null in an optional column, and in a `str` column that is not optional an empty text. Values are
    Python objects for decimal, date and datetime (which keeps its offset), pandas' nullable arrays for the others.
    `zoned` says whether a datetime must or must not state its offset; None allows both. `says`: words for
    a cell that is no value of the kind.
    """
    cells = as_arrow(text)
    if kind == "str":
        return Column(_null_where(cells, pc.equal(cells, "")) if optional else text.array, {})
    trimmed = pc.ascii_trim(cells, " \t")
    empty = pc.equal(trimmed, "")
    shaped = pc.match_substring_regex(trimmed, _whole(SHAPES[kind]))
    faults = dict.fromkeys(where(pc.invert(pc.or_(shaped, empty))), WORDS[kind])
    if not optional:
        faults |= dict.fromkeys(where(empty), EMPTY)
    if kind in NUMBERS and (padded := where(pc.match_substring_regex(trimmed, _whole(PADDING)))):
        faults |= dict.fromkeys(padded, PADDED)
        trimmed = _without(trimmed, padded)
    good = pc.if_else(shaped, trimmed, pa.scalar(None, pa.large_string()))
    values, more = _READERS[kind](good)
    if zoned is not None:
        more |= _wrongly_zoned(values, zoned)
    faults |= more
    if says:
        faults = {at: words_of(kind, says) if fault == WORDS[kind] else fault for at, fault in faults.items()}
    return Column(values, faults)


def _whole(shape: str) -> str:
    """A shape for Arrow's RE2, of which \\z is the very end."""
    return rf"\A({shape})\z"


def _wrongly_zoned(values: npt.NDArray[np.object_], zoned: bool) -> dict[int, str]:
    wrong = [at for at, value in enumerate(values) if value is not None and (value.tzinfo is not None) != zoned]
    values[wrong] = None
    return dict.fromkeys(wrong, OFFSET if zoned else NO_OFFSET)


def as_arrow(text: pd.Series) -> pa.Array:
    """A column of text as one Arrow array."""
    array = pa.array(text, pa.large_string())
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def where(mask: pa.Array) -> list[int]:
    """Positions at which the mask is true."""
    return [int(at) for at in np.flatnonzero(mask.to_numpy(zero_copy_only=False))]


def _null_where(cells: pa.Array, mask: pa.Array) -> Values:
    return pd.array(pc.if_else(mask, pa.scalar(None, pa.large_string()), cells), dtype="str")


def _without(cells: pa.Array, positions: list[int]) -> pa.Array:
    keep = np.ones(len(cells), dtype=bool)
    keep[positions] = False
    return pc.if_else(pa.array(keep), cells, pa.scalar(None, cells.type))


def _nullable(array: pa.Array) -> Values:
    """As one of pandas' nullable arrays, which keep integers integers beside nulls."""
    return array.to_pandas(types_mapper=_NULLABLE.get).array


def _read_int(cells: pa.Array) -> tuple[Values, dict[int, str]]:
    long = where(pc.fill_null(pc.greater(pc.utf8_length(cells), SURE_DIGITS), False))
    faults = {at: TOO_LARGE for at in long if not fits(cells[at].as_py())}
    cells = _without(cells, list(faults)) if faults else cells
    return _nullable(pc.cast(cells, pa.int64())), faults


def _read_float(cells: pa.Array) -> tuple[Values, dict[int, str]]:
    numbers = pc.cast(pc.utf8_ltrim(cells, "+"), pa.float64())
    faults = dict.fromkeys(where(pc.fill_null(pc.invert(pc.is_finite(numbers)), False)), NOT_FINITE)
    large = where(pc.fill_null(pc.greater_equal(pc.abs(numbers), WHOLE), False))
    faults |= {at: TOO_PRECISE for at in large if at not in faults and not kept(cells[at].as_py(), numbers[at].as_py())}
    numbers = _without(numbers, list(faults)) if faults else numbers
    return _nullable(numbers), faults


def _read_bool(cells: pa.Array) -> tuple[Values, dict[int, str]]:
    truths = pc.is_in(pc.utf8_lower(cells), pa.array(TRUE, pa.large_string()))
    return _nullable(pc.if_else(pc.is_valid(cells), truths, pa.scalar(None, pa.bool_()))), {}


def _objects(make: Callable[[str], Any], words: str) -> Callable[[pa.Array], tuple[Values, dict[int, str]]]:
    """A reader that makes Python objects one by one; ValueError from `make` is a fault."""

    def reader(cells: pa.Array) -> tuple[Values, dict[int, str]]:
        values = np.empty(len(cells), dtype=object)
        faults: dict[int, str] = {}
        for at, cell in enumerate(cells.to_pylist()):
            try:
                values[at] = None if cell is None else make(cell)
            except ValueError:
                faults[at] = words
        return values, faults

    return reader


_READERS: dict[str, Callable[[pa.Array], tuple[Values, dict[int, str]]]] = {
    "int": _read_int,
    "float": _read_float,
    "bool": _read_bool,
    "decimal": _objects(Decimal, WORDS["decimal"]),
    "date": _objects(date.fromisoformat, WORDS["date"]),
    "datetime": _objects(datetime.fromisoformat, WORDS["datetime"]),
}
