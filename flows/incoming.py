"""Where files come from: a local folder, a folder that fsspec reaches (s3://…), or one file at an http(s) address.

A place lists what lies there, copies a file to this machine while taking its digest, and puts it away afterwards.
What is sent is the copy, so nothing that happens to the original in between can change what was claimed.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import fsspec
import httpx

from flows.definition import Definition
from flows.errors import FileError, SettingError
from flows.settings import Settings

DONE, FAILED = "done", "failed"
UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".filepart", ".swp", "~")
WHOLE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss"}  # objects appear only when they are complete
BLOCK = 2**20
DOWNLOAD_SECONDS = 60.0  # without a byte


class Changed(Exception):
    """The file was changed while it was copied."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file that lies there. `mark` changes whenever its content may have; times are in Unix seconds."""

    name: str
    path: str
    size: int
    modified: float
    changed: float  # the latest sign of life; `modified` can be set back
    mark: str
    whole: bool = False  # known to be complete, however young it is

    @property
    def age_seconds(self) -> float:
        """How long nothing has changed."""
        return time.time() - self.changed


class Place(Protocol):
    """Where files come from. `url` names it in messages and in the ledger."""

    url: str

    def arrivals(self) -> list[Arrival]:
        """What lies there and is no unfinished upload by its name, oldest first. Raises FileError."""

    def copy(self, arrival: Arrival, to: Path, *, max_bytes: int) -> str:
        """Copy it and return the SHA-256 (hex) of its content. Raises Changed, FileError."""

    def put_away(
        self, arrival: Arrival, where: str, *, report: dict[str, Any], troubled: Iterable[bytes] | None
    ) -> str:
        """Move it to done or failed, with a report and perhaps its troubled rows beside it. Returns where it is."""


def place(folder: str, definition: Definition, settings: Settings) -> Place:
    """The place that a schedule or a person names; empty for the pipeline's own inbox folder.

    Raises:
        FileError: it lies outside of what may be read, or is not there.
        SettingError: the package for this kind of address is not installed.
    """
    if "://" not in folder or folder.startswith("file://"):
        return Folder(str(_local(folder.removeprefix("file://"), definition, settings)))
    named = [schedule.inbox for schedule in definition.schedules if schedule.inbox and "://" in schedule.inbox]
    if not any(_below(folder, allowed) for allowed in (*named, *settings.inboxes)):
        raise FileError(
            "is no address that files may be taken from",
            file=folder,
            hint=f"Name it as `inbox` of a schedule in the definition of {definition.name}, or in ROWRELAY_INBOXES.",
        )
    if folder.startswith(("http://", "https://")):
        return Web(folder, settings.inbox / definition.name)
    return Folder(folder)


def _local(folder: str, definition: Definition, settings: Settings) -> Path:
    if not folder:
        own = settings.inbox / definition.name
        own.mkdir(parents=True, exist_ok=True)
        return own.resolve()
    roots = [root.resolve() for root in (settings.inbox, *settings.folders)]
    asked = Path(folder)
    for path in [asked] if asked.is_absolute() else [root / asked for root in roots]:
        real = path.resolve()
        if any(real.is_relative_to(root) for root in roots):
            if real.is_dir():
                return real
        elif path.exists():
            break
    else:
        raise FileError("there is no such folder", file=folder, hint="Make it, or correct the schedule's `inbox`.")
    raise FileError(
        "lies outside the folders that may be read",
        file=folder,
        hint="Use a folder below the inbox, or name it in ROWRELAY_FOLDERS.",
    )


def _below(url: str, allowed: str) -> bool:
    if ".." in url.split("/"):
        return False
    return url.rstrip("/") == allowed.rstrip("/") or url.startswith(allowed.rstrip("/") + "/")


class Folder:
    """A folder on this machine or anywhere fsspec reaches. Folders in it are left alone, `done` and `failed` too."""

    def __init__(self, url: str) -> None:
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url)
        except ImportError as exc:
            raise SettingError(
                f"{url} needs a package that is not installed: {exc}", hint="Install it, e.g. pip install s3fs."
            ) from exc
        self._fs.use_listings_cache = False
        self._root = self._root.rstrip("/")
        protocol = self._fs.protocol if isinstance(self._fs.protocol, str) else self._fs.protocol[0]
        self._whole = protocol in WHOLE
        self._is_local = protocol in ("file", "local")
        self.url = url.rstrip("/")

    def arrivals(self) -> list[Arrival]:
        """Its files, oldest first."""
        self._fs.invalidate_cache()
        try:
            entries = self._fs.ls(self._root, detail=True)
        except FileNotFoundError:
            return []  # a folder of an object store is there only while something lies in it
        except (OSError, ValueError) as exc:
            raise FileError(f"cannot be listed: {exc}", file=self.url) from exc
        found = [self._arrival(entry) for entry in entries if _is_file(entry)]
        return sorted((each for each in found if _finished(each.name)), key=lambda each: (each.modified, each.name))

    def _arrival(self, entry: dict[str, Any]) -> Arrival:
        path = str(entry["name"])
        # `created` of a local file is its ctime, which no copying tool can set back as it does with mtime.
        times = [_seconds(entry.get(key)) for key in ("mtime", "created", "LastModified", "last_modified", "updated")]
        changed = max(times)
        order = _seconds(entry.get("mtime")) or changed
        mark = f"{entry.get('size')}:{changed}:{entry.get('ETag') or entry.get('etag') or entry.get('ino') or ''}"
        return Arrival(Path(path).name, path, int(entry.get("size") or 0), order, changed, mark, self._whole)

    def copy(self, arrival: Arrival, to: Path, *, max_bytes: int) -> str:
        """Copy it here."""
        digest = hashlib.sha256()
        try:
            with self._fs.open(arrival.path, "rb") as source, to.open("wb") as target:
                size = _pour(iter(lambda: source.read(BLOCK), b""), target, digest, max_bytes, arrival.name)
        except FileNotFoundError as exc:
            raise Changed from exc
        except OSError as exc:
            raise FileError(f"cannot be read: {exc}", file=arrival.name) from exc
        if size != arrival.size or self._mark(arrival) != arrival.mark:
            raise Changed
        return digest.hexdigest()

    def _mark(self, arrival: Arrival) -> str:
        self._fs.invalidate_cache()
        try:
            return self._arrival(self._fs.info(arrival.path)).mark
        except FileNotFoundError:
            return ""

    def put_away(
        self, arrival: Arrival, where: str, *, report: dict[str, Any], troubled: Iterable[bytes] | None
    ) -> str:
        """Move it; a file that was replaced meanwhile is new and stays."""
        self._fs.makedirs(f"{self._root}/{where}", exist_ok=True)
        target = self._free(f"{self._root}/{where}", arrival.name)
        if troubled is not None:
            with self._fs.open(target + ".troubled.csv", "wb") as file:
                file.writelines(troubled)
        with self._fs.open(target + ".report.json", "wb") as file:
            file.write(_as_json(report))
        if self._mark(arrival) == arrival.mark:
            self._fs.mv(arrival.path, target)
        return target if self._is_local else f"{self.url}/{where}/{Path(target).name}"

    def _free(self, folder: str, name: str) -> str:
        stem, dot, suffix = name.partition(".")
        for number in range(1, 10_000):
            made = name if number == 1 else f"{stem}-{number}{dot}{suffix}"
            if not self._fs.exists(f"{folder}/{made}") and not self._fs.exists(f"{folder}/{made}.report.json"):
                return f"{folder}/{made}"
        raise FileError("has 10,000 namesakes there; clear it up", file=f"{folder}/{name}")


class Web:
    """One file at an address. It cannot be moved, so its reports go to the pipeline's inbox folder."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self._reports = folder

    def arrivals(self) -> list[Arrival]:
        """The file, if the address answers; its content decides whether it is new."""
        name = Path(urlsplit(self.url).path).name or "download.csv"
        return [Arrival(name, self.url, -1, time.time(), 0.0, self.url, whole=True)]

    def copy(self, arrival: Arrival, to: Path, *, max_bytes: int) -> str:
        """Download it."""
        digest = hashlib.sha256()
        try:
            with httpx.stream("GET", self.url, timeout=DOWNLOAD_SECONDS, follow_redirects=False) as answer:
                if answer.status_code != 200:
                    to_there = f" and leads to {answer.headers['location']}" if "location" in answer.headers else ""
                    raise FileError(f"answered {answer.status_code}{to_there}", file=self.url)
                with to.open("wb") as target:
                    _pour(answer.iter_bytes(BLOCK), target, digest, max_bytes, self.url)
        except httpx.HTTPError as exc:
            raise FileError(f"could not be downloaded: {exc or type(exc).__name__}", file=self.url) from exc
        return digest.hexdigest()

    def put_away(
        self, arrival: Arrival, where: str, *, report: dict[str, Any], troubled: Iterable[bytes] | None
    ) -> str:
        """Write the reports; nothing is written for content that was seen before."""
        if "skipped" in report:
            return self.url
        folder = self._reports / where
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"{arrival.name}.{str(report['run'])[:8]}"
        if troubled is not None:
            with (folder / f"{stem}.troubled.csv").open("wb") as file:
                file.writelines(troubled)
        (folder / f"{stem}.report.json").write_bytes(_as_json(report))
        return self.url


def _pour(blocks: Iterable[bytes], target: Any, digest: Any, max_bytes: int, name: str) -> int:
    size = 0
    for block in blocks:
        size += len(block)
        if size > max_bytes:
            hint = "ROWRELAY_MAX_UPLOAD_BYTES allows more."
            raise FileError(f"is larger than {max_bytes} bytes", file=name, hint=hint)
        digest.update(block)
        target.write(block)
    return size


def _as_json(report: dict[str, Any]) -> bytes:
    return json.dumps(report, indent=1, ensure_ascii=False).encode() + b"\n"


def _is_file(entry: dict[str, Any]) -> bool:
    return entry.get("type") == "file" and not entry.get("islink")  # a link may lead out of the folder


def _finished(name: str) -> bool:
    return bool(name) and not name.startswith((".", "~")) and not name.casefold().endswith(UNFINISHED)


def _seconds(value: Any) -> float:
    if isinstance(value, datetime):
        return value.timestamp()
    return float(value) if isinstance(value, int | float) else 0.0


def settled(arrivals: Sequence[Arrival], seconds: float) -> list[Arrival]:
    """Those that nobody is writing any more, as far as their age tells."""
    return [each for each in arrivals if each.whole or each.age_seconds >= seconds]
