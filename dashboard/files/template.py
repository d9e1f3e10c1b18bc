"""A file to start from: the columns of a pipeline, and what may stand in them."""

from __future__ import annotations

from flows.pipeline.column import Column
from flows.pipeline.definition import Definition
from flows.sheet import Table, plain

_EXAMPLE: dict[str, str] = {
    "int": "1",
    "float": "1.5",
    "decimal": "1.50",
    "str": "text",
    "bool": "true",
    "date": "2026-01-31",
    "datetime": "2026-01-31T12:00:00",
}
_KIND = {
    "int": "whole number",
    "float": "number",
    "decimal": "decimal number",
    "str": "text",
    "bool": "true or false",
    "date": "date, 2026-01-31",
    "datetime": "date and time",
}


def template_csv(definition: Definition) -> bytes:
    """A header and one row that would be accepted, as far as that can be known (not where a pattern is asked for).

    Everything in it comes from the definition, so nothing is neutralised: it has to be taken as it is.
    """
    names = definition.column_names
    return Table().lines([names, [_example(definition.columns.get(name)) for name in names]])


def rule_of(column: Column | None) -> str:
    """What may stand in a column, in words."""
    if column is None:
        return "as the pipeline's schema says"
    parts = [_KIND[column.type]]
    if column.one_of:
        parts = [
            "one of "
            + ", ".join(plain(value) for value in column.one_of[:8])
            + (" …" if len(column.one_of) > 8 else "")
        ]
    if column.min is not None and column.max is not None:
        parts.append(f"{plain(column.min)} to {plain(column.max)}")
    elif column.min is not None:
        parts.append(f"{plain(column.min)} or more")
    elif column.max is not None:
        parts.append(f"{plain(column.max)} at most")
    if column.min_length is not None:
        parts.append(f"at least {column.min_length} characters")
    if column.max_length is not None:
        parts.append(f"at most {column.max_length} characters")
    if column.pattern:
        parts.append(f"like {column.pattern}")
    if not column.blank:
        parts.append("not blank")
    if column.unique:
        parts.append("no value twice")
    if column.optional:
        parts.append("may be missing")
    return ", ".join(parts)


def _example(column: Column | None) -> str:
    if column is None:
        return ""
    if column.one_of:
        return plain(column.one_of[0])
    if column.min is not None:
        return plain(column.min)
    if column.max is not None:
        return plain(column.max)
    text = _EXAMPLE[column.type]
    if column.type == "str":
        text = text.ljust(column.min_length or 0, "x")[: column.max_length]
    return text
