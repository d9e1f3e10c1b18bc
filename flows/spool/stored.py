"""Rows as an Arrow table and back, each value with its Python type.

What Arrow cannot hold exactly goes as text, with the type's name in the column's metadata: decimals (their digits are
kept as written), date-times (each keeps its own offset), and what is nested (its numbers keep their digits as well).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from flows.records import Row

ROW, LINE, UNUSED, CHANGED = "\0row", "\0line", "\0unused", "\0changed"  # no column of a file can be called so
_KIND = b"rowrelay"
_INT64 = range(-(2**63), 2**63)
_JSON = msgspec.json.Encoder(decimal_format="number", enc_hook=str)
_AS_TEXT: dict[str, tuple[type, Callable[[Any], str], Callable[[str], Any]]] = {
    "decimal": (Decimal, str, Decimal),
    "datetime": (datetime, datetime.isoformat, datetime.fromisoformat),
    "nested": (object, lambda value: _JSON.encode(value).decode(), lambda text: json.loads(text, parse_float=Decimal)),
    "json": (object, lambda value: json.dumps(value, default=str), json.loads),
}


def to_table(
    values: pd.DataFrame,
    rows: npt.NDArray[np.int64],
    lines: npt.NDArray[np.int64],
    unused: Sequence[Sequence[str]] | None = None,
    changed: Sequence[Mapping[str, str]] | None = None,
) -> pa.Table:
    """The rows of a typed frame, with their ordinals and lines in the file, and its cells that are in no column.

    `changed`: of rows that a person has mended, what stood in the file, by column.
    """
    fields, arrays = [pa.field(ROW, pa.int64()), pa.field(LINE, pa.int64())], [pa.array(rows), pa.array(lines)]
    for name, column in values.items():
        array, kind = _to_arrow(column)
        fields.append(pa.field(str(name), array.type, metadata={_KIND: kind} if kind else None))
        arrays.append(array)
    if unused is not None:
        fields.append(pa.field(UNUSED, pa.list_(pa.string())))
        arrays.append(pa.array(unused, pa.list_(pa.string())))
    if changed is not None:
        fields.append(pa.field(CHANGED, pa.string()))
        arrays.append(pa.array([msgspec.json.encode(each) for each in changed], pa.binary()).cast(pa.string()))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def to_rows(table: pa.Table) -> list[Row]:
    """The rows of a table that `to_table` made, of which it has all but the cells in no column."""
    mended = table.column(CHANGED).to_pylist() if CHANGED in table.column_names else None
    if mended is not None:
        table = table.drop_columns([CHANGED])
        plain = to_rows(table)
        return [replace(row, changed=msgspec.json.decode(text)) for row, text in zip(plain, mended, strict=True)]
    rows, lines, *columns = (_to_python(table.column(at), table.field(at)) for at in range(table.num_columns))
    names = table.column_names[2:]
    if not columns:
        return [Row(row, line, {}) for row, line in zip(rows, lines, strict=True)]
    return [
        Row(row, line, dict(zip(names, values, strict=True)))
        for row, line, values in zip(rows, lines, zip(*columns, strict=True), strict=True)
    ]


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables of the same columns as one, in the order of their rows.

    A column that is stored in different ways, as one that holds nothing in one of them, is stored anew.
    """
    if len(tables) == 1:
        return tables[0]
    fields, arrays = [], []
    for at, field in enumerate(tables[0].schema):
        parts = [table.column(at) for table in tables]
        if field.name == UNUSED:  # Parquet has another name for what is in a list
            parts = [part.cast(pa.list_(pa.string())) for part in parts]
            fields.append(pa.field(UNUSED, pa.list_(pa.string())))
            arrays.append(pa.chunked_array([chunk for part in parts for chunk in part.chunks]))
            continue
        kinds = {(str(table.schema.field(at).type), _kind_of(table.schema.field(at))) for table in tables}
        if len(kinds) > 1:
            values = [
                cell for table, part in zip(tables, parts, strict=True) for cell in _to_python(part, table.field(at))
            ]
            array, kind = _to_arrow(pd.Series(values, dtype=object))
            field = pa.field(field.name, array.type, metadata={_KIND: kind} if kind else None)
            parts = [pa.chunked_array([array])]
        fields.append(field)
        arrays.append(pa.chunked_array([chunk for part in parts for chunk in part.chunks], field.type))
    table = pa.Table.from_arrays(arrays, schema=pa.schema(fields))
    return table.take(pa.array(np.argsort(numbers(table), kind="stable"))).combine_chunks()


def numbers(table: pa.Table) -> npt.NDArray[np.int64]:
    """The ordinals of a table's rows in the file."""
    return np.asarray(table.column(ROW).to_numpy(), dtype=np.int64)


def is_read_from_text(table: pa.Table, name: str) -> bool:
    """Whether a column holds values of another type as text."""
    return bool(_kind_of(table.schema.field(name)))


def values_of(table: pa.Table, name: str) -> list[Any]:
    """What stands in a column, each value with its Python type."""
    return _to_python(table.column(name), table.schema.field(name))


def _to_arrow(column: pd.Series) -> tuple[Any, str]:
    """(Arrow array, name of the type that was made text or "")."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.dtype.categories.dtype)
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        column = pd.Series([None if pd.isna(value) else value.to_pydatetime() for value in column], dtype=object)
    if column.dtype != object:
        array = pa.array(column, from_pandas=True)
        return (array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array), ""
    cells = [None if gone else value for value, gone in zip(column, column.isna(), strict=True)]
    kind = _kind(cells)
    if not kind:
        return pa.array(cells), ""
    write = _AS_TEXT[kind][1]
    return pa.array([None if value is None else write(value) for value in cells], pa.string()), kind


def _kind(cells: list[Any]) -> str:
    """How a column of Python objects is stored: "" where Arrow holds it as it is."""
    types = {type(value) for value in cells if value is not None}
    for kind in ("decimal", "datetime"):
        if types and all(issubclass(other, _AS_TEXT[kind][0]) for other in types):
            return kind
    if types & {dict, list, Decimal} or (
        types == {int} and not all(value is None or value in _INT64 for value in cells)
    ):
        return "nested"
    return "" if len(types) <= 1 and types <= {date, int, float, str, bool} else "json"


def _to_python(column: pa.ChunkedArray, field: pa.Field) -> list[Any]:
    cells: list[Any] = column.to_pylist()
    kind = _kind_of(field)
    if not kind:
        return cells
    read = _AS_TEXT[kind][2]
    return [None if cell is None else read(cell) for cell in cells]


def _kind_of(field: pa.Field) -> str:
    return str((field.metadata or {}).get(_KIND, b"").decode())
