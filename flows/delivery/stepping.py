"""How far the steps of rows are, as the ledger knows it: a kill between two of them repeats no answered write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import msgspec
import redis

from flows.client.exchange import NO_PROGRESS, Progress
from flows.delivery.context import Context
from flows.delivery.job import Job
from flows.ledger import keys

_PROGRESS = msgspec.msgpack.Decoder(Progress)


async def note_progress(context: Context, job: Job, progress: Progress) -> bool:
    """Write down how far a row's steps are, and whether one that writes goes now.

    False: the row is another's by now. Raises redis.RedisError.
    """
    known = {
        name: {each: keys.storable(value) for each, value in kept.items()} for name, kept in progress.known.items()
    }
    packed = msgspec.msgpack.encode(asdict(progress) | {"known": known}, enc_hook=str)
    return await context.call(
        context.ledger.progress,
        context.run,
        context.epoch,
        job.rows[0],
        job.serial,
        writes=progress.writes,
        known=packed,
        patience_seconds=2 * context.definition.timeout_seconds + 1.0,
    )


def progress_of(client: redis.Redis, run: str, rows: Sequence[int]) -> list[Progress]:
    """How far the steps of these rows are. Raises redis.RedisError."""
    raw = client.hmget(keys.run_key(run) + ":steps", [str(row) for row in rows])
    return [_PROGRESS.decode(each[keys.STEPS.size :]) if isinstance(each, bytes) else NO_PROGRESS for each in raw]
