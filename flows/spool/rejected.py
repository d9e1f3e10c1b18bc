"""Reading the rejected rows of a spool: all in order, or some of them, wherever they stand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from flows.errors import SpoolDamaged
from flows.records import Rejection
from flows.spool.parts import damaged
from flows.spool.writer import Part
from flows.storage.storage import reached

APART = 100  # of so many rejected rows it is known where one begins
_BLOCK = 1 << 20


class RejectedRows:
    """The rejected rows of a finished spool, as the part of it that holds them. Raises SpoolDamaged."""

    def __init__(self, fs: Any, folder: str, part: Part) -> None:
        self.part = part
        self._fs, self._folder = fs, folder

    def walk(self) -> Iterator[Rejection]:
        """All in the file's order, streamed."""
        for some in self.stretches():
            yield from some

    def stretches(self) -> Iterator[list[Rejection]]:
        """The same, those of some MB of the list together."""
        if not self.part.rows:
            return
        decoder, rest = msgspec.json.Decoder(Rejection), b""
        try:
            with self._reached(), self._open() as file:
                while block := file.read(_BLOCK):
                    whole, newline, rest_of_block = block.rpartition(b"\n")
                    if newline:
                        yield decoder.decode_lines(rest + whole)
                        rest = rest_of_block
                    else:
                        rest += block
                if rest:
                    yield decoder.decode_lines(rest)
        except (FileNotFoundError, msgspec.DecodeError) as exc:
            raise self._damaged(exc) from exc

    def at(self, ordinals: Sequence[int]) -> list[Rejection]:
        """Some of them by their ordinals, counted from 0."""
        if not ordinals:
            return []
        decoder, found, at = msgspec.json.Decoder(Rejection), [], -APART
        try:
            with self._reached(), self._open() as lines:
                for ordinal in ordinals:
                    if not at <= ordinal < at + APART:
                        lines.seek(int(self._marks[ordinal // APART]))
                        at = ordinal // APART * APART
                    for _ in range(at, ordinal):
                        lines.readline()
                    found.append(decoder.decode(lines.readline()))
                    at = ordinal + 1
        except (FileNotFoundError, msgspec.DecodeError, IndexError) as exc:
            raise self._damaged(exc) from exc
        return found

    @cached_property
    def _marks(self) -> npt.NDArray[np.int64]:
        """Where the rows 0, APART, 2 · APART … begin. The whole list is read for it, and so checked."""
        digest, marks, length, seen = hashlib.sha256(), [np.zeros(1, dtype=np.int64)], 0, 0
        with self._open() as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                begins = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == ord("\n")) + length + 1
                marks.append(begins[-(seen + 1) % APART :: APART].copy())  # a view would keep all of them
                length, seen = length + len(block), seen + len(begins)
        if digest.hexdigest() != self.part.sha256:
            raise self._damaged("its content has changed")
        return np.concatenate(marks)

    def _open(self) -> Any:
        return self._fs.open(f"{self._folder}/{self.part.name}", "rb")

    def _reached(self) -> Any:
        return reached(self._folder)

    def _damaged(self, why: object) -> SpoolDamaged:
        return damaged(self._folder, self.part.name, why)
