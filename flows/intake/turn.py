"""Whose turn it is: one process at a time looks through a folder of a pipeline, and does not keep out other folders.

A claim of a content, not this, makes that nothing is sent twice. This keeps looks from getting into each other's way.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import redis
from redis.exceptions import LockNotOwnedError

from flows.ledger import keys
from flows.ledger.connection import translated

SECONDS = 30.0  # after the death of a process nobody looks there for this long


class Turn:
    """A turn at one folder that is being had. `lost` once another may have it: then end soon."""

    def __init__(self) -> None:
        self.lost = False


@contextmanager
def turn(client: redis.Redis, pipeline: str, folder: str, *, seconds: float = SECONDS) -> Iterator[Turn | None]:
    """The turn at this folder for as long as the block runs; None if another process has it. Raises StackError."""
    lock = client.lock(keys.turn_key(pipeline, folder), timeout=seconds, blocking=False, thread_local=False)
    with translated():
        got = lock.acquire()
    if not got:
        yield None
        return
    held, ended = Turn(), threading.Event()

    def renew() -> None:
        while not ended.wait(seconds / 5):
            try:
                lock.reacquire()
            except LockNotOwnedError:
                held.lost = True
            except redis.RedisError:
                continue  # what the look needs of Redis next fails loudly if it stays away

    keeper = threading.Thread(target=renew, name="turn", daemon=True)
    keeper.start()
    try:
        yield held
    finally:
        ended.set()
        keeper.join()
        with suppress(redis.RedisError):  # then it lapses, or another has it
            lock.release()
