"""Locks on files, gone with the last process that holds them."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import IO

from flows.private import private_folder


class Lock:
    """An flock on a file: gone with the last process that holds it, however that process ends."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    @classmethod
    def take(cls, path: Path, *, shared: bool = False) -> Lock | None:
        """Take the lock now, or return None because somebody else holds it."""
        private_folder(path.parent)
        file = path.open("ab")
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        except BaseException:
            file.close()
            raise
        return cls(file)

    @classmethod
    def wait(cls, path: Path, *, seconds: float, shared: bool = False) -> Lock | None:
        """Like `take`, but keeps trying for `seconds`."""
        deadline = time.monotonic() + seconds
        while (lock := cls.take(path, shared=shared)) is None and time.monotonic() < deadline:
            time.sleep(0.03)
        return lock

    def fileno(self) -> int:
        """The descriptor: a child that inherits it holds the lock too, for as long as it lives."""
        return self._file.fileno()

    def release(self) -> None:
        """Let go, unless a child still holds it. Harmless to call twice."""
        self._file.close()


def held(path: Path) -> bool:
    """Whether some process holds the lock at this moment."""
    lock = Lock.take(path)
    if lock is not None:
        lock.release()
    return lock is None
