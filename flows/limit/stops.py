"""Pauses and latches that Redis may not have heard of, kept on disk until it has.

A ban must outlive the process that saw it, also when Redis is away at that moment: whoever starts next with the same
folder reads it here and tells Redis before anything is sent.
"""

from __future__ import annotations

import json
import time
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from flows.limit.clock import Clock, boot_time
from flows.limit.script import Report
from flows.private import private_folder, write_whole


class Stops:
    """One file a stop, in `folder`; without a folder nothing outlives the process."""

    def __init__(self, folder: Path | None, limit: str, *, clock: Clock = boot_time) -> None:
        self._folder, self._limit, self._clock = folder, limit, clock
        self._stem = f"limit-{sha256(limit.encode()).hexdigest()[:16]}-"
        self._paths: dict[Report, Path] = {}

    def keep(self, stop: Report) -> None:
        """Write a stop down; it is on the disk when this returns. Raises OSError when the disk will not take it."""
        if self._folder is None or stop in self._paths:
            return
        private_folder(self._folder)
        # A pause ends at a moment of the machine's clock, which starts anew with the machine.
        ends = time.time() + stop.moment - self._clock() if stop.kind == "p" else 0.0
        path = self._folder / f"{self._stem}{uuid4().hex}.stop"
        kept = {"limit": self._limit, "kind": stop.kind, "id": stop.id, "ends": ends}
        write_whole(path, json.dumps(kept).encode())
        self._paths[stop] = path

    def read(self) -> list[Report]:
        """What others kept and Redis may not know. A pause that is over is forgotten."""
        if self._folder is None:
            return []
        found = []
        for path in sorted(self._folder.glob(f"{self._stem}*.stop")):
            try:
                kept = json.loads(path.read_text(encoding="utf-8"))
            except FileNotFoundError:  # another process has just told Redis
                continue
            left = kept["ends"] - time.time()
            stop = Report(kept["kind"], kept["id"], self._clock() + left if kept["kind"] == "p" else 0.0)
            self._paths[stop] = path
            if kept["kind"] == "p" and left <= 0:
                self.forget(stop)
            else:
                found.append(stop)
        return found

    def stands(self, stop: Report) -> bool:
        """Whether Redis is still to be told. Not if another process has: a person may have opened the limit since."""
        path = self._paths.get(stop)
        return path is None or path.exists()

    def forget(self, stop: Report) -> None:
        """Redis knows it."""
        if path := self._paths.pop(stop, None):
            path.unlink(missing_ok=True)
