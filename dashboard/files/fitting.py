"""Which pipelines a file could be meant for: those whose columns it has."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from flows.errors import RowrelayError
from flows.pipeline.definition import Definition
from flows.settings import Settings
from flows.source.header import Called
from flows.source.source import open_file
from flows.storage.located import opened
from flows.storage.storage import scratch


def fitting(file: str, own: Definition, others: Mapping[str, Definition], settings: Settings) -> list[str]:
    """The others, by name, of which a file that was meant for `own` has every column that they need."""
    with suppress(RowrelayError), opened(file, settings, own) as path, scratch(settings.data) as folder:
        return [name for name, definition in others.items() if fits(path, definition, settings, folder)]
    return []


def fits(path: Path, definition: Definition, settings: Settings, folder: Path | None = None) -> bool:
    """Whether a file has every column that a pipeline needs, and one of its columns at least.

    `folder`: for what a packed workbook unpacks to (default: the system's for temporary files).
    """
    wanted = {name: column.optional for name, column in definition.columns.items()}
    most = settings.max_upload_bytes
    with (
        suppress(RowrelayError),
        open_file(
            path,
            wanted,
            called=Called.of(definition),
            max_bytes=most,
            form=definition.source,
            scratch=folder,
        ) as found,
    ):
        return len(found.absent) < len(wanted)  # one of its columns is there at least
    return False
