"""A backup of the data folder: one archive that is whole, also while everything runs, and the way back.

`write` takes a snapshot of the ledger before it copies the files that the ledger refers to: what came later does no
harm. Journals it copies before and after: what Redis had not taken is in one of them. `read` puts an archive into an
empty data folder, in which every row that may have been sent since is `unknown` before anybody can send anything.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sqlite3
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, Any
from uuid import uuid4

import redis

from deployments.embedded.locks import Lock, held
from flows.errors import FileError, SettingError, StackError
from flows.ledger.connection import translated
from flows.ledger.keys import VERSION
from flows.private import private_folder, sync_folder, whole_file

FORMAT = 1
HEAD, END = "rowrelay-backup.json", "rowrelay-backup.end"
RDB = "redis/ledger.rdb"
DATABASE = "prefect/prefect.db"
ASIDE = "inbox-restored"  # files that lay in an inbox: they may have been delivered since
# The key of tokens stays out: an archive would hold both, and a refresh token of a backup was used up since.
_LEFT_OUT = ("redis", "stack", "logs", "scratch", "tokens", "tide.json", "backup.lock", DATABASE)
_NOTHING = {"stack", "logs"}  # a data folder with no more than this is empty
_BASE = "redis/appendonlydir/appendonly.aof.1.base.rdb"
_BLOCK = 1 << 20
_SAVE_SECONDS = 3600.0
Told = Callable[[int, int], None]  # bytes done, of so many


@dataclass(frozen=True, slots=True)
class Head:
    """What an archive says of itself."""

    format: int
    program: str
    ledger: int
    made: str


def write(archive: Path, data: Path, client: redis.Redis, told: Told) -> int:
    """Put everything into a new file, readable for its owner alone. Returns its size in bytes.

    Raises:
        FileError: the archive is there already, or there is no room for it.
        StackError: another backup is being made, or Redis does not answer.
        LedgerError: Redis takes no snapshot.
    """
    if archive.exists():
        raise FileError("is there already", file=str(archive), hint="Name another file, or remove this one.")
    lock = Lock.take(data / "backup.lock")
    if lock is None:
        raise StackError("Another backup is being made of this data folder.", hint="Wait until it is there.")
    try:
        with (
            whole_file(archive, mode=0o600) as file,
            tarfile.open(fileobj=file, mode="w:gz", compresslevel=3) as packed,
        ):
            _pack(packed, data, client, told)
    except OSError as exc:
        raise FileError(f"cannot be written: {exc.strerror or exc}", file=str(archive)) from exc
    finally:
        lock.release()
    return archive.stat().st_size


def _private(path: Path, how: int) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o600), "wb")


def _pack(packed: tarfile.TarFile, data: Path, client: redis.Redis, told: Told) -> None:
    head = Head(FORMAT, version("rowrelay"), VERSION, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    _add_bytes(packed, HEAD, json.dumps(asdict(head)).encode())
    for path in sorted((data / "journal").glob("*")):
        _add(packed, path, data)
    with _snapshot(client) as ledger, _copied(data / DATABASE, data) as database:
        files = [path for path in data.rglob("*") if path.is_file() and _belongs(path.relative_to(data).as_posix())]
        total = sum(_size(path) for path in (*files, ledger, database) if path)
        done = 0
        for each, name in ((ledger, RDB), (database, DATABASE), *((path, "") for path in files)):
            if each is not None:
                _add(packed, each, data, name)
                told(done := done + _size(each), total)
    _add_bytes(packed, END, b"")


def _belongs(name: str) -> bool:
    return not any(name == left or name.startswith((f"{left}/", f"{left}-")) for left in _LEFT_OUT)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@contextmanager
def _snapshot(client: redis.Redis) -> Iterator[Path]:
    """The whole ledger at one instant, as a file that the embedded Redis writes beside its own."""
    until = time.monotonic() + _SAVE_SECONDS
    with translated():
        places: dict[Any, Any] = client.config_get("dir", "dbfilename")
        before = client.info("persistence")["rdb_saves"]
        client.bgsave(schedule=True)  # if it just tidies up its log of changes, right after that
        while (found := client.info("persistence"))["rdb_saves"] == before or found["rdb_bgsave_in_progress"]:
            if time.monotonic() > until:
                raise StackError("Redis took too long to write a snapshot of the ledger.")
            time.sleep(0.05)
    if found["rdb_last_bgsave_status"] != "ok":
        raise StackError("Redis could not write a snapshot of the ledger.", hint="Make room on its disk.")
    folder = Path(places["dir"])
    taken = (folder / places["dbfilename"]).rename(folder / f"backup-{uuid4().hex[:8]}.rdb")
    try:
        yield taken
    finally:
        taken.unlink(missing_ok=True)


@contextmanager
def _copied(database: Path, data: Path) -> Iterator[Path | None]:
    """Prefect's database at one instant, or None where there is none."""
    if not database.exists():
        yield None
        return
    folder = private_folder(data / "scratch" / uuid4().hex)
    try:
        copy = folder / "prefect.db"
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        yield copy
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _add(packed: tarfile.TarFile, path: Path, data: Path, name: str = "") -> None:
    """One file, as long as it was when it was opened. One that has gone meanwhile is not needed any more."""
    try:
        if path.is_symlink() or not path.is_file():
            return
        with path.open("rb") as file:
            entry = packed.gettarinfo(arcname=name or path.relative_to(data).as_posix(), fileobj=file)
            entry.type, entry.linkname = tarfile.REGTYPE, ""  # a second name of a file is a file
            packed.addfile(entry, file)
    except FileNotFoundError:
        return


def _add_bytes(packed: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(content), 0o600, int(time.time())
    packed.addfile(entry, BytesIO(content))


def check_empty(data: Path) -> None:
    """Refuse a data folder that is in use, or that has anything in it. Raises StackError, SettingError."""
    if (data / "stack").is_dir() and held(data / "stack" / "supervisor.lock"):
        raise StackError(
            f"Rowrelay is running with the data folder {data}.", hint="End `rowrelay up` and all runs first (Ctrl-C)."
        )
    if data.exists() and {entry.name for entry in data.iterdir()} - _NOTHING:
        raise SettingError(
            f"The data folder {data} is not empty.",
            hint=f"Move it aside first: mv {data} {data}.before. Or name another one in ROWRELAY_DATA.",
        )


def read(archive: Path, folder: Path, told: Told) -> tuple[Head, int]:
    """Unpack an archive into a new folder: what it says of itself, and how many files of inboxes were put aside.

    Raises:
        FileError: it is no such archive, is cut off, was made by a newer version, or there is no room for it.
    """
    last, aside = "", 0
    try:
        total = archive.stat().st_size
        with archive.open("rb") as raw, tarfile.open(fileobj=raw, mode="r:gz") as packed:
            head = _head(packed.next(), packed, archive)
            for entry in packed:
                last = entry.name
                if entry.isreg() and last not in (HEAD, END):
                    aside += _extract(packed, entry, folder)
                    told(min(raw.tell(), total), total)
            while packed.fileobj is not None and packed.fileobj.read(_BLOCK):
                pass  # to its end, where its checksum stands
    except (EOFError, zlib.error, tarfile.TarError, gzip.BadGzipFile, ValueError) as exc:
        raise _broken(archive) from exc
    except OSError as exc:
        raise FileError(f"cannot be restored: {exc.strerror or exc}", file=str(exc.filename or archive)) from exc
    if last != END:
        raise _broken(archive)
    manifest = folder / "redis" / "appendonlydir" / "appendonly.aof.manifest"
    with _private(manifest, os.O_TRUNC) as file:
        file.write(f"file {Path(_BASE).name} seq 1 type b\n".encode())  # Redis goes on from there
    return head, aside


def _broken(archive: Path) -> FileError:
    hint = "Copy it once more, or take an earlier one. Nothing was changed."
    return FileError("is no backup that Rowrelay made, or it was cut off", file=str(archive), hint=hint)


def _head(first: tarfile.TarInfo | None, packed: tarfile.TarFile, archive: Path) -> Head:
    content = packed.extractfile(first) if first is not None and first.name == HEAD else None
    if content is None:
        raise _broken(archive)
    found = json.loads(content.read())
    head = Head(**{each.name: found.get(each.name, "") for each in fields(Head)})
    if int(head.format) > FORMAT or int(head.ledger) > VERSION:
        raise FileError(
            f"was made by a newer version, {head.program}; this is {version('rowrelay')}",
            file=str(archive),
            hint="Restore it with the version that made it, or a later one. Nothing was changed.",
        )
    return head


def _extract(packed: tarfile.TarFile, entry: tarfile.TarInfo, folder: Path) -> bool:
    """Write one file, for its owner alone. Says whether it was put aside."""
    path = PurePosixPath(entry.name)
    if path.is_absolute() or ".." in path.parts:
        raise tarfile.TarError(f"{entry.name} lies outside")
    aside = path.parts[0] == "inbox" and path.parent.name not in ("done", "failed")
    if aside:
        path = PurePosixPath(ASIDE, *path.parts[1:])
    elif entry.name == RDB:
        path = PurePosixPath(_BASE)
    content = packed.extractfile(entry)
    assert content is not None  # it is a regular file
    private_folder((folder / path).parent)
    with _private(folder / path, os.O_TRUNC) as file:
        shutil.copyfileobj(content, file, _BLOCK)
    os.utime(folder / path, (entry.mtime, entry.mtime))
    return aside


def install(folder: Path, data: Path) -> None:
    """Make an unpacked folder the data folder."""
    if data.exists():
        shutil.rmtree(data)  # `check_empty` found nothing in it
    folder.rename(data)
    sync_folder(data.parent)
