"""The one file in a ZIP archive: where its bytes lie, and what the archive says of them."""

from __future__ import annotations

import io
import os
import re
import struct
import zipfile
from dataclasses import dataclass

from flows.source.encoding import Refuse

MOST_LISTED = 1 << 20  # bytes of an archive's list of files: some 15,000 of them
BESIDE = re.compile(r"(?:.*/)?(?:__MACOSX/.*|\._[^/]*|\.DS_Store|Thumbs\.db|desktop\.ini)|.*/", re.DOTALL)
ENCRYPTED = 0x1 | 0x40
WAYS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz", 99: "AES"}
WORKBOOK = re.compile(r"xl/|\[Content_Types\]\.xml$")

UNPACK = "Unpack it first. Of packed files .gz, .bz2, .xz, .zst are read, and .zip with one file in it."


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in an archive: offset of its bytes, how many, as they are (stored) or deflated; CRC-32, bytes unpacked."""

    start: int
    packed_bytes: int
    stored: bool
    checksum: int
    length: int


class _Listed(io.FileIO):
    """A file whose reader takes what length it finds in it: bounded here."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MOST_LISTED:
            raise zipfile.LargeZipFile
        return super().read(size)


def find_entry(fd: int, refuse: Refuse) -> Entry:
    """The one file in the archive; folders, and what systems put beside files, do not count.

    The position of the descriptor stays where it is. Raises FileError where there is not exactly one file, where it
    is encrypted, or is packed in a way that few programs read.
    """
    at = os.lseek(fd, 0, os.SEEK_CUR)
    try:
        with _Listed(fd, "rb", closefd=False) as file, zipfile.ZipFile(file) as archive:
            info = _the_one(archive.infolist(), refuse)
            file.seek(info.header_offset)
            mark, name, extra = struct.unpack("<4s22xHH", file.read(30))
    except zipfile.LargeZipFile as exc:
        raise refuse("is a ZIP archive of too many files", hint=UNPACK) from exc
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, OSError, struct.error) as exc:
        raise refuse(
            "is a damaged or incomplete ZIP archive: its list of files cannot be read",
            hint="Copy or download it again.",
        ) from exc
    finally:
        os.lseek(fd, at, os.SEEK_SET)
    if mark != b"PK\x03\x04":
        raise refuse("is damaged: the file in the archive is not where its list says", hint="Pack it again.")
    start, stored = info.header_offset + 30 + name + extra, info.compress_type == zipfile.ZIP_STORED
    return Entry(start, info.compress_size, stored, info.CRC, info.file_size)


def _the_one(listed: list[zipfile.ZipInfo], refuse: Refuse) -> zipfile.ZipInfo:
    if any(WORKBOOK.match(info.filename) for info in listed):
        raise refuse("is an Excel workbook, which is not read", hint="Save it as CSV (UTF-8) in Excel.")
    files = [info for info in listed if not BESIDE.fullmatch(info.filename)]
    if not files:
        raise refuse("is a ZIP archive without a file in it")
    if len(files) > 1:
        names = ", ".join(_shown(info.filename) for info in files[:5]) + (", …" if len(files) > 5 else "")
        raise refuse(
            f"is a ZIP archive of {len(files):,} files: {names}", hint="Unpack it, and send its files one by one."
        )
    (info,) = files
    if info.flag_bits & ENCRYPTED:
        raise refuse("is a ZIP archive with a password", hint="Unpack it first.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        way = WAYS.get(info.compress_type, f"method {info.compress_type}")
        raise refuse(f"is a ZIP archive that is packed in a way that is not read here ({way})", hint="Unpack it first.")
    return info


def _shown(name: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in name[:80]) + "…" * (len(name) > 80)
