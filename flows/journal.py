"""Outcomes that Redis would not take, kept on disk until it does.

An answer that the API gave must not be lost because Redis is full or away when the process ends.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from flows.ledger import Answer

logger = logging.getLogger(__name__)


class Journal:
    """One file a run, in `folder`: lines of JSON, synced to disk before `append` returns. Repeated lines do no harm."""

    def __init__(self, folder: Path, run: str) -> None:
        self.path = folder / f"{run}.jsonl"

    def append(self, answers: Sequence[Answer]) -> None:
        """Keep outcomes, all or none. Raises OSError when the disk will not take them either."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            whole = file.tell()
            try:
                file.write(b"".join(msgspec.json.encode(answer) + b"\n" for answer in answers))
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.truncate(self.path, whole)  # or the next line would go on where this one broke off
                raise
        if not whole:
            _sync_folder(self.path.parent)

    def read(self) -> list[Answer]:
        """All outcomes kept. Lines that a crash or a full disk cut short are left out: nobody relied on them."""
        if not self.path.exists():
            return []
        kept = []
        for line in self.path.read_bytes().splitlines():
            try:
                kept.append(msgspec.json.decode(line, type=Answer))
            except msgspec.DecodeError:
                logger.warning("%s holds a line that was cut short; it is left out", self.path)
        return kept

    def clear(self) -> None:
        """Forget them: Redis has them all."""
        self.path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make sure that a new file's name outlasts a power cut, too."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
