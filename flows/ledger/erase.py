"""Removing a run from the ledger."""

from __future__ import annotations

import time

import msgspec
import redis

from flows.errors import RunBusy
from flows.ledger import keys
from flows.ledger.connection import translated
from flows.ledger.runs import Runs


@translated()
def erase(client: redis.Redis, run: str, *, by: str = "") -> None:
    """Remove a run and all that is known of its rows. `by` whom stays known, where it says so.

    Raises:
        RunBusy: it is being delivered.
        RunNotFound: there is no such run.
    """
    found = Runs(client).run(run)
    if found.busy:
        raise RunBusy(f"Run {run} is being delivered.", hint="Cancel it first.")
    key = keys.run_key(run)
    flows: list[bytes] = client.lrange(key + ":flows", 0, -1)  # type: ignore[assignment]
    for first in range(0, found.total // keys.BLOCK + 1, 1000):
        blocks = range(first, min(first + 1000, found.total // keys.BLOCK + 1))
        client.unlink(*(f"{key}:{kind}:{n}" for n in blocks for kind in ("rows", "detail")))
    pipe = client.pipeline()
    pipe.unlink(key, *(f"{key}:{name}" for name in keys.SINGLE), *(f"{key}:is:{state}" for state in keys.INDEXED))
    pipe.zrem(keys.RUNS, run)
    if flows:
        pipe.hdel(keys.FLOWS, *flows)
    if found.facts.digest:
        pipe.srem(keys.content_key(found.facts.digest), run)
    if by:
        pipe.set(keys.deleted_key(run), msgspec.json.encode([time.time(), by]), ex=keys.DELETED_SECONDS)
    pipe.execute()
