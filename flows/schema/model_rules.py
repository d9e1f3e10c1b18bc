"""What a pandera model asks of a file, as the same rules that stated columns come to."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pandera.pandas as pandera
from pandera.errors import SchemaError

from flows.pipeline.model import kind_of, with_types_by_column
from flows.schema.cell import Cell
from flows.schema.exact_type import exact
from flows.schema.rules import Rules

UNFIT = "must fit the type"

_WORDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "greater_than": lambda s: f"must be more than {s['min_value']}",
    "greater_than_or_equal_to": lambda s: f"must be at least {s['min_value']}",
    "less_than": lambda s: f"must be less than {s['max_value']}",
    "less_than_or_equal_to": lambda s: f"must be at most {s['max_value']}",
    "in_range": lambda s: f"must be between {s['min_value']} and {s['max_value']}",
    "isin": lambda s: "must be one of " + ", ".join(map(str, s["allowed_values"])),
    "notin": lambda s: "must be none of " + ", ".join(map(str, s["forbidden_values"])),
    "str_matches": lambda s: f"must begin with a match of {s['pattern']}",
    "str_contains": lambda s: f"must contain a match of {s['pattern']}",
    "str_startswith": lambda s: f"must begin with {s['string']!r}",
    "str_endswith": lambda s: f"must end with {s['string']!r}",
    "str_length": lambda s: f"must have {_lengths(s)} characters",
    "equal_to": lambda s: f"must be {s['value']}",
    "not_equal_to": lambda s: f"must not be {s['value']}",
}


def of_model(schema: pandera.DataFrameSchema) -> Rules:
    """The rules of a usable pandera schema: always coerced, and unique over the file instead of over one frame."""
    schema = with_types_by_column(deepcopy(schema))
    cells = {str(column): _cell(part) for column, part in schema.columns.items()}
    unique = [(str(column),) for column, part in schema.columns.items() if part.unique]
    groups = schema.unique or []
    unique += [tuple(group) for group in (groups if groups and isinstance(groups[0], list) else [groups]) if group]
    for part in schema.columns.values():
        part.unique = False
        part.dtype = exact(part.dtype)
    schema.unique = None
    schema.coerce = True
    return Rules(cells, schema, tuple(unique), parsed=bool(schema.parsers))


def _cell(part: Any) -> Cell:
    kind = kind_of(part.dtype)
    zoned = getattr(part.dtype, "tz", None) is not None if kind == "datetime" else None
    return Cell(kind, null=part.nullable, optional=not part.required, zoned=zoned)


def words(error: SchemaError) -> str:
    """What a failed check asks for, as a person would say it."""
    check = error.check
    if check is None or isinstance(check, str):  # pandera's own: not_nullable, coerce_dtype('int8')
        return "must not be empty" if "null" in str(check) else f"{UNFIT} {error.schema.dtype}"
    said = str(check.error or "")
    if check.name in _WORDS and said.startswith(f"{check.name}("):
        return _WORDS[check.name](check.statistics)
    return said or str(check.description or f"must pass the check {check.name!r}")


def _lengths(statistics: dict[str, Any]) -> str:
    least, most, exact = (statistics.get(key) for key in ("min_value", "max_value", "exact_value"))
    if exact is not None:
        return str(exact)
    if least is not None and most is not None:
        return f"{least} to {most}"
    return f"at least {least}" if least is not None else f"at most {most}"
