"""Which pipelines a file could be meant for: those whose columns it has."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from flows.errors import RowrelayError
from flows.pipeline.definition import Definition
from flows.settings import Settings
from flows.source.source import open_file
from flows.storage.located import opened


def fitting(file: str, pipelines: Mapping[str, Definition], settings: Settings) -> list[str]:
    """The pipelines, by name, of which the file has every column that they need."""
    return [name for name, definition in pipelines.items() if _fits(file, definition, settings)]


def _fits(file: str, definition: Definition, settings: Settings) -> bool:
    wanted = {name: column.optional for name, column in definition.columns.items()}
    source = definition.source
    with suppress(RowrelayError), opened(file, settings, definition) as path:
        most, encoding, delimiter = settings.max_upload_bytes, source.encoding, source.delimiter
        with open_file(path, wanted, max_bytes=most, encoding=encoding, delimiter=delimiter) as found:
            return len(found.absent) < len(wanted)  # one of its columns is there at least
    return False
