"""Outcomes that Redis would not take, kept on disk until it does.

An answer that the API gave must not be lost because Redis is full or away when the process ends.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from io import RawIOBase
from pathlib import Path
from uuid import uuid4

import msgspec

from flows.ledger.moves import Answer
from flows.private import private_folder, sync_folder
from flows.settings import Settings
from flows.storage.storage import Storage, is_local, scratch

logger = logging.getLogger(__name__)


class Journal:
    """One file a run, in `folder`: lines of JSON, synced to disk before `append` returns. Repeated lines do no harm.

    With a `shared` storage, `share` takes the lines to where a process on another machine finds them. A process that
    only sends `part` of a run has a file of its own; it is read by whoever takes up the run next.
    """

    def __init__(self, folder: Path, run: str, *, part: str = "", shared: Storage | None = None) -> None:
        self.path = folder / f"{run}{'@' * bool(part)}{part}.jsonl"
        self._run, self._part = run, part
        self._shared = shared
        self._found: list[str] = []
        self._parts: list[Path] = []

    def append(self, answers: Sequence[Answer]) -> None:
        """Keep outcomes, all or none. Raises OSError when the disk will not take them either."""
        private_folder(self.path.parent)
        lines = b"".join(msgspec.json.encode(answer) + b"\n" for answer in answers)
        # Unbuffered: what a full disk refuses must not be written by the file's closing, behind the cut.
        with self.path.open("ab+", buffering=0) as file:
            whole = file.seek(0, os.SEEK_END)
            try:
                _write(file, lines if _ends_a_line(file, whole) else b"\n" + lines)
                os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):  # or else the next line begins one of its own
                    file.truncate(whole)
                raise
        if not whole:
            sync_folder(self.path.parent)

    def read(self) -> list[Answer]:
        """All outcomes kept. A last line cut short by a crash is left out: its answer was never acknowledged."""
        self._parts = [] if self._part else sorted(self.path.parent.glob(f"{self._run}@*.jsonl"))
        kept = [answer for path in (self.path, *self._parts) if path.exists() for answer in _answers(path)]
        if self._shared is None or self._part:
            return kept
        self._found = self._shared.names(self._run)
        with scratch(self.path.parent) as folder:
            for name in self._found:
                self._shared.fetch(name, folder / "answers")
                kept += _answers(folder / "answers")
        return kept

    def clear(self) -> None:
        """Forget them: Redis has them all."""
        for path in (self.path, *self._parts):
            path.unlink(missing_ok=True)
        self._parts = []
        if self._shared is not None:
            for name in self._found:
                self._shared.delete(name)
            self._found = []

    def forget(self) -> None:
        """Remove all that is kept of the run, wherever it lies."""
        self.read()
        self.clear()
        if self._shared is not None:
            self._shared.delete(self._run)

    def share(self) -> None:
        """Let every machine see what is kept here, if there is anything. Raises StorageError."""
        if self._shared is None or not self.path.exists():
            return
        with scratch(self.path.parent) as folder:
            shutil.copyfile(self.path, folder / "answers")
            self._shared.put(folder / "answers", f"{self._run}/{uuid4().hex}.jsonl")


def journal(settings: Settings, run: str, *, part: str = "") -> Journal:
    """What Redis has not taken of a run's outcomes: on this machine, and what other machines have left."""
    shared = None if is_local(settings.uploads_url) else Storage(settings.journal_url)
    return Journal(settings.data / "journal", run, part=part, shared=shared)


def _write(file: RawIOBase, data: bytes) -> None:
    """Write all of it: where the disk is nearly full, only a part goes at a time."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) or 0 :]


def _ends_a_line(file: RawIOBase, size: int) -> bool:
    """Whether what comes next begins a line. Not where a crash cut the last one short."""
    if not size:
        return True
    file.seek(size - 1)
    return file.read(1) == b"\n"


def _answers(path: Path) -> list[Answer]:
    """What a file holds. Lines that a crash or a full disk cut short are left out: nobody relied on them."""
    kept = []
    for line in path.read_bytes().splitlines():
        try:
            kept.append(msgspec.json.decode(line, type=Answer))
        except msgspec.DecodeError:
            logger.warning("%s holds a line that was cut short; it is left out", path)
    return kept
