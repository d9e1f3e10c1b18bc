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

from flows.pipeline import spoiled
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
    in_own_words,
    kept,
)
from flows.pipeline.reader import Form

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

    def unread(self, faults: dict[int, str]) -> Column:
        """The same where cells were no text at all: these faults go before what was made of what stands for them."""
        return Column(self.without(faults).values, self.faults | faults)


@dataclass(frozen=True, slots=True)
class Cell:
    """How the cells of a column are read: as what, whether empty ones are null, whether the column may be missing.

    `zoned` says whether a datetime must (True), must not (False) or may (None) state its offset. `says`: words for
    a cell that cannot be read. `form`: how values are written, where that is not our way; `takes_empty`: it has a
    value for an empty text. `default`: the value of an empty cell. `guarded`: texts that a spreadsheet ruined are
    rejected. `shaped`: the words of the checks of which it matters what was there before.
    """

    kind: str
    null: bool
    optional: bool
    zoned: bool | None = None
    says: str | None = None
    trim: bool = False
    form: Form | None = None
    takes_empty: bool = False
    default: Any = None
    guarded: bool = False
    shaped: frozenset[str] = frozenset()


def read(how: Cell, text: pd.Series) -> Column:
    """A column of text as values.

    An empty cell is null in a column where it may be, and in a `str` column where it may not an empty text. Values are
    Python objects for decimal, date, datetime (which keeps its offset), list and json, pandas' arrays for the others.
    """
    cells = as_arrow(text)
    if how.trim:
        cells = pc.utf8_trim(cells, spoiled.BLANKS)
    column = _text(how, cells, text) if how.kind == "str" and how.form is None else _typed(how, cells)
    return column if how.default is None else _with_default(column, cells, how)


def _text(how: Cell, cells: pa.Array, text: pd.Series) -> Column:
    if how.null:
        values = _null_where(cells, pc.equal(cells, ""))
    else:
        values = pd.array(cells, dtype="str") if how.trim else text.array
    return Column(values, _spoiled(cells) if how.guarded else {})


def _spoiled(cells: pa.Array) -> dict[int, str]:
    """The texts that a spreadsheet has ruined, by position."""
    suspect = pc.or_(pc.starts_with(cells, "#"), pc.or_(pc.match_substring(cells, "E+"), pc.starts_with(cells, "Err:")))
    if not pc.any(suspect).as_py():
        return {}
    judged = ((at, spoiled.spoiled(cells[at].as_py())) for at in where(suspect))
    return {at: why for at, why in judged if why}


def _typed(how: Cell, cells: pa.Array) -> Column:
    kind = how.kind
    trimmed = pc.ascii_trim(cells, " \t")
    empty = pc.equal(trimmed, "")
    if how.takes_empty:
        empty = pc.and_(empty, False)
    if how.form is not None:
        values, faults = _by_form(how.form, kind, pc.if_else(empty, pa.scalar(None, pa.large_string()), trimmed))
    else:
        values, faults = _our_way(kind, trimmed, empty)
    if not how.null and how.default is None:
        faults |= dict.fromkeys(where(empty), EMPTY)
    if how.zoned is not None:
        faults = _wrongly_zoned(values, how.zoned) | faults
    if how.says:
        words = how.form.words if how.form is not None else WORDS[kind]
        faults = {at: in_own_words(fault, words, how.says) for at, fault in faults.items()}
    return Column(values, faults)


def _our_way(kind: str, trimmed: pa.Array, empty: pa.Array) -> tuple[Values, dict[int, str]]:
    """The values of cells that are written our way, many at once."""
    shaped = pc.match_substring_regex(trimmed, _whole(SHAPES[kind]))
    faults = dict.fromkeys(where(pc.invert(pc.or_(shaped, empty))), WORDS[kind])
    if kind in NUMBERS and (padded := where(pc.match_substring_regex(trimmed, _whole(PADDING)))):
        faults |= dict.fromkeys(padded, PADDED)
        trimmed = _without(trimmed, padded)
    values, more = _READERS[kind](pc.if_else(shaped, trimmed, pa.scalar(None, pa.large_string())))
    return values, faults | more


def _by_form(form: Form, kind: str, cells: pa.Array) -> tuple[Values, dict[int, str]]:
    """The values of cells by a form, each text once."""
    encoded = cells.dictionary_encode()
    values, faults = _each(form.read, encoded.dictionary)
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    missing = np.isnan(codes) if codes.dtype.kind == "f" else np.zeros(len(codes), dtype=bool)
    codes = np.where(missing, len(values), codes).astype(np.int64)
    values = np.append(values, np.array([None], dtype=object))[codes]
    wrong = np.flatnonzero(np.isin(codes, list(faults))).tolist() if faults else []
    return _DTYPES[kind](values) if kind in _DTYPES else values, {at: faults[int(codes[at])] for at in wrong}


def _with_default(column: Column, cells: pa.Array, how: Cell) -> Column:
    """The same with its default where nothing stands, or what stands there means nothing."""
    empty = np.asarray(pd.isna(column.values), dtype=bool)
    if how.kind == "str" and how.form is None:
        empty = empty | pc.equal(cells, "").to_numpy(zero_copy_only=False)
    at = [int(each) for each in np.flatnonzero(empty) if int(each) not in column.faults]
    if not at:
        return column
    values = column.values.copy()
    for each in at:
        values[each] = how.default
    return Column(values, column.faults)


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


def _each(make: Callable[[str], Any], cells: pa.Array) -> tuple[npt.NDArray[np.object_], dict[int, str]]:
    """Python objects one by one; a ValueError of `make` is a fault, in its words."""
    values = np.empty(len(cells), dtype=object)
    faults: dict[int, str] = {}
    for at, cell in enumerate(cells.to_pylist()):
        try:
            values[at] = None if cell is None else make(cell)
        except ValueError as exc:
            faults[at] = str(exc)
    return values, faults


def _objects(make: Callable[[str], Any], words: str) -> Callable[[pa.Array], tuple[Values, dict[int, str]]]:
    """A reader of Python objects that says `words` of what it cannot read."""

    def reader(cells: pa.Array) -> tuple[Values, dict[int, str]]:
        values, faults = _each(make, cells)
        return values, dict.fromkeys(faults, words)

    return reader


_DTYPES: dict[str, Callable[[Any], Values]] = {
    "int": lambda values: pd.array(values, dtype="Int64"),
    "float": lambda values: pd.array(values, dtype="Float64"),
    "bool": lambda values: pd.array(values, dtype="boolean"),
    "str": lambda values: pd.array(values, dtype="str"),
    "phone": lambda values: pd.array(values, dtype="str"),
}
_READERS: dict[str, Callable[[pa.Array], tuple[Values, dict[int, str]]]] = {
    "int": _read_int,
    "float": _read_float,
    "bool": _read_bool,
    "decimal": _objects(Decimal, WORDS["decimal"]),
    "date": _objects(date.fromisoformat, WORDS["date"]),
    "datetime": _objects(datetime.fromisoformat, WORDS["datetime"]),
}
