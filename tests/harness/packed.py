"""Packed files: in every way that is read, and in ways that are not."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable

import pyarrow as pa


def zipped(files: dict[str, bytes], *, packing: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    """A ZIP archive of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.comment = comment
    return buffer.getvalue()


def zip_of_a_pipe(data: bytes) -> bytes:
    """A ZIP archive by a program that cannot go back: lengths and checksum stand behind the data, in 64 bits."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.written = b""

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.written += bytes(data)
            return len(data)

    pipe = Pipe()
    with (
        zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("rows.csv", "w", force_zip64=True) as file,
    ):
        file.write(data)
    return pipe.written


def zstd(data: bytes) -> bytes:
    """One frame of Zstandard."""
    buffer = pa.BufferOutputStream()
    with pa.CompressedOutputStream(buffer, "zstd") as stream:
        stream.write(data)
    return bytes(buffer.getvalue())


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, mtime=0),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstd,
}


def flagged(archive: bytes, *, flags: int = 0, packing: int = 8) -> bytes:
    """A ZIP archive of one file that says of it that it has these flags and is packed so."""
    listed = archive.rindex(b"PK\x01\x02")
    bits = struct.pack("<HH", flags, packing)
    return archive[:6] + bits + archive[10 : listed + 8] + bits + archive[listed + 12 :]


def xz_that_wants(power: int, data: bytes) -> bytes:
    """An xz file that asks for a dictionary of 2 ** `power` bytes."""
    packed = bytearray(lzma.compress(data))
    size = (packed[12] + 1) * 4
    at = packed.index(b"\x21\x01", 13, 12 + size) + 2
    packed[at] = (power - 12) * 2
    packed[12 + size - 4 : 12 + size] = struct.pack("<I", zlib.crc32(packed[12 : 12 + size - 4]))
    return bytes(packed)


def zstd_that_wants(power: int, data: bytes) -> bytes:
    """A frame of Zstandard that asks for a window of 2 ** `power` bytes."""
    return b"\x28\xb5\x2f\xfd\x00" + bytes([(power - 10) << 3]) + (len(data) << 3 | 1).to_bytes(3, "little") + data
