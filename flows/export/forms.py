"""Results as bytes: JSON, JSON lines or CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec

from flows.export.layout import Layout
from flows.sheet import Table, cell, neutral

_AS_THEY_STOOD = ("rejected", "skipped")  # results of rows that have the cells of the file
_JSON = msgspec.json.Encoder(decimal_format="number")


def as_json(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """One object, `{"result": [...]}`, a row a line."""
    start = b'{"result": [\n'
    for batch in _batched(rows):
        yield start + b",\n".join(map(_JSON.encode, batch))
        start = b",\n"
    yield b"\n]}\n" if start == b",\n" else b'{"result": []}\n'


def as_jsonl(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """An object a line."""
    for batch in _batched(rows):
        yield b"\n".join(map(_JSON.encode, batch)) + b"\n"


def as_csv(rows: Iterable[dict[str, Any]], layout: Layout) -> Iterator[bytes]:
    """CSV in UTF-8 (with its mark) with a header; formulas neutralised, nested values as JSON.

    Values are written as their columns read them, so that a file of results can be read by its own pipeline.
    """
    table = Table(layout.delimiter)
    header = layout.header
    yield table.lines([[neutral(name) for name in header]])
    for batch in _batched(rows):
        yield table.lines([[_cell(row, name, layout.writers) for name in header] for row in batch])


def _cell(row: dict[str, Any], name: str, writers: Mapping[str, Callable[[Any], str]]) -> str:
    value = row.get(name)
    if name not in writers or row["result"] in _AS_THEY_STOOD:
        return cell(value)
    made = writers[name](value)
    return neutral(made) if isinstance(value, str | bool) else made  # a number or a date is no formula


FORMS: dict[str, Callable[[Iterable[dict[str, Any]], Layout], Iterator[bytes]]] = {
    "json": lambda rows, layout: as_json(rows),
    "jsonl": lambda rows, layout: as_jsonl(rows),
    "csv": as_csv,
}


def _batched(rows: Iterable[dict[str, Any]], size: int = 1000) -> Iterator[list[dict[str, Any]]]:
    left = iter(rows)
    while batch := list(islice(left, size)):
        yield batch
