"""What a definition's columns ask of a file: how to read each cell, the pandera schema for values, what is unique."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import pandera.pandas as pandera

from flows.pipeline.column import Column
from flows.pipeline.judge import SHAPED, asked, holds
from flows.pipeline.reader import form_of
from flows.schema.cell import Cell

_DTYPES = {"int": "Int64", "float": "Float64", "bool": "boolean", "str": "str", "phone": "str"}  # the others: objects


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
        cells={name: cell_of(column) for name, column in columns.items()},
        schema=pandera.DataFrameSchema(
            {
                name: pandera.Column(_DTYPES.get(column.type), _checks(column), nullable=column.optional)
                for name, column in columns.items()
            }
        ),
        unique=tuple((name,) for name, column in columns.items() if column.unique),
    )


def cell_of(column: Column) -> Cell:
    """How the cells of a stated column are read."""
    return Cell(
        column.type,
        column.optional,
        column.optional,
        says=column.says,
        trim=column.trim,
        form=form_of(column),
        takes_empty="" in (column.table or ()),
        default=column.default,
        guarded=column.judges_ruins,
        shaped=frozenset(each.words for each in asked(column) if each.key in SHAPED),
    )


_OBJECTS = ("decimal", "date", "datetime", "list", "json")
_AT_ONCE: dict[str, Callable[[Any, pd.Series], pd.Series]] = {
    "blank": lambda column, values: values.str.strip() != "",
    "min": lambda column, values: values >= column.min,
    "max": lambda column, values: values <= column.max,
    "min_length": lambda column, values: values.str.len() >= column.min_length,
    "max_length": lambda column, values: values.str.len() <= column.max_length,
    "one_of": lambda column, values: values.isin(column.one_of or []),
}  # of a whole column, where its values are no Python objects; the others go value by value


def _checks(column: Column) -> list[pandera.Check]:
    """The value checks of a column, each with its words for people as its error."""
    made = []
    for each in asked(column):
        at_once = None if column.type in _OBJECTS else _AT_ONCE.get(each.key)
        made.append(_check(partial(at_once, column) if at_once else _each(each.test), each.words))
    return made


def _check(test: Callable[[pd.Series], pd.Series], words: str) -> pandera.Check:
    """A check that nulls pass: whether a cell may be empty is judged when it is read."""

    def passes(values: pd.Series) -> pd.Series:
        return (values.isna() | test(values).fillna(True)).astype(bool)

    return pandera.Check(passes, error=words, ignore_na=False)


def _each(test: Callable[[Any], bool]) -> Callable[[pd.Series], pd.Series]:
    """A test of single values, for a whole column."""

    def column(values: pd.Series) -> pd.Series:
        missing = values.isna()
        return pd.Series(
            [gone or holds(test, value) for value, gone in zip(values, missing, strict=True)],
            index=values.index,
            dtype=bool,
        )

    return column
