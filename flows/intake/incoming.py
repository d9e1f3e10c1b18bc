"""Where files come from: a local folder, a folder that fsspec reaches (s3://…), or one file at an http(s) address.

An origin lists what lies there, copies a file to this machine while taking its digest, and puts it away afterwards.
What is sent is the copy, so nothing that happens to the original in between can change what was claimed.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx

from flows import logs
from flows.errors import BadFile, FileError, StorageError
from flows.ledger.inbox import Version
from flows.masking import Masker
from flows.pipeline.definition import Definition
from flows.pipeline.secret import secret
from flows.private import private_folder, whole_file, write_whole
from flows.settings import Settings
from flows.storage.access import below
from flows.storage.storage import WHOLE, filesystem, lies_there, make_folder, protocol, reached

DONE, FAILED = "done", "failed"
UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".filepart", ".swp", "~")
BLOCK = 2**20
LISTINGS = 5  # of a folder out of which others take files
LONGEST_NAME = 255 - len("-9999") - len(".troubled.csv") - len(".12345678")  # in bytes
DOWNLOAD_SECONDS = 60.0  # without a byte
_SECRET = re.compile(r"\$\{secret:([A-Za-z_][A-Za-z0-9_.-]*)\}")


class Changed(Exception):
    """The file was changed while it was copied."""


@dataclass(frozen=True, slots=True)
class Incoming:
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


class Origin(Protocol):
    """Where files come from. `url` names it in messages and in the ledger."""

    url: str
    known: Version | None  # what need not be copied again, as it is known to be put away
    version: Version | None  # what was copied last, where it has an address that can be asked for changes
    odd: dict[str, str]  # what else lay there at the last look, and why it is left alone

    def incoming(self) -> list[Incoming]:
        """What lies there and is no unfinished upload by its name, oldest first. Raises StorageError."""

    def copy(self, incoming: Incoming, to: Path, *, max_bytes: int) -> str:
        """Copy it and return the SHA-256 (hex) of its content.

        Raises:
            Changed: it was written to meanwhile, or is gone.
            BadFile: it is too large, or may not be read.
            StorageError: where it lies cannot be reached, or there is no room for the copy.
        """

    def put_away(
        self, incoming: Incoming, where: str, *, report: dict[str, Any], troubled: Iterable[bytes] | None
    ) -> str:
        """Move it to done or failed, with a report and perhaps its troubled rows beside it. Returns where it is.

        Empty if it was replaced meanwhile by a file that is for a later look: that stays, and only the report is made.
        Raises StorageError where it cannot be moved; then nothing of it lies there.
        """


def origin(folder: str, definition: Definition, settings: Settings) -> Origin:
    """The origin that a schedule or a person names; empty for the pipeline's own inbox folder.

    `${secret:NAME}` in an address that the definition or ROWRELAY_INBOXES states is looked up here, and shown nowhere.

    Raises:
        FileError: it lies outside of what may be read, or is not there.
        SettingError: the package for this kind of address is not installed, or a secret is missing.
    """
    if "://" not in folder or folder.startswith("file://"):
        return Folder(str(_local(folder.removeprefix("file://"), definition, settings)))
    named = [schedule.inbox for schedule in definition.schedules if schedule.inbox and "://" in schedule.inbox]
    allowed = (*named, *settings.inboxes)
    # A secret goes to the very address that it was stated with, and not to what somebody makes of it.
    if folder not in allowed and (_SECRET.search(folder) or not any(below(folder, each) for each in allowed)):
        raise FileError(
            "is no address that files may be taken from",
            file=folder,
            hint=f"Name it as `inbox` of a schedule in the definition of {definition.name}, or in ROWRELAY_INBOXES.",
        )
    secrets = {name: secret(name, settings.secrets) for name in _SECRET.findall(folder)}
    address = _SECRET.sub(lambda found: secrets[found[1]], folder)
    if folder.startswith(("http://", "https://")):
        return Web(folder, settings.inbox / definition.name, address=address, mask=Masker(secrets.values()))
    return Folder(folder, address=address, mask=Masker(secrets.values()))


def _local(folder: str, definition: Definition, settings: Settings) -> Path:
    if not folder:
        own = settings.inbox / definition.name
        with reached(str(own), "cannot be made"):
            private_folder(own)
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


_NO_SECRETS = Masker()


class Folder:
    """A folder on this machine or anywhere fsspec reaches. Folders in it are left alone, `done` and `failed` too.

    `url` is how it is called, `address` where it is, if that holds secrets; `mask` takes them out of messages.
    """

    def __init__(self, url: str, *, address: str = "", mask: Masker = _NO_SECRETS) -> None:
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
                with _masked(self._mask), reached(self.url, "cannot be listed"):
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
            raise _too_large(incoming.name, max_bytes)
        digest = hashlib.sha256()
        try:
            with _masked(self._mask), self._readable(incoming), self._fs.open(incoming.path, "rb") as source:
                size = _pour(iter(lambda: source.read(BLOCK), b""), to, digest, max_bytes, incoming.name)
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
            with _masked(self._mask), reached(self.url):
                return self._incoming(self._fs.info(incoming.path)).mark
        except FileNotFoundError:
            return ""

    def put_away(
        self, incoming: Incoming, where: str, *, report: dict[str, Any], troubled: Iterable[bytes] | None
    ) -> str:
        """Move it; a file that was replaced meanwhile is new and stays."""
        beside: list[str] = []
        try:
            with _masked(self._mask), reached(f"{self.url}/{where}", "cannot be written"):
                make_folder(self._fs, f"{self._root}/{where}")
                target = self._free(f"{self._root}/{where}", incoming.name)
                if troubled is not None:
                    beside.append(target + ".troubled.csv")
                    with self._fs.open(beside[-1], "wb") as file:
                        file.writelines(troubled)
                beside.append(target + ".report.json")
                with self._fs.open(beside[-1], "wb") as file:
                    file.write(_as_json(report))
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


class Web:
    """One file at an address. It cannot be moved, so its reports go to the pipeline's inbox folder."""

    def __init__(self, url: str, folder: Path, *, address: str = "", mask: Masker = _NO_SECRETS) -> None:
        logs.hush()
        self.url = url
        self._address = address or url
        self._mask = mask
        self._reports = folder
        self.odd: dict[str, str] = {}
        self.known: Version | None = None
        self.version: Version | None = None

    def incoming(self) -> list[Incoming]:
        """The file, if the address answers; its content decides whether it is new."""
        name = Path(urlsplit(self.url).path).name or "download.csv"
        return [Incoming(name, self.url, -1, time.time(), 0.0, self.url, whole=True)]

    def copy(self, incoming: Incoming, to: Path, *, max_bytes: int) -> str:
        """Download it, or leave that where the server says that it is still what is `known`."""
        digest, known = hashlib.sha256(), self.known
        asks: dict[str, str] = known.asks if known else {}
        try:
            with (
                _masked(self._mask),
                httpx.stream(
                    "GET", self._address, headers=asks, timeout=DOWNLOAD_SECONDS, follow_redirects=False
                ) as answer,
            ):
                if known and asks and answer.status_code == 304:
                    return known.digest
                if answer.status_code != 200:
                    to_there = f" and leads to {answer.headers['location']}" if "location" in answer.headers else ""
                    raise StorageError(f"answered {answer.status_code}{to_there}", file=self.url)
                announced = answer.headers.get("content-length", "")
                if announced.isdecimal() and int(announced) > max_bytes:
                    raise _too_large(self.url, max_bytes)
                _pour(answer.iter_bytes(BLOCK), to, digest, max_bytes, self.url)
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            why = self._mask.text(str(exc)) or type(exc).__name__
            raise StorageError(f"could not be downloaded: {why}", file=self.url) from None
        self.version = _version(answer.headers, digest.hexdigest())
        return digest.hexdigest()

    def put_away(
        self, incoming: Incoming, where: str, *, report: dict[str, Any], troubled: Iterable[bytes] | None
    ) -> str:
        """Write the reports; nothing is written for content that was seen before."""
        if "skipped" in report:
            return self.url
        folder = self._reports / where
        stem = short(incoming.name) + (f".{str(report['run'])[:8]}" if report.get("run") else "")
        with reached(str(folder), "cannot be written"):
            folder.mkdir(parents=True, exist_ok=True)
            if troubled is not None:
                with whole_file(folder / f"{stem}.troubled.csv") as file:
                    file.writelines(troubled)
            write_whole(folder / f"{stem}.report.json", _as_json(report))
        return self.url


def _version(headers: httpx.Headers, digest: str) -> Version:
    """A time tells changes apart only if it was over when the answer was given: it knows no less than seconds."""
    etag, modified = headers.get("etag", ""), headers.get("last-modified", "")
    try:
        over = parsedate_to_datetime(headers["date"]) - parsedate_to_datetime(modified) > timedelta(seconds=2)
    except (KeyError, ValueError, TypeError):
        over = False
    return Version(digest, etag, modified if over else "")


@contextmanager
def _masked(mask: Masker) -> Iterator[None]:
    """No secret of an address in a message about it."""
    try:
        yield
    except FileError as exc:
        if not mask:
            raise
        raise type(exc)(mask.text(exc.message), hint=mask.text(exc.hint)) from None


def _pour(blocks: Iterable[bytes], to: Path, digest: Any, max_bytes: int, name: str) -> int:
    size, here = 0, partial(reached, str(to), "cannot be written")
    with here():
        target = to.open("wb")
    try:
        for block in blocks:
            size += len(block)
            if size > max_bytes:
                raise _too_large(name, max_bytes)
            digest.update(block)
            with here():
                target.write(block)
    finally:
        with here():
            target.close()
    return size


def _too_large(name: str, max_bytes: int) -> BadFile:
    return BadFile(
        f"is larger than {max_bytes:,} bytes", file=name, hint="Split it, or raise ROWRELAY_MAX_UPLOAD_BYTES."
    )


def _as_json(report: dict[str, Any]) -> bytes:
    return json.dumps(report, indent=1, ensure_ascii=False).encode() + b"\n"


def readable(name: str) -> str:
    """A name that everybody can read and write, also of a file whose own is not UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def short(name: str) -> str:
    """A name that leaves room for what is put beside its file, as no name may have more than 255 bytes."""
    if len(name.encode()) <= LONGEST_NAME:
        return name
    endings = "".join(Path(name).suffixes[-2:])
    endings = endings if len(endings.encode()) <= 20 else ""  # else it is no ending
    stem = name.removesuffix(endings).encode()[: LONGEST_NAME - len(endings.encode())]
    return stem.decode("utf-8", "ignore") + endings


def _oddity(entry: dict[str, Any]) -> str:
    if entry.get("islink"):
        return "it is a link, which may lead out of the folder; put the file itself there"
    return "it is no file, but a pipe, a socket or a device"


def is_finished(name: str) -> bool:
    """Whether a file's name says that it is whole: no hidden file, no unfinished upload."""
    return bool(name) and not name.startswith((".", "~")) and not name.casefold().endswith(UNFINISHED)


def _seconds(value: Any) -> float:
    if isinstance(value, datetime):
        return value.timestamp()
    return float(value) if isinstance(value, int | float) else 0.0


def settled(incoming: Sequence[Incoming], seconds: float) -> list[Incoming]:
    """Those that nobody is writing any more, as far as their age tells."""
    return [each for each in incoming if each.whole or each.age_seconds >= seconds]
