"""What a definition's columns ask of a file: how to read each cell, the pandera schema for values, what is unique."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pandera.pandas as pandera

from flows.pipeline.column import Column

_DTYPES = {"int": "Int64", "float": "Float64", "bool": "boolean", "str": "str"}  # the others: objects


@dataclass(frozen=True, slots=True)
class Cell:
    """How the cells of a column are read: as what, whether empty ones are null, whether the column may be missing.

    `zoned` says whether a datetime must (True), must not (False) or may (None) state its offset.
    """

    kind: str
    null: bool
    optional: bool
    zoned: bool | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything that a file's cells have to satisfy. `parsed`: functions of the schema change the table first."""

    cells: dict[str, Cell]
    schema: pandera.DataFrameSchema
    unique: tuple[tuple[str, ...], ...]
    parsed: bool = False


def of_columns(columns: Mapping[str, Column]) -> Rules:
    """The rules that a definition states column by column."""
    return Rules(
        cells={name: Cell(column.type, column.optional, column.optional) for name, column in columns.items()},
        schema=pandera.DataFrameSchema(
            {
                name: pandera.Column(_DTYPES.get(column.type), _checks(column), nullable=column.optional)
                for name, column in columns.items()
            }
        ),
        unique=tuple((name,) for name, column in columns.items() if column.unique),
    )


def _checks(column: Column) -> list[pandera.Check]:
    """The value checks of a column, each with its words for people as its error."""
    least, most, options = column.min, column.max, column.one_of
    objects = column.type in ("decimal", "date", "datetime")
    checks = []
    if not column.blank:
        checks.append(_check(lambda values: values.str.strip() != "", "must not be blank"))
    if least is not None:
        test = _each(lambda value: value >= least) if objects else lambda values: values >= least
        checks.append(_check(test, f"must be at least {_shown(least)}{_clash(column, least)}"))
    if most is not None:
        test = _each(lambda value: value <= most) if objects else lambda values: values <= most
        checks.append(_check(test, f"must be at most {_shown(most)}{_clash(column, most)}"))
    if (shortest := column.min_length) is not None:
        checks.append(_check(lambda values: values.str.len() >= shortest, f"must have at least {_chars(shortest)}"))
    if (longest := column.max_length) is not None:
        checks.append(_check(lambda values: values.str.len() <= longest, f"must have at most {_chars(longest)}"))
    if column.pattern is not None:
        # Python's own expressions, cell by cell: Arrow's would read some of them otherwise, and lack others.
        matches = re.compile(column.pattern).fullmatch
        checks.append(_check(_each(lambda value: matches(value) is not None), f"must match {column.pattern}"))
    if options is not None:
        test = _each(lambda value: value in options) if objects else lambda values: values.isin(options)
        checks.append(_check(test, "must be one of " + ", ".join(map(_shown, options))))
    return checks


def _check(test: Callable[[pd.Series], pd.Series], words: str) -> pandera.Check:
    """A check that nulls pass: whether a cell may be empty is judged when it is read."""

    def passes(values: pd.Series) -> pd.Series:
        return (values.isna() | test(values).fillna(True)).astype(bool)

    return pandera.Check(passes, error=words, ignore_na=False)


def _each(test: Callable[[Any], bool]) -> Callable[[pd.Series], pd.Series]:
    """A test of single values; a value that cannot be compared fails it (a time with an offset and one without)."""

    def holds(value: Any) -> bool:
        try:
            return test(value)
        except TypeError:
            return False

    def column(values: pd.Series) -> pd.Series:
        missing = values.isna()
        return pd.Series(
            [gone or holds(value) for value, gone in zip(values, missing, strict=True)], index=values.index, dtype=bool
        )

    return column


def _clash(column: Column, bound: Any) -> str:
    if column.type != "datetime":
        return ""
    return " and, like that, state its offset" if bound.tzinfo else " and, like that, state no offset"


def _shown(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _chars(count: int) -> str:
    return "1 character" if count == 1 else f"{count} characters"
