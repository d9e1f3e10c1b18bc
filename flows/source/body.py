"""The content of a file, unpacked: as blocks from its beginning to its end, or as a file to look about in."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from flows.source.rawfile import RawFile


class Body:
    """What a reader gets of a file. Either `blocks` or `seekable` is used, once. Raises FileError as RawFile does.

    `scratch`: the folder for what has to lie on a disk meanwhile; None: the system's.
    """

    def __init__(self, raw: RawFile, scratch: Path | None = None) -> None:
        self.scratch = scratch
        self.refuse = raw.error
        self.max_bytes = raw.max_bytes
        self.name = raw.path.name
        self._raw, self._blocks = raw, raw.blocks()
        self.head = next(self._blocks)  # unpacked, at most 1 MiB, and more than a header
        self._file: BinaryIO | None = None

    def blocks(self) -> Iterator[bytes]:
        """All of it, at most 1 MiB at a time."""
        yield self.head
        yield from self._blocks

    def seekable(self) -> BinaryIO:
        """All of it as a file; where it is packed, unpacked into a file that has no name."""
        if self._file is None:
            if self._raw.packed:
                self._file = cast(BinaryIO, tempfile.TemporaryFile(dir=self.scratch))  # noqa: SIM115 — `close` does it
                for block in self.blocks():
                    self._file.write(block)
                self._file.seek(0)
            else:
                self._file = cast(BinaryIO, io.BufferedReader(self._raw.looked_into(), 1 << 18))
        return self._file

    def finish(self) -> None:
        """Read what is left, for the digest and to see whether the file changed meanwhile."""
        for _ in self._blocks:
            pass

    def close(self) -> None:
        """Let go of what was unpacked."""
        if self._file is not None:
            self._file.close()
