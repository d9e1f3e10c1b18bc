"""Whose turn it is: one process at a time looks through a folder of a pipeline, and does not keep out other folders.

A claim of a content, not this, makes that nothing is sent twice. This keeps looks from getting into each other's way.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

import redis

from flows.ledger import keys
from flows.ledger.connection import translated

SECONDS = 30.0  # after the death of a process nobody looks there for this long
_RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Turn:
    """A turn at one folder that is being had. `lost` once another may have it: then end soon."""

    def __init__(self) -> None:
        self.lost = False


@contextmanager
def turn(client: redis.Redis, pipeline: str, folder: str, *, seconds: float = SECONDS) -> Iterator[Turn | None]:
    """The turn at this folder for as long as the block runs; None if another process has it. Raises StackError."""
    key, token = keys.turn_key(pipeline, folder), uuid4().hex
    with translated():
        got = client.set(key, token, nx=True, px=round(seconds * 1000))
    if not got:
        yield None
        return
    held, ended = Turn(), threading.Event()

    def renew() -> None:
        while not ended.wait(seconds / 5):
            try:
                held.lost = not client.eval(_RENEW, 1, key, token, str(round(seconds * 1000)))
            except redis.RedisError:
                continue  # what the look needs of Redis next fails loudly if it stays away

    keeper = threading.Thread(target=renew, name="turn", daemon=True)
    keeper.start()
    try:
        yield held
    finally:
        ended.set()
        keeper.join()
        with suppress(redis.RedisError):  # then it lapses
            client.eval(_RELEASE, 1, key, token)
