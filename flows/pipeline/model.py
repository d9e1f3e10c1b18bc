"""What a pandera model may be, so that a file can be held to it: its types, and what it must not ask for.

Takes a second to import, with pandera: only where a definition names a model.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pandera.pandas as pandera
from pandera import dtypes
from pandera.engines import numpy_engine, pandas_engine

_READABLE = "int, float, bool, str, decimal.Decimal, datetime.date, pandas.Timestamp or a category"

_KINDS: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (lambda dtype: isinstance(dtype, dtypes.Decimal), "decimal"),
    (lambda dtype: isinstance(dtype, dtypes.Date) and not dtypes.is_datetime(dtype), "date"),
    (dtypes.is_bool, "bool"),
    (dtypes.is_int, "int"),
    (dtypes.is_uint, "int"),
    (dtypes.is_float, "float"),
    (dtypes.is_datetime, "datetime"),
    (lambda dtype: isinstance(dtype, dtypes.String | numpy_engine.Object), "str"),
    (
        lambda dtype: (
            isinstance(dtype, dtypes.Category) and all(isinstance(each, str) for each in category_values(dtype))
        ),
        "str",
    ),
    (lambda dtype: not type(dtype).__module__.startswith("pandera."), "str"),  # somebody's own type makes it of text
)


def unusable(schema: pandera.DataFrameSchema) -> str:
    """Why a file cannot be held to a pandera schema, as far as the schema shows it; "" if it can."""
    parts = with_types_by_column(deepcopy(schema)).columns
    if patterns := [str(name) for name, part in parts.items() if part.regex]:
        return f"names columns by pattern ({', '.join(patterns)}); name each of them"
    if schema.index is not None:
        return "asks for an index, which a file has not; make it a column"
    if schema.drop_invalid_rows or any(part.drop_invalid_rows for part in parts.values()):
        return "drops rows (drop_invalid_rows): every row of a file is sent or rejected with a reason; take that out"
    for name, part in parts.items():
        if not kind_of(part.dtype):
            return f"gives {name} the type {part.dtype}, which no cell can be read as; use {_READABLE}"
    return ""


def with_types_by_column(schema: pandera.DataFrameSchema) -> pandera.DataFrameSchema:
    """A type for the whole table, `Config.dtype`, is one for each column, except where it reads rows (pydantic)."""
    if schema.dtype is not None and not isinstance(schema.dtype, pandas_engine.PydanticModel):
        for part in schema.columns.values():
            part.dtype = schema.dtype
        schema.dtype = None
    return schema


def kind_of(dtype: Any) -> str:
    """What the cells of such a column are read as; "" for a type that no cell can be read as."""
    return "str" if dtype is None else next((kind for test, kind in _KINDS if test(dtype)), "")


def category_values(dtype: Any) -> list[Any]:
    """The values that a category names; none: it takes any."""
    return [] if dtype.type.categories is None else list(dtype.type.categories)
