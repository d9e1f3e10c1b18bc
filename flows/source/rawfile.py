"""The bytes of a file: opened safely, unpacked, counted, digested, and watched for changes."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from flows.errors import BadFile, FileError, UnclearEncoding
from flows.records import Reading
from flows.source.unpack import ZIP, Packing, joined, packing_of
from flows.source.zipped import is_document

BLOCK = 1 << 20
RATIO_FROM = 64 << 20  # below this many unpacked bytes the ratio does not matter

OnRead = Callable[[int, int], None]


def nothing(done: int, total: int) -> None:
    """What is done after each MiB where nobody waits for it."""


class RawFile:
    """One regular file, read once from beginning to end.

    Flat in memory whatever the file holds. Raises FileError for everything that is no readable file, for
    packed data that is damaged, cut off or unpacks without measure, and for a file that changes meanwhile (a
    change that keeps size and modification time escapes). `on_read` is called after each MiB but the first with the
    bytes read and the bytes of the file, and may raise.
    """

    def __init__(self, path: str | Path, *, max_bytes: int, on_read: OnRead = nothing) -> None:
        self.path = Path(path)
        self._on_read = on_read
        self.max_bytes = max_bytes
        self.bytes_done = 0  # of the file as it lies on disk, from its beginning
        self.bytes_seen = 0  # by who looks about in it
        self.packed = False
        self._hash = hashlib.sha256()
        self._fd = _open(self.path)
        self._before = os.fstat(self._fd)
        try:
            self._refuse_size()
        except FileError:
            self.close()
            raise

    @property
    def bytes_total(self) -> int:
        """Size on disk when it was opened."""
        return self._before.st_size

    def error(
        self, message: str, *, hint: str = "", line: int | None = None, readings: Sequence[Reading] = ()
    ) -> BadFile:
        """The error for what is wrong with this file; with `readings` it is about the encoding."""
        if readings:
            return UnclearEncoding(message, file=str(self.path), line=line, hint=hint, readings=readings)
        return BadFile(message, file=str(self.path), line=line, hint=hint)

    def blocks(self) -> Iterator[bytes]:
        """The content, unpacked, in blocks of at most 1 MiB; to be walked through once."""
        raw = self._raw_blocks()
        first = next(raw, b"")
        blocks, packing = raw, packing_of(first)
        if packing and not (packing is ZIP and is_document(self._fd, self.error)):
            self.packed = True
            blocks = joined(self._measured(packing, chain([first], raw)))
            if not (first := next(blocks, b"")):
                raise self.error("is packed, but there is nothing in it")
            if (inner := packing_of(first)) and inner is not ZIP:  # a document in parts looks like one
                raise self.error(f"is packed twice: there is {inner.name} in it", hint="Unpack it once.")
        yield first
        yield from blocks

    def looked_into(self) -> io.RawIOBase:
        """The bytes on disk as a file that can be read anywhere, whatever `blocks` does meanwhile."""
        return _LookedInto(self)

    def read_at(self, at: int, size: int) -> bytes:
        """Some bytes of the file on disk. Raises FileError."""
        try:
            found = os.pread(self._fd, size, at)
        except OSError as exc:
            raise FileError(f"could not be read to its end: {exc.strerror}", file=str(self.path)) from exc
        before, self.bytes_seen = self.bytes_seen, min(self.bytes_seen + len(found), self.bytes_total)
        if before // BLOCK != self.bytes_seen // BLOCK:
            self._on_read(self.bytes_seen, self.bytes_total)
        return found

    def digest(self) -> str:
        """SHA-256 (hex) of the bytes on disk; complete once `blocks` has come to its end."""
        return self._hash.hexdigest()

    def close(self) -> None:
        """Let go of the file. May be called again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _refuse_size(self) -> None:
        if not stat.S_ISREG(self._before.st_mode):
            raise self.error(f"is {_kind(self._before.st_mode)}, not a file of rows")
        if self.bytes_total == 0:
            raise self.error("is empty", hint="The first line must name the columns, the rows follow.")
        if self.bytes_total > self.max_bytes:
            raise self._too_large()

    def _too_large(self) -> FileError:
        return self.error(
            f"holds more than the {self.max_bytes:,} bytes that are allowed",
            hint="Split it, or raise ROWRELAY_MAX_UPLOAD_BYTES.",
        )

    def _raw_blocks(self) -> Iterator[bytes]:
        while block := self._read():
            self.bytes_done += len(block)
            self._hash.update(block)
            if self.bytes_done > self.bytes_total:
                raise self._changed("grew")
            if self.bytes_done > len(block):
                self._on_read(self.bytes_done, self.bytes_total)
            yield block
        self._refuse_change()

    def _read(self) -> bytes:
        try:
            return os.read(self._fd, BLOCK)
        except OSError as exc:
            raise FileError(f"could not be read to its end: {exc.strerror}", file=str(self.path)) from exc

    def _refuse_change(self) -> None:
        after = os.fstat(self._fd)
        if self.bytes_done != self.bytes_total or after.st_size != self.bytes_total:
            raise self._changed("changed its size")
        if after.st_mtime_ns != self._before.st_mtime_ns:
            raise self._changed("was written to")
        try:
            named = os.stat(self.path)
        except OSError as exc:
            raise self._changed("was moved or deleted") from exc
        if (named.st_ino, named.st_dev) != (after.st_ino, after.st_dev):
            raise self._changed("was replaced")

    def _changed(self, what: str) -> FileError:
        return FileError(
            f"{what} while it was being read",
            file=str(self.path),
            hint="Wait until it is complete, then start again.",
        )

    def _measured(self, packing: Packing, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """What is unpacked, as long as it keeps within measure."""
        total = 0
        for block in packing.unpack(blocks, self._fd, self.error):
            total += len(block)
            self._refuse_bomb(total, packing.ratio)
            yield block

    def _refuse_bomb(self, total: int, ratio: int) -> None:
        if total > self.max_bytes:
            raise self._too_large()
        if total > RATIO_FROM and total > ratio * self.bytes_done:
            raise self.error(
                f"unpacks to more than {ratio:,} times its size, which no file of rows does",
                hint="If it is meant to be so, unpack it first.",
            )


class _LookedInto(io.RawIOBase):
    def __init__(self, raw: RawFile) -> None:
        self._raw, self._at = raw, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._raw.bytes_total}[whence]
        if begin + offset < 0:
            raise ValueError("there is nothing before the beginning of a file")  # as any file says it
        self._at = begin + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        found = self._raw.read_at(self._at, len(buffer))
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)


def _open(path: Path) -> int:
    """A descriptor of a regular file; anything else is refused without being opened (a FIFO would block)."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as exc:
        raise FileError(_why(exc), file=str(path)) from exc
    except ValueError as exc:  # a NUL in the name
        raise FileError("is not a possible file name", file=repr(str(path))) from exc
    hint = "Name one file in it." if stat.S_ISDIR(mode) else ""
    raise FileError(f"is {_kind(mode)}, not a file of rows", file=str(path), hint=hint)


def _why(exc: OSError) -> str:
    known = {
        errno.ENOENT: "there is no such file",
        errno.ENOTDIR: "there is no such file",
        errno.EACCES: "may not be read: permission denied",
        errno.EPERM: "may not be read: permission denied",
        errno.ELOOP: "is a link that leads back to itself",
        errno.ENAMETOOLONG: "is a name that is too long",
    }
    return known.get(exc.errno or 0, f"cannot be opened: {exc.strerror}")


def _kind(mode: int) -> str:
    for test, name in (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    ):
        if test(mode):
            return name
    return "something else"
