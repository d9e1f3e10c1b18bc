"""Files out of a folder: of this machine, or one that fsspec reaches (s3://…)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from flows.errors import BadFile, FileError, StorageError
from flows.intake.incoming import (
    BLOCK,
    NO_SECRETS,
    Changed,
    Incoming,
    as_json,
    is_finished,
    masked,
    pour,
    readable,
    short,
    too_large,
)
from flows.ledger.inbox import Version
from flows.masking import Masker
from flows.storage.storage import WHOLE, filesystem, lies_there, make_folder, protocol, reached

LISTINGS = 5  # of a folder out of which others take files


class Folder:
    """A folder on this machine or anywhere fsspec reaches. Folders in it are left alone, `done` and `failed` too.

    `url` is how it is called, `address` where it is, if that holds secrets; `mask` takes them out of messages.
    """

    def __init__(self, url: str, *, address: str = "", mask: Masker = NO_SECRETS) -> None:
        self._fs, self._root = filesystem(address or url)
        kind = protocol(self._fs)
        self._whole = kind in WHOLE
        self._is_local = kind in ("file", "local")
        self._mask = mask
        self.url = url.rstrip("/")
        self.odd: dict[str, str] = {}
        self.known: Version | None = None
        self.version: Version | None = None

    def incoming(self) -> list[Incoming]:
        """Its files, oldest first."""
        entries = self._entries()
        found = [self._incoming(entry) for entry in entries if self._is_file(entry)]
        others = [entry for entry in entries if entry.get("islink") or entry.get("type") not in ("file", "directory")]
        self.odd = {readable(Path(str(entry["name"])).name): _oddity(entry) for entry in others}
        return sorted((each for each in found if is_finished(each.name)), key=lambda each: (each.modified, each.name))

    def _entries(self) -> list[dict[str, Any]]:
        for _ in range(LISTINGS):
            self._fs.invalidate_cache()
            try:
                with masked(self._mask), reached(self.url, "cannot be listed"):
                    return list(self._fs.ls(self._root, detail=True))
            except FileNotFoundError:  # one of its files went while it was listed, or there is none
                continue
        return []  # a folder of an object store is there only while something lies in it

    def _is_file(self, entry: dict[str, Any]) -> bool:
        """A link may lead out of the folder; an object store may keep an empty object in the folder's own name."""
        path = str(entry["name"])
        own = path.rstrip("/") == self._root or path.endswith("/")
        return entry.get("type") == "file" and not entry.get("islink") and not own

    def _incoming(self, entry: dict[str, Any]) -> Incoming:
        path, size = str(entry["name"]), int(entry.get("size") or 0)
        # `created` of a local file is its ctime, which no copying tool can set back as it does with mtime.
        times = [_seconds(entry.get(key)) for key in ("mtime", "created", "LastModified", "last_modified", "updated")]
        changed = max(times)
        order = _seconds(entry.get("mtime")) or changed
        tag = entry.get("ETag") or entry.get("etag")
        # Object stores tell times more exactly in a list than of one object; what they hold has a tag of its content.
        mark = f"{size}:{tag}" if self._whole and tag else f"{size}:{changed}:{tag or entry.get('ino') or ''}"
        return Incoming(readable(Path(path).name), path, size, order, changed, mark, self._whole)

    def copy(self, incoming: Incoming, to: Path, *, max_bytes: int) -> str:
        """Copy it here."""
        if incoming.size > max_bytes:
            raise too_large(incoming.name, max_bytes)
        digest = hashlib.sha256()
        try:
            with masked(self._mask), self._readable(incoming), self._fs.open(incoming.path, "rb") as source:
                size = pour(iter(lambda: source.read(BLOCK), b""), to, digest, max_bytes, incoming.name)
        except FileNotFoundError as exc:
            raise Changed from exc
        if size != incoming.size or self._mark(incoming) != incoming.mark:
            raise Changed
        return digest.hexdigest()

    @contextmanager
    def _readable(self, incoming: Incoming) -> Iterator[None]:
        where = f"{self.url}/{incoming.name}"
        try:
            with reached(where, "cannot be read"):
                yield
        except StorageError as exc:
            # Its folder has just been listed, so on this machine or without permission it is the file that is at fault.
            ours = exc.file == where and (self._is_local or isinstance(exc.__cause__, PermissionError))
            if ours:
                raise BadFile(exc.message) from exc
            raise

    def _mark(self, incoming: Incoming) -> str:
        self._fs.invalidate_cache()
        try:
            with masked(self._mask), reached(self.url):
                return self._incoming(self._fs.info(incoming.path)).mark
        except FileNotFoundError:
            return ""

    def put_away(
        self, incoming: Incoming, where: str, *, report: dict[str, Any], troubled: Iterable[bytes] | None
    ) -> str:
        """Move it; a file that was replaced meanwhile is new and stays."""
        beside: list[str] = []
        try:
            with masked(self._mask), reached(f"{self.url}/{where}", "cannot be written"):
                make_folder(self._fs, f"{self._root}/{where}")
                target = self._free(f"{self._root}/{where}", incoming.name)
                if troubled is not None:
                    beside.append(target + ".troubled.csv")
                    with self._fs.open(beside[-1], "wb") as file:
                        file.writelines(troubled)
                beside.append(target + ".report.json")
                with self._fs.open(beside[-1], "wb") as file:
                    file.write(as_json(report))
                if moved := self._mark(incoming) == incoming.mark:
                    self._fs.mv(incoming.path, target)
        except (FileError, FileNotFoundError) as exc:
            for path in beside:
                with suppress(Exception):  # it would only lie there beside no file
                    self._fs.rm_file(path)
            if isinstance(exc, FileNotFoundError):
                raise StorageError(f"could not be moved to {where}", file=f"{self.url}/{incoming.name}") from exc
            raise
        if not moved:
            return ""
        return target if self._is_local else f"{self.url}/{where}/{Path(target).name}"

    def _free(self, folder: str, name: str) -> str:
        name = short(name)
        stem, dot, suffix = name.partition(".")
        for number in range(1, 10_000):
            made = name if number == 1 else f"{stem}-{number}{dot}{suffix}"
            if not any(lies_there(self._fs, f"{folder}/{name}") for name in (made, f"{made}.report.json")):
                return f"{folder}/{made}"
        raise StorageError("has 10,000 namesakes there; clear it up", file=f"{folder}/{name}")


def _oddity(entry: dict[str, Any]) -> str:
    if entry.get("islink"):
        return "it is a link, which may lead out of the folder; put the file itself there"
    return "it is no file, but a pipe, a socket or a device"


def _seconds(value: Any) -> float:
    if isinstance(value, datetime):
        return value.timestamp()
    return float(value) if isinstance(value, int | float) else 0.0
