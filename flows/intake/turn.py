"""Whose turn it is: one process at a time looks through a folder of a pipeline, and does not keep out other folders.

A claim of a content, not this, makes that nothing is sent twice. This keeps looks from getting into each other's way.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

import redis
from redis.exceptions import LockNotOwnedError

from flows.ledger import keys
from flows.ledger.connection import translated
from flows.ledger.patience import patiently

SECONDS = 30.0  # after the death of a process nobody looks there for this long


class Turn:
    """A turn at one folder that is being had. `lost` once another may have it: then end soon."""

    def __init__(self) -> None:
        self.lost = False


@contextmanager
def turn(
    client: redis.Redis, pipeline: str, folder: str, *, seconds: float = SECONDS, patience_seconds: float = 0.0
) -> Iterator[Turn | None]:
    """The turn at this folder for as long as the block runs; None if another process has it. Raises StackError.

    `client` does not wait for a Redis that is away: a turn that is renewed late is lost. To get it, it is waited for.
    """
    key, token = keys.turn_key(pipeline, folder), uuid4().hex
    lock = client.lock(key, timeout=seconds, blocking=False, thread_local=False)

    def taken() -> bool:
        if lock.acquire(token=token):
            return True
        if client.get(key) != token.encode():
            return False
        lock.local.token = token.encode()  # it was ours already, and the reply was lost
        return True

    with translated():
        got = patiently(taken, seconds=patience_seconds)
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
