"""Packed files that are refused, each with the exact message that a person gets. Part of the table of bad inputs."""

# ruff: noqa: E501  a message stands in one piece

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable

from tests.harness.packed import PACKED, flagged, xz_that_wants, zipped, zstd_that_wants

GOOD = b"userId,title,body\n1,one,b\n2,two,b\n3,three,b\n"
CUT = "is cut off: its packed data has no end\nCopy or download it again."
MEMORY = "needs more than 128 MiB of memory to be unpacked\nUnpack it first, or pack it with the usual options."
LIST = "is a damaged or incomplete ZIP archive: its list of files cannot be read\nCopy or download it again."
ONE = zipped({"rows.csv": GOOD})


def _but(archive: bytes, at: int, change: int) -> bytes:
    """A ZIP archive of one file with another number in its list, `at` bytes behind the entry's beginning."""
    place = archive.rindex(b"PK\x01\x02") + at
    (number,) = struct.unpack_from("<I", archive, place)
    return archive[:place] + struct.pack("<I", number + change) + archive[place + 4 :]


def _damaged(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 0xFF]) + data[len(data) // 2 + 1 :]


# Name, content (or what makes one that takes long), what is said of it.
PACKED_FILES: list[tuple[str, bytes | Callable[[], bytes] | None, str]] = [
    *((f"cut.csv.{way}", pack(GOOD)[:-3], f"cut.csv.{way}: {CUT}") for way, pack in PACKED.items()),
    *(
        (
            f"tail.csv.{way}",
            pack(GOOD) + b"more",
            f"tail.csv.{way}: has other data behind its packed part\nPack it again.",
        )
        for way, pack in PACKED.items()
    ),
    ("void.csv.xz", PACKED["xz"](b""), "void.csv.xz: is packed, but there is nothing in it"),
    (
        "bad.csv.bz2",
        _damaged(PACKED["bz2"](GOOD)),
        "bad.csv.bz2: is damaged: its packed data does not unpack (Invalid data stream)\nPack it again.",
    ),
    (
        "bad.csv.xz",
        _damaged(PACKED["xz"](GOOD)),
        "bad.csv.xz: is damaged: its packed data does not unpack (Corrupt input data)\nPack it again.",
    ),
    (
        "bad.csv.zst",
        b"\x28\xb5\x2f\xfd\x04\x00" + (len(GOOD) << 3 | 1).to_bytes(3, "little") + GOOD + b"\0\0\0\0",
        "bad.csv.zst: is damaged: its packed data does not unpack (ZSTD decompress failed: Restored data doesn't match checksum)\nPack it again.",
    ),
    ("wide.csv.xz", xz_that_wants(31, GOOD), f"wide.csv.xz: {MEMORY}"),
    ("wide.csv.zst", zstd_that_wants(31, GOOD), f"wide.csv.zst: {MEMORY}"),
    (
        "twice.csv.zst",
        PACKED["zst"](PACKED["bz2"](GOOD)),
        "twice.csv.zst: is packed twice: there is bzip2 in it\nUnpack it once.",
    ),
    (
        "twice.zip",
        zipped({"rows.csv.gz": PACKED["gz"](GOOD)}),
        "twice.zip: is packed twice: there is gzip in it\nUnpack it once.",
    ),
    (
        "two.zip",
        zipped({"a.csv": GOOD, "__MACOSX/._a.csv": b"x", "more/": b"", "more/b.csv": GOOD}),
        "two.zip: is a ZIP archive of 2 files: a.csv, more/b.csv\nUnpack it, and send its files one by one.",
    ),
    (
        "six.zip",
        zipped({f"\x1b[31m{at}.csv": GOOD for at in range(6)}),
        "six.zip: is a ZIP archive of 6 files: ?[31m0.csv, ?[31m1.csv, ?[31m2.csv, ?[31m3.csv, ?[31m4.csv, …\nUnpack it, and send its files one by one.",
    ),
    (
        "many.zip",
        lambda: zipped({f"{at}.csv": b"" for at in range(20_000)}, packing=zipfile.ZIP_STORED),
        "many.zip: is a ZIP archive of too many files\nUnpack it first. Of packed files .gz, .bz2, .xz, .zst are read, and .zip with one file in it.",
    ),
    ("none.zip", zipped({"data/": b""}), "none.zip: is a ZIP archive without a file in it"),
    ("locked.zip", flagged(ONE, flags=1), "locked.zip: is a ZIP archive with a password\nUnpack it first."),
    (
        "way.zip",
        flagged(ONE, packing=9),
        "way.zip: is a ZIP archive that is packed in a way that is not read here (Deflate64)\nUnpack it first.",
    ),
    ("cut.zip", ONE[:-30], f"cut.zip: {LIST}"),
    ("head.zip", b"PK\x03\x04rows.csv", f"head.zip: {LIST}"),
    (
        "sum.zip",
        _but(ONE, 16, 1),
        "sum.zip: is damaged: what is in it is not what the archive says of it\nPack it again.",
    ),
    (
        "short.zip",
        _but(ONE, 24, -1),
        "short.zip: is damaged: what is in it is not what the archive says of it\nPack it again.",
    ),
    (
        "place.zip",
        _but(ONE, 42, 1),
        "place.zip: is damaged: the file in the archive is not where its list says\nPack it again.",
    ),
]
