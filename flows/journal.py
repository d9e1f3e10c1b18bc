"""Outcomes that Redis would not take, kept on disk until it does.

An answer that the API gave must not be lost because Redis is full or away when the process ends.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from flows.ledger import Answer


class Journal:
    """One file a run, in `folder`: lines of JSON, synced to disk before `append` returns. Repeated lines do no harm."""

    def __init__(self, folder: Path, run: str) -> None:
        self.path = folder / f"{run}.jsonl"

    def append(self, answers: Sequence[Answer]) -> None:
        """Keep outcomes. Raises OSError when the disk will not take them either."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(b"".join(msgspec.json.encode(answer) + b"\n" for answer in answers))
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[Answer]:
        """All outcomes kept. A last line cut short by a crash is left out: its answer was never acknowledged."""
        if not self.path.exists():
            return []
        lines = self.path.read_bytes().split(b"\n")[:-1]
        return [msgspec.json.decode(line, type=Answer) for line in lines]

    def clear(self) -> None:
        """Forget them: Redis has them all."""
        self.path.unlink(missing_ok=True)
