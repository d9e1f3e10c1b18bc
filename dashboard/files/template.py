"""A file to start from: the columns of a pipeline, and what may stand in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flows.delivery.check import check_file
from flows.errors import RowrelayError
from flows.pipeline.column import Column
from flows.pipeline.definition import Definition
from flows.pipeline.example import said_of
from flows.pipeline.judge import read_plain
from flows.pipeline.reader import form_of, writer
from flows.pipeline.reading import from_resolved
from flows.schema.model_rules import of_model
from flows.sheet import REASON, Table, for_spreadsheets, plain
from flows.values import as_text

_EXAMPLES = {  # the later ones where the first is the name of a column
    "int": ("1", "2"),
    "float": ("1.5", "2.5"),
    "decimal": ("1.50", "2.50"),
    "str": ("text", "example", "some text"),
    "bool": ("true", "false"),
    "date": ("2026-01-31", "2026-02-28"),
    "datetime": ("2026-01-31T12:00:00", "2026-02-28T12:00:00"),
    "phone": ("+493012345678", "+12015550123"),
    "list": ('["a", "b"]', '["c"]'),
    "json": ('{"a": 1}', "[1]"),
}
_KIND = {
    "int": "whole number",
    "float": "number",
    "decimal": "decimal number",
    "str": "text",
    "bool": "true or false",
    "date": "date, 2026-01-31",
    "datetime": "date and time",
    "phone": "telephone number",
    "list": "list",
    "json": "JSON",
}


def template_csv(definition: Definition) -> bytes:
    """A header and one row that the pipeline accepts; the header alone where no such row is found.

    Everything in it comes from the definition, so nothing is neutralised: it has to be taken as it is.
    """
    return _template(json.dumps(definition.resolved()))


@lru_cache(maxsize=64)
def _template(stored: str) -> bytes:
    definition = from_resolved(json.loads(stored))
    header = list(definition.column_names)
    row = _row_of_model(definition) if definition.schema_path else _row(definition.columns)
    made = _written(definition, [header, row])
    return made if row and _is_accepted(made, definition) else _written(definition, [header])


def _written(definition: Definition, lines: list[list[str]]) -> bytes:
    source = definition.source
    if source.of_ours != source:  # of another kind, or with rows above: what we gave out is read as it is
        lines = [[REASON, *lines[0]], *(["", *line] for line in lines[1:])]
    delimiter = {None: ",", "tab": "\t"}.get(source.delimiter, source.delimiter)
    return Table(str(delimiter), for_spreadsheets(source.encoding)).lines(lines)


def _is_accepted(made: bytes, definition: Definition) -> bool:
    """Whether the pipeline takes a file as it is: a pandera model says so only of rows that it is asked about."""
    with TemporaryDirectory(prefix="rowrelay-") as folder:
        file = Path(folder, "template.csv")
        file.write_bytes(made)
        try:
            return check_file(file, definition).accepted == 1
        except RowrelayError:
            return False


def rule_of(column: Column | None) -> str:
    """What may stand in a column, in words."""
    if column is None:
        return "as the pipeline's schema says"
    form = form_of(column)
    parts = [_KIND[column.type] if form is None else form.words.removeprefix("must be ")]
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
    if column.says:
        parts.append(column.says)
    elif column.pattern:
        parts.append(f"like {column.pattern}")
    if not column.blank:
        parts.append("not blank")
    if column.unique:
        parts.append("no value twice")
    if column.optional:
        parts.append("may be missing")
    return ", ".join(parts)


def _row(columns: Mapping[str, Column]) -> list[str]:
    """A cell a column, each of which the column accepts; nothing where one has no example and needs one."""
    names = {name.strip().casefold() for name in columns}  # a row of names is read as a second header
    row = [_example(column, names) for column in columns.values()]
    return [] if "" in row else row


def _example(column: Column, names: Collection[str]) -> str:
    """The column's example, or the first likely value that its checks accept; "" if none of them will do."""
    if column.example is not None:
        return as_text(column.example)
    fitting = (text for text in _likely(column) if text.casefold() not in names and not said_of(column, text))
    return next(fitting, "")


def _likely(column: Column) -> Iterator[str]:
    yield from column.table or ()
    write = writer(column)
    yield from map(write, column.one_of or ())
    yield from (write(bound) for bound in (column.min, column.max) if bound is not None)
    yield from _usual(column, write)
    for text in _EXAMPLES[column.type]:
        yield text if column.type != "str" else text.ljust(column.min_length or 0, "x")[: column.max_length]


def _usual(column: Column, write: Callable[[Any], str]) -> Iterator[str]:
    """The usual examples, as a column has them written that says how."""
    if form_of(column) is None or column.type == "str":
        return
    ours = form_of(Column.model_validate({"type": column.type}))
    for text in _EXAMPLES[column.type]:
        yield write(ours.read(text) if ours is not None else read_plain(column.type, text))


def _row_of_model(definition: Definition) -> list[str]:
    cells = of_model(definition.pandera_model.to_schema()).cells
    return [_EXAMPLES[how.kind][0] + ("+01:00" if how.zoned else "") for how in cells.values()]
