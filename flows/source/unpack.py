"""Packed bytes to plain ones: gzip, bzip2, xz, Zstandard and ZIP, streamed, in memory that does not grow."""

from __future__ import annotations

import bz2
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from flows.source.encoding import Refuse
from flows.source.zipped import find_entry

BLOCK = 1 << 20
PIECE = 256  # bytes of a packed member to begin with; then twice as many, and so on
MOST_MEMORY = 128 << 20  # bytes that a packed stream may ask for: xz -9 asks for 65 MiB, zstd --ultra -22 for 128
NOT_ZERO = re.compile(rb"[^\0]")
AGAIN, COPY = "Pack it again.", "Copy or download it again."


@dataclass(frozen=True, slots=True)
class Packing:
    """A way of packing: its name, how its bytes begin, how to unpack them, and the most that rows are packed to.

    `ratio` is for files of more than 64 MiB. Deflate reaches 1032:1 on one row repeated, and rows stay below 130:1.
    Rows that differ in a number alone come to 500:1 in bzip2 and to 1300:1 in xz; zeros come to 7000:1 and more.
    """

    name: str
    mark: re.Pattern[bytes]
    ratio: int
    unpack: Callable[[Iterator[bytes], int, Refuse], Iterator[bytes]]


class _Member(Protocol):
    """One packed part: what the decompressors of Python have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Deflated:
    """A decompressor of deflate in the shape of the others."""

    def __init__(self, wbits: int = 31) -> None:
        self._inflate, self._full = zlib.decompressobj(wbits), False

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def needs_input(self) -> bool:
        return not (self._full or self._inflate.unconsumed_tail or self.eof)

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        block = self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)
        self._full = len(block) == max_length
        return block


def packing_of(head: bytes) -> Packing | None:
    """How a file that begins with these bytes is packed; None if it is not."""
    return next((each for each in PACKINGS if each.mark.match(head)), None)


def joined(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Blocks of at least half a MiB: the members of a packed file may be tiny, and the header must not be cut."""
    together = bytearray()
    for block in blocks:
        together += block
        if len(together) >= BLOCK // 2:
            yield bytes(together)
            together.clear()
    if together:
        yield bytes(together)


def _members(make: Callable[[], _Member], mark: bytes) -> Callable[[Iterator[bytes], int, Refuse], Iterator[bytes]]:
    """What unpacks a file of one or many members, each of which begins with `mark`.

    Members may be tiny and many. What a member leaves unused is copied, so each begins with a small piece.
    """

    def unpack(blocks: Iterator[bytes], fd: int, refuse: Refuse) -> Iterator[bytes]:
        packed = _Packed(blocks)
        while True:
            yield from _member(make(), packed, refuse)
            packed.skip_zeros()  # the padding that tape tools leave, and xz
            if packed.at_end():
                return
            if not packed.begins_with(mark):
                raise refuse("has other data behind its packed part", hint=AGAIN)

    return unpack


def _member(member: _Member, packed: _Packed, refuse: Refuse) -> Iterator[bytes]:
    """The content of one member, at most 1 MiB at a time however well it is packed."""
    piece = PIECE
    while not member.eof:
        data = b""
        if member.needs_input:
            data, piece = packed.take(piece), min(2 * piece, BLOCK)
            if not data:
                raise refuse("is cut off: its packed data has no end", hint=COPY)
        try:
            block = member.decompress(data, BLOCK)
        except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as exc:
            raise _damaged(exc, refuse) from exc
        if block:
            yield block
    packed.give_back(len(member.unused_data))


def _zstandard(blocks: Iterator[bytes], fd: int, refuse: Refuse) -> Iterator[bytes]:
    """The content of all frames, by Arrow, which bounds a block's size and tells a cut from an end."""
    stream = pa.CompressedInputStream(pa.PythonFile(_Readable(_Packed(blocks)), "r"), "zstd")
    while True:
        try:
            block = stream.read(BLOCK)
        except OSError as exc:
            raise _damaged(exc, refuse) from exc
        if not block:
            return
        yield block


def _zip(blocks: Iterator[bytes], fd: int, refuse: Refuse) -> Iterator[bytes]:
    """The content of the one file in the archive; its length and checksum are those that the archive states."""
    entry = find_entry(fd, refuse)
    packed = _Packed(blocks)
    packed.skip(entry.start)
    inside = _Packed(packed.pieces(entry.packed_bytes))
    checksum = length = 0
    for block in inside.pieces(entry.packed_bytes) if entry.stored else _member(_Deflated(-15), inside, refuse):
        checksum, length = zlib.crc32(block, checksum), length + len(block)
        yield block
    if (checksum, length) != (entry.checksum, entry.length) or not inside.at_end():
        raise refuse("is damaged: what is in it is not what the archive says of it", hint=AGAIN)
    packed.skip(None)


def _damaged(exc: Exception, refuse: Refuse) -> Exception:
    said = str(exc)
    if "emory" in said:
        return refuse(
            f"needs more than {MOST_MEMORY >> 20} MiB of memory to be unpacked",
            hint="Unpack it first, or pack it with the usual options.",
        )
    if "Truncated" in said:
        return refuse("is cut off: its packed data has no end", hint=COPY)
    if "Unknown frame" in said:
        return refuse("has other data behind its packed part", hint=AGAIN)
    return refuse(f"is damaged: its packed data does not unpack ({said})", hint=AGAIN)


class _Packed:
    """Bytes that come in blocks, taken a piece at a time."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._block, self._at, self._rest = b"", 0, blocks

    def take(self, most: int) -> bytes:
        """At most so many of the next bytes; none at the end."""
        if self.at_end():
            return b""
        piece = self._block[self._at : self._at + most]
        self._at += len(piece)
        return piece

    def pieces(self, count: int) -> Iterator[bytes]:
        """The next `count` bytes, or as many as there are, as they come."""
        while count and (piece := self.take(min(count, BLOCK))):
            count -= len(piece)
            yield piece

    def skip(self, count: int | None) -> None:
        """Go on behind the next `count` bytes; None: to the end."""
        while (count is None or count) and (piece := self.take(BLOCK if count is None else min(count, BLOCK))):
            count = None if count is None else count - len(piece)

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


class _Readable(io.RawIOBase):
    """Packed bytes as a file that is read from beginning to end."""

    def __init__(self, packed: _Packed) -> None:
        self._packed = packed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what io itself calls it with
        piece = self._packed.take(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


ZIP = Packing("ZIP", re.compile(rb"PK(?:\x03\x04|\x05\x06|\x07\x08)"), 250, _zip)
PACKINGS = (
    Packing("gzip", re.compile(rb"\x1f\x8b"), 250, _members(_Deflated, b"\x1f\x8b")),
    Packing("bzip2", re.compile(rb"BZh[1-9](?:1AY|\x17rE)"), 2000, _members(bz2.BZ2Decompressor, b"BZh")),
    Packing(
        "xz",
        re.compile(rb"\xfd7zXZ\0"),
        2000,
        _members(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MOST_MEMORY), b"\xfd7zXZ\0"),
    ),
    Packing("Zstandard", re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), 2000, _zstandard),
    ZIP,
)
