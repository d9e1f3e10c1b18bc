"""The rows that would travel first, before any is sent: read from the file, packed as they would go out."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from flows.client.compiled import Compiled
from flows.delivery.job import Slice, Ticket
from flows.delivery.packing import packing
from flows.pipeline.definition import Definition
from flows.pipeline.file_form import FileForm
from flows.records import Row
from flows.schema.schema import Checker
from flows.source.header import Called
from flows.source.source import MAX_BYTES, open_file
from flows.spool.stored import to_rows, to_table

_NOBODY = cast(Slice, None)  # nobody waits for these tickets


def first_parcel(compiled: Compiled, rows: Sequence[Row]) -> list[Row]:
    """As many of the first rows as travel together."""
    if not rows:
        return []
    return list(rows[: packing(compiled).take([Ticket(row, _NOBODY) for row in rows])])


def first_rows(
    path: Path,
    definition: Definition,
    *,
    most: int | None = None,
    said: FileForm | None = None,
    mapping: Mapping[str, str] | None = None,
    max_bytes: int = MAX_BYTES,
) -> list[Row]:
    """The first rows of a file that can be sent: as many as one request takes, or `most`. Reads no further.

    Raises FileError and DefinitionError as a check does.
    """
    most = most or definition.rows_per_request
    found: list[Row] = []
    reading: dict[str, Any] = {
        "called": Called.of(definition, mapping),
        "form": definition.source.but(said),
        "max_bytes": max_bytes,
    }
    with (
        tempfile.TemporaryDirectory(prefix="rowrelay-") as folder,
        Checker(definition, folder=Path(folder), file=str(path)) as checker,
        open_file(path, checker.wanted, **reading) as source,
    ):
        for frame in source.frames():
            checked = checker.check(frame.text, frame.lines, frame.faults)
            at = checked.values.index.to_numpy()[: most - len(found)]
            found += to_rows(to_table(checked.values[: len(at)], frame.rows[at], frame.lines[at]))
            if len(found) >= most:
                break
    return found
