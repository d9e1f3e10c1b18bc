"""Files that outlive a process: in a folder of this machine, or wherever fsspec reaches (s3://…), for every machine.

A file that is put appears whole or not at all. What is to be read is copied to this machine's disk first where it does
not lie there anyway, so that everything behind it works on plain files.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

from flows.errors import FileError, RowrelayError, SettingError, StorageError
from flows.private import private_folder, sync_folder, whole_file
from flows.storage.access import is_name

WHOLE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss"}  # objects appear only when they are complete
_BLOCK = 2**20  # bytes copied in one go
# The clients of object stores let errors of these libraries through, beside OSError.
_FOREIGN = {"botocore", "aiobotocore", "aiohttp", "gcsfs", "google", "adlfs", "azure", "ossfs"}


@contextmanager
def reached(where: str, what: str = "cannot be reached", *, writing: bool = False) -> Iterator[None]:
    """Errors of a disk or an object store as StorageError.

    That something is not there stays FileNotFoundError, except in `writing`, where it is the bucket or the disk.
    """
    try:
        yield
    except RowrelayError:
        raise
    except Exception as exc:
        if isinstance(exc, FileNotFoundError) and not writing:
            raise
        if not isinstance(exc, OSError) and type(exc).__module__.partition(".")[0] not in _FOREIGN:
            raise
        why = (exc.strerror if isinstance(exc, OSError) else "") or str(exc) or type(exc).__name__
        raise StorageError(f"{what}: {why}", file=where, hint="What is finished is kept; try again later.") from exc


def filesystem(url: str) -> tuple[Any, str]:
    """The fsspec filesystem and the path of an address. Raises SettingError where its package is missing."""
    try:
        fs, path = fsspec.core.url_to_fs(url)
    except ImportError as exc:
        raise SettingError(
            f"{url} needs a package that is not installed: {exc}", hint="Install it, e.g. pip install s3fs."
        ) from exc
    except ValueError as exc:
        raise SettingError(f"{url} is no address of files: {exc}") from exc
    fs.use_listings_cache = False
    return fs, str(path).rstrip("/")


def is_local(url: str) -> bool:
    """Whether it names a folder of this machine."""
    return "://" not in url or url.startswith(("file://", "local://"))


class Storage:
    """The files below one folder. Their names are relative to it, with `/` between the parts. Raises StorageError."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.folder = Path(url.partition("://")[2] if "://" in url else url) if is_local(url) else None
        self._fs: Any
        self._fs, self._root = (None, "") if self.folder else filesystem(self.url)

    def put(self, source: Path, name: str) -> None:
        """Move a complete file of this machine in. Whoever looks sees all of it or nothing."""
        with reached(f"{self.url}/{name}", "cannot be written", writing=True):
            if self.folder is None:
                self._upload(source, self._path(name))
                source.unlink()
                return
            target = self.folder / self._path(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            _move(source, target)

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        if not is_name(name) or not _inside(name):
            return False
        with reached(self.url):
            return (self.folder / name).is_file() if self.folder else lies_there(self._fs, self._path(name))

    def names(self, folder: str) -> list[str]:
        """The names of the files right below a folder; none if there is no such folder."""
        with reached(f"{self.url}/{folder}", "cannot be listed"):
            if self.folder:
                there = self.folder / self._path(folder)
                return sorted(f"{folder}/{each.name}" for each in there.iterdir()) if there.is_dir() else []
            try:
                found = self._fs.ls(self._path(folder), detail=False)
            except FileNotFoundError:
                return []
            return sorted(f"{folder}/{str(path).rpartition('/')[2]}" for path in found)

    def fetch(self, name: str, to: Path) -> None:
        """Copy it to a file of this machine. Raises FileError if there is no such file."""
        with _there(name), reached(f"{self.url}/{name}", "cannot be read"):
            if self.folder:
                shutil.copyfile(self.folder / self._path(name), to)
            else:
                self._fs.get_file(self._path(name), str(to))

    def delete(self, name: str) -> None:
        """Remove a file, or a folder with all that is in it; no error if there is none."""
        with reached(f"{self.url}/{name}", "cannot be removed"), suppress(FileNotFoundError):
            if self.folder is None:
                self._fs.rm(self._path(name), recursive=True)
                return
            path = self.folder / self._path(name)
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _path(self, name: str) -> str:
        if not is_name(name) or not _inside(name):
            raise FileError("is no name of a stored file", file=name)
        return name if self.folder else f"{self._root}/{name}"

    def _upload(self, source: Path, path: str) -> None:
        make_folder(self._fs, path.rpartition("/")[0])
        if protocol(self._fs) in WHOLE:
            self._fs.put_file(str(source), path)
            return
        with whole(self._fs, path) as file, source.open("rb") as given:
            shutil.copyfileobj(given, file, _BLOCK)


@contextmanager
def whole(fs: Any, path: str) -> Iterator[Any]:
    """A file to write in any filesystem, which appears when the block ends; if it raises, nothing changes."""
    if isinstance(fs, LocalFileSystem):
        with whole_file(Path(path)) as file:
            yield file
        return
    part = f"{path.rpartition('/')[0]}/.{uuid4().hex}.part"
    try:
        with fs.open(part, "wb") as file:
            yield file
        fs.mv(part, path)
    except BaseException:
        with suppress(Exception):  # it may not be there yet, or out of reach as well
            fs.rm_file(part)
        raise


def lies_there(fs: Any, path: str) -> bool:
    """Whether there is a file. fsspec's own `exists` and `isfile` say no as well where they got no answer."""
    try:
        return bool(fs.info(path)["type"] == "file")
    except FileNotFoundError:
        return False


def make_folder(fs: Any, path: str) -> None:
    """Make a folder where there are such; an object store has none, and would make a bucket of a misspelt name."""
    if protocol(fs) not in WHOLE:
        fs.makedirs(path, exist_ok=True)


def protocol(fs: Any) -> str:
    """The name of an fsspec filesystem's kind."""
    return str(fs.protocol if isinstance(fs.protocol, str) else fs.protocol[0])


@contextmanager
def scratch(data: Path) -> Iterator[Path]:
    """A folder of this machine that is gone afterwards; the system's own may be in memory. Raises StorageError."""
    folder = data / "scratch" / uuid4().hex
    with reached(str(folder), "cannot be made"):
        private_folder(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _there(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as exc:
        raise FileError("there is no such file", file=name, hint="Upload it again.") from exc


def _inside(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and ".." not in parts


def _move(source: Path, target: Path) -> None:
    """Rename it, over the border of a disk too: the name appears when all of it is on the disk."""
    try:
        source.rename(target)
    except OSError:
        with whole_file(target) as file, source.open("rb") as given:
            shutil.copyfileobj(given, file, _BLOCK)
        source.unlink()
    else:
        sync_folder(target.parent)
