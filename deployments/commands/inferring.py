"""A definition inferred from a sample file of any kind."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice, tee
from pathlib import Path
from typing import Any

from flows.pipeline.file_form import NESTED, FileForm
from flows.pipeline.infer import MOST_ROWS, infer, name_for
from flows.settings import Settings
from flows.source.header import Called
from flows.source.source import Source, open_file

_LOOKED_AT = 200  # records in which nested objects are looked for
_MOST_PATHS = 200


def definition_of(sample: Path, form: FileForm) -> str:
    """The YAML of it; what was said of the file stands in it. Objects in records become a column for each of their
    fields. Raises FileError, DefinitionError.
    """
    split, paths = _nested(sample, form)
    with _opened(sample, form, paths) as source:
        own = [at for at, name in enumerate(source.columns) if name not in split]
        lines, rows = tee(islice(_numbered(source), MOST_ROWS))
        return infer(
            [source.columns[at] for at in own],
            ([cells[at] for at in own] if len(cells) == len(source.columns) else cells for _, cells in rows),
            lines=(line for line, _ in lines),
            name=name_for(sample.name),
            file=sample.name,
            source=form.stated,
        )


def _opened(sample: Path, form: FileForm, paths: Sequence[str] = ()) -> Source:
    called = Called(others={"": paths}) if paths else None
    return open_file(sample, called=called, form=form, max_bytes=Settings.read().max_upload_bytes)


def _numbered(source: Source) -> Iterator[tuple[int, list[str]]]:
    for frame in source.frames():
        pairs = enumerate(zip(frame.lines.tolist(), frame.cells, strict=True))
        yield from (pair for at, pair in pairs if at not in frame.faults)


def _nested(sample: Path, form: FileForm) -> tuple[set[str], list[str]]:
    """(columns that hold nothing but objects, the paths to what is in those)."""
    with _opened(sample, form) as source:
        if source.kind not in NESTED:
            return set(), []
        cells = [row for _, row in islice(_numbered(source), _LOOKED_AT)]
        found = {name: _objects([row[at] for row in cells]) for at, name in enumerate(source.columns)}
    paths = [path for name, objects in found.items() for path in _paths(name, objects)]
    return ({name for name, objects in found.items() if objects}, paths) if len(paths) <= _MOST_PATHS else (set(), [])


def _objects(cells: Sequence[str]) -> list[dict[str, Any]]:
    """The objects in these cells; none if there is anything else."""
    filled = [cell for cell in cells if cell]
    if not all(cell.startswith("{") for cell in filled):
        return []
    try:
        made = [json.loads(cell) for cell in filled]
    except ValueError:
        return []
    return [each for each in made if isinstance(each, dict)] if all(made) else []


def _paths(name: str, objects: Sequence[dict[str, Any]]) -> Iterator[str]:
    for key in dict.fromkeys(key for each in objects for key in each):
        inner = [each[key] for each in objects if each.get(key) is not None]
        if inner and all(isinstance(value, dict) and value for value in inner):
            yield from _paths(f"{name}.{key}", inner)
        else:
            yield f"{name}.{key}"
