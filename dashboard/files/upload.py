"""A file that comes in over HTTP, written to disk as it comes: flat memory, and either whole or not there at all."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import time
import unicodedata
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from anyio import CancelScope, to_thread

from flows.errors import FileError, StorageError
from flows.private import sync_folder
from flows.settings import Settings
from flows.storage.located import stored

_BLOCK = 1 << 20  # written and hashed at once, off the event loop
_FORBIDDEN = re.compile(r'[<>:"|?*]')
_LONGEST = 120
_STALE_SECONDS = 86_400.0


class TooLarge(FileError):
    """The file is larger than what may be uploaded."""


class Incomplete(FileError):
    """The connection was lost before the whole file was here."""


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A file that is here. `file` is what a run is started with: relative to the uploads folder."""

    file: str
    name: str
    bytes: int
    sha256: str


def harmless(name: str) -> str:
    """A file name that is only that: no folders, controls or marks of direction, nothing hidden, not too long."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    kept = "".join(char for char in last if unicodedata.category(char)[0] != "C")
    kept = _FORBIDDEN.sub("_", kept).strip().lstrip(".").strip()
    stem, dots = kept, "".join(re.findall(r"\.[A-Za-z0-9]{1,8}", kept[-18:])[-2:])
    if len(kept.encode()) > _LONGEST:
        stem = stem.encode()[: _LONGEST - len(dots)].decode(errors="ignore").rstrip(". ") + dots
    return stem or "file.csv"


async def receive(
    chunks: AsyncIterator[bytes], name: str, folder: Path, *, max_bytes: int, announced: int | None = None
) -> Uploaded:
    """Write what comes to a file of its own below `folder`.

    Raises:
        TooLarge: more than `max_bytes` were announced or came.
        Incomplete: fewer came than were announced. Whatever is raised, nothing of the file stays.
        FileError: the file is empty.
        StorageError: the disk is full.
    """
    if announced is not None and announced > max_bytes:
        raise _too_large(name, max_bytes)
    place = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
    final = place / harmless(name)
    try:
        place.mkdir(parents=True)
        with (place / ".part").open("wb") as file:
            written, digest = await _write(chunks, file, final.name, max_bytes)
            await to_thread.run_sync(_settle, file)
        if announced is not None and written != announced:
            raise Incomplete(f"only {written} of {announced} bytes came", file=final.name, hint="Upload it again.")
        if not written:
            raise FileError("is empty", file=final.name, hint="The first line must name the columns.")
        (place / ".part").rename(final)
        await to_thread.run_sync(sync_folder, place)
    except BaseException as exc:
        with CancelScope(shield=True):  # whoever is cancelled could not wait for a thread any more
            await to_thread.run_sync(_remove, place)
        if isinstance(exc, OSError):
            raise StorageError(f"could not be kept: {exc.strerror or exc}", file=final.name) from exc
        raise
    return Uploaded(f"{place.name}/{final.name}", final.name, written, digest)


def keep(uploaded: Uploaded, settings: Settings) -> None:
    """Take a file that is here to the storage, if that is another place. Raises StorageError; then it is gone."""
    storage = stored(settings)
    if storage.folder is not None:
        return
    here = settings.uploads / uploaded.file
    try:
        storage.put(here, uploaded.file)
    finally:
        _remove(here.parent)


def remove_stale(settings: Settings) -> None:
    """Remove what a crash left half-written, or on its way to the storage."""
    passing = "*/*" if stored(settings).folder is None else "*/.part"
    for part in settings.uploads.glob(passing):
        if time.time() - part.stat().st_mtime > _STALE_SECONDS:
            _remove(part.parent)


async def _write(chunks: AsyncIterator[bytes], file: BinaryIO, name: str, max_bytes: int) -> tuple[int, str]:
    digest, written, waiting = hashlib.sha256(), 0, bytearray()

    def put(block: bytearray) -> None:
        file.write(block)
        digest.update(block)

    async for chunk in chunks:
        written += len(chunk)
        if written > max_bytes:
            raise _too_large(name, max_bytes)
        waiting += chunk
        if len(waiting) >= _BLOCK:
            block, waiting = waiting, bytearray()
            await to_thread.run_sync(put, block)
    await to_thread.run_sync(put, waiting)
    return written, digest.hexdigest()


def _settle(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _too_large(name: str, max_bytes: int) -> TooLarge:
    return TooLarge(
        f"is larger than the {max_bytes / 1e6:,.0f} MB that may be uploaded",
        file=harmless(name),
        hint="Split it, compress it, or raise ROWRELAY_MAX_UPLOAD_BYTES.",
    )
