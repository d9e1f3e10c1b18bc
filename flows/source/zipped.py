"""The one file in a ZIP archive: where its bytes lie, and what the archive says of them."""

from __future__ import annotations

import io
import os
import re
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flows.source.encoding import Refuse

MOST_LISTED = 1 << 20  # bytes of an archive's list of files: some 15,000 of them
BESIDE = re.compile(r"(?:.*/)?(?:__MACOSX/.*|\._[^/]*|\.DS_Store|Thumbs\.db|desktop\.ini)|.*/", re.DOTALL)
ENCRYPTED = 0x1 | 0x40
WAYS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz", 99: "AES"}
DOCUMENT = {"[Content_Types].xml", "mimetype"}  # by which the parts of workbooks, texts and drawings are known

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


def is_document(fd: int, refuse: Refuse) -> bool:
    """Whether the archive is one document in parts, as Office programs write it, rather than files packed together."""
    with _opened(fd, refuse) as archive:
        return not DOCUMENT.isdisjoint(archive.namelist())


def find_entry(fd: int, refuse: Refuse) -> Entry:
    """The one file in the archive; folders, and what systems put beside files, do not count.

    Raises FileError where there is not exactly one file, where it is encrypted, or is packed in a way that few
    programs read.
    """
    with _opened(fd, refuse) as archive:
        info = _the_one(archive.infolist(), refuse)
        head = os.pread(fd, 30, info.header_offset)  # an impossible place is an OSError
    if len(head) < 30 or not head.startswith(b"PK\x03\x04"):
        raise refuse("is damaged: the file in the archive is not where its list says", hint="Pack it again.")
    name, extra = struct.unpack_from("<HH", head, 26)
    start, stored = info.header_offset + 30 + name + extra, info.compress_type == zipfile.ZIP_STORED
    return Entry(start, info.compress_size, stored, info.CRC, info.file_size)


@contextmanager
def _opened(fd: int, refuse: Refuse) -> Iterator[zipfile.ZipFile]:
    """The archive's list. The position of the descriptor stays where it is."""
    at = os.lseek(fd, 0, os.SEEK_CUR)
    try:
        with _Listed(fd, "rb", closefd=False) as file, zipfile.ZipFile(file) as archive:
            yield archive
    except zipfile.LargeZipFile as exc:
        raise refuse("is a ZIP archive of too many files", hint=UNPACK) from exc
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, OSError, struct.error) as exc:
        raise refuse(
            "is a damaged or incomplete ZIP archive: its list of files cannot be read",
            hint="Copy or download it again.",
        ) from exc
    finally:
        os.lseek(fd, at, os.SEEK_SET)


def _the_one(listed: list[zipfile.ZipInfo], refuse: Refuse) -> zipfile.ZipInfo:
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
