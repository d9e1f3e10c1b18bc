"""A workbook's ZIP file: its parts, read a piece at a time and within bounds."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from flows.source.body import Body
from flows.source.rawfile import BLOCK, RATIO_FROM

RATIO = 250  # as of other ZIP archives: see flows.source.unpack
MOST_PARTS = 10_000
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    OSError,
    RuntimeError,
    struct.error,
    ValueError,
)


class Archive:
    """The parts of a workbook. Raises FileError for what is damaged, and for what unpacks without measure."""

    def __init__(self, body: Body) -> None:
        self._body, self.scratch = body, body.scratch
        with self._readable():
            self._zip = zipfile.ZipFile(body.seekable())
        parts = self._zip.infolist()
        if len(parts) > MOST_PARTS:
            raise body.refuse(f"has more than {MOST_PARTS:,} parts, which no workbook has")
        self.names = frozenset(part.filename for part in parts)
        if any(part.flag_bits & 1 for part in parts):
            raise body.refuse("is protected by a password", hint="Take the password away, and save it again.")

    def blocks(self, name: str) -> Iterator[bytes]:
        """One part, unpacked, at most 1 MiB at a time."""
        with self._readable():
            info = self._zip.getinfo(name)
            with self._zip.open(info) as part:
                taken = 0
                while block := self._block(part):
                    taken += len(block)
                    self._refuse_bomb(taken, info.compress_size)
                    yield block

    def whole(self, name: str, most: int = 64 << 20) -> bytes:
        """A part that is small by its nature."""
        found = bytearray()
        for block in self.blocks(name):
            found += block
            if len(found) > most:
                raise self._body.refuse(f"its part {name} holds more than {most:,} bytes, which no workbook needs")
        return bytes(found)

    def close(self) -> None:
        """Let go of it."""
        self._zip.close()

    def _block(self, part: IO[bytes]) -> bytes:
        with self._readable():
            return part.read(BLOCK)

    def _refuse_bomb(self, taken: int, packed: int) -> None:
        if taken > self._body.max_bytes:
            raise self._body.refuse(
                f"holds more than the {self._body.max_bytes:,} bytes that are allowed, unpacked",
                hint="Split it, or raise ROWRELAY_MAX_UPLOAD_BYTES.",
            )
        if taken > RATIO_FROM and taken > RATIO * packed:
            raise self._body.refuse(f"unpacks to more than {RATIO} times its size, which no file of rows does")

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except KeyError as exc:
            raise self._body.refuse(f"is damaged: its part {exc.args[0]} is missing") from exc
        except DAMAGED as exc:
            raise self._body.refuse("is damaged, or cut off", hint="Copy it again, or save it anew.") from exc
