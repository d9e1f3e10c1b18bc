"""A file that was uploaded goes into its pipeline's inbox, where a schedule finds it."""

from __future__ import annotations

from pathlib import Path

from dashboard.files.upload import harmless
from flows.errors import FileError, StorageError
from flows.pipeline.definition import Definition
from flows.private import private_folder, whole_file
from flows.settings import Settings
from flows.storage.located import opened


def deposit(file: str, name: str, definition: Definition, settings: Settings) -> Path:
    """Copy a file into the inbox under this name, whole or not at all; returns its path.

    Raises FileError, StorageError.
    """
    folder = settings.inbox / definition.name
    target = folder / harmless(name)
    try:
        private_folder(folder)
        if target.exists():
            raise FileError("lies in the inbox already", file=target.name, hint="Wait until it has been taken.")
        with opened(file, settings, definition) as source, source.open("rb") as given, whole_file(target) as taken:
            while block := given.read(1 << 20):
                taken.write(block)
    except OSError as exc:
        raise StorageError(f"could not be put into the inbox: {exc.strerror or exc}", file=str(target)) from exc
    return target
