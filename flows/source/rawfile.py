"""The bytes of a file: opened safely, unpacked, counted, digested, and watched for changes."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from flows.errors import BadFile, FileError, UnclearEncoding
from flows.records import Reading

BLOCK = 1 << 20
RATIO = 250  # deflate reaches 1032:1 on a file of one repeated row; real rows stay below 50:1
RATIO_FROM = 64 << 20  # below this many unpacked bytes the ratio does not matter
GZIP = b"\x1f\x8b"
PIECE = 256  # bytes of a packed member to begin with; then twice as many, and so on
NOT_ZERO = re.compile(rb"[^\0]")

AS_CSV = "Open it in the program it was made with and save it as CSV (UTF-8)."
UNPACK = "Unpack it first; of packed files only .gz is read."
FOREIGN = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document (.xls?), not CSV", AS_CSV),
    (b"PAR1", "a Parquet file, not CSV", AS_CSV),
    (b"SQLite format 3\0", "a SQLite database, not CSV", AS_CSV),
    (b"%PDF", "a PDF document, not CSV", AS_CSV),
    (b"\x89PNG", "a picture, not CSV", AS_CSV),
    (b"\xff\xd8\xff", "a picture, not CSV", AS_CSV),
    (b"BZh", "packed with bzip2", UNPACK),
    (b"\xfd7zXZ", "packed with xz", UNPACK),
    (b"\x28\xb5\x2f\xfd", "packed with Zstandard", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
    (b"\x7fELF", "a program, not CSV", AS_CSV),
)
WEB_PAGE = (b"<!doctype html", b"<html")


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
        self.bytes_done = 0  # of the file as it lies on disk
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
        if first.startswith(GZIP):
            blocks = _joined(self._unpacked(first, raw))
            first = next(blocks, b"")
            if not first:
                raise self.error("is packed, but there is nothing in it")
            if first.startswith(GZIP):
                raise self.error("is packed twice", hint="Unpack it once.")
        else:
            blocks = raw
        self._refuse_foreign(first)
        yield first
        yield from blocks

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

    def _unpacked(self, first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
        """Every member of a gzip file, at most 1 MiB at a time however well it is packed.

        Members may be tiny and many. What a member leaves unused is copied, so each begins with a small piece.
        """
        packed = _Packed(first, rest)
        member, piece = zlib.decompressobj(wbits=31), PIECE
        total, data = 0, b""
        while True:
            if member.eof:  # the end, another member, or the padding that tape tools leave
                packed.give_back(len(member.unused_data))
                packed.skip_zeros()
                if packed.at_end():
                    return
                if not packed.begins_with(GZIP):
                    raise self.error("has other data behind its packed part", hint="Pack it again.")
                member, piece, data = zlib.decompressobj(wbits=31), PIECE, b""
            if not data:
                data, piece = packed.take(piece), min(2 * piece, BLOCK)
                if not data:
                    raise self.error("is cut off: its packed data has no end", hint="Copy or download it again.")
            try:
                block = member.decompress(data, BLOCK)
            except zlib.error as exc:
                raise self.error(f"is damaged: its packed data does not unpack ({exc})", hint="Pack it again.") from exc
            data = member.unconsumed_tail
            total += len(block)
            self._refuse_bomb(total)
            if block:
                yield block

    def _refuse_bomb(self, total: int) -> None:
        if total > self.max_bytes:
            raise self._too_large()
        if total > RATIO_FROM and total > RATIO * self.bytes_done:
            raise self.error(
                f"unpacks to more than {RATIO} times its size, which no file of rows does",
                hint="If it is meant to be so, unpack it first.",
            )

    def _refuse_foreign(self, head: bytes) -> None:
        if head.startswith(b"PK\x03\x04"):
            if self.path.suffix.lower() in (".xlsx", ".xlsm") or b"xl/" in head or b"[Content_Types].xml" in head:
                raise self.error("is an Excel workbook, which is not read", hint="Save it as CSV (UTF-8) in Excel.")
            raise self.error("is a ZIP archive", hint=UNPACK)
        if head[257:262] == b"ustar":
            raise self.error("is a tar archive", hint=UNPACK)
        if head[:64].lstrip().lower().startswith(WEB_PAGE):
            raise self.error("is a web page, not CSV", hint="The download may have needed a login.")
        for magic, what, hint in FOREIGN:
            if head.startswith(magic):
                raise self.error(f"is {what}", hint=hint)


class _Packed:
    """Bytes that come in blocks, taken a piece at a time."""

    def __init__(self, first: bytes, rest: Iterator[bytes]) -> None:
        self._block, self._at, self._rest = first, 0, rest

    def take(self, most: int) -> bytes:
        """At most so many of the next bytes; none at the end."""
        if self.at_end():
            return b""
        piece = self._block[self._at : self._at + most]
        self._at += len(piece)
        return piece

    def give_back(self, count: int) -> None:
        """The last bytes of the piece that was taken last come again."""
        self._at -= count

    def skip_zeros(self) -> None:
        """Go on to the next byte that is not zero."""
        while not self.at_end():
            if (found := NOT_ZERO.search(self._block, self._at)) is not None:
                self._at = found.start()
                return
            self._at = len(self._block)

    def begins_with(self, mark: bytes) -> bool:
        """Whether these bytes come next."""
        if len(self._block) - self._at < len(mark):
            self._block, self._at = self._block[self._at :] + next(self._rest, b""), 0
        return self._block.startswith(mark, self._at)

    def at_end(self) -> bool:
        """Whether nothing is left."""
        if self._at == len(self._block):
            self._block, self._at = next(self._rest, b""), 0
        return not self._block


def _joined(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Blocks of at least half a MiB: the members of a packed file may be tiny, and the header must not be cut."""
    joined = bytearray()
    for block in blocks:
        joined += block
        if len(joined) >= BLOCK // 2:
            yield bytes(joined)
            joined.clear()
    if joined:
        yield bytes(joined)


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
