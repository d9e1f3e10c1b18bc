"""The file that a run is about, wherever it lies: below an allowed folder, in the storage, or at an inbox' address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from flows.errors import FileError
from flows.pipeline.definition import Definition
from flows.settings import Settings
from flows.storage.access import below, resolve
from flows.storage.storage import Storage, is_local, scratch


def stored(settings: Settings) -> Storage:
    """Where uploads lie, and the copies that are made of an inbox' files."""
    return Storage(settings.uploads_url)


def upload_of(file: str, settings: Settings) -> str:
    """The name of the folder in the storage that an upload lies alone in, "" for a file that is no upload."""
    path, root = Path(file), settings.uploads.resolve()
    if path.is_absolute():
        file = str(path.resolve().relative_to(root)) if path.resolve().is_relative_to(root) else ""
    folder, _, name = file.partition("/")
    return "" if not name or "/" in name or folder in ("..", "inbox") or "://" in file else folder


def find(name: str, settings: Settings, pipeline: str) -> None:
    """Refuse a file that is not there or may not be read. Raises FileError, StorageError."""
    if not _is_in_storage(name, settings):
        _local(name, settings, pipeline)


@contextmanager
def opened(name: str, settings: Settings, definition: Definition | None) -> Iterator[Path]:
    """The file on this machine's disk, as long as the block runs: as it lies here, or a copy of it.

    `definition`: the pipeline that it is for, whose inboxes may be read, too.

    Raises:
        FileError: there is no such file, or it may not be read.
        StorageError: the storage cannot be reached, or there is no room for the copy.
    """
    folder, _, last = name.rpartition("/")
    if "://" in name:
        named = [schedule.inbox for schedule in (definition.schedules if definition else []) if schedule.inbox]
        if is_local(name) or not any(below(name, allowed) for allowed in (*named, *settings.inboxes)):
            raise FileError("lies outside the folders and addresses that may be read", file=name)
        source, asked = Storage(folder), last
    elif _is_in_storage(name, settings):
        source, asked = stored(settings), name
    else:
        yield _local(name, settings, definition.name if definition else "")
        return
    with scratch(settings.data) as here:
        path = here / PurePosixPath(last or name).name
        source.fetch(asked, path)
        yield path


def _local(name: str, settings: Settings, pipeline: str) -> Path:
    """A file of this machine; one in the pipeline's own inbox is found by its bare name."""
    own = settings.inbox / pipeline
    folders = (settings.uploads, own, settings.inbox, *settings.folders)
    others = " and the folders of ROWRELAY_FOLDERS" if settings.folders else ""
    return resolve(name, folders, looked=f"uploads, inbox/{pipeline} and inbox of the data folder{others}")


def _is_in_storage(name: str, settings: Settings) -> bool:
    return not is_local(settings.uploads_url) and stored(settings).exists(name)
