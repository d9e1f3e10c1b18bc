"""Limits that were in use before: a new one waits for what somebody may have sent until now."""

from __future__ import annotations

from typing import Any

import redis

from flows.limit.script import Keys

HOUR = 3_600_000_000  # in µs, as all times of a limit


def long_known(client: redis.Redis, name: str) -> None:
    """Let the limit have been in use for an hour, on a server that loses nothing when it crashes."""
    keys = Keys.of(name)
    seconds, micros = client.time()  # type: ignore[misc]
    now = seconds * 1_000_000 + micros
    info: Any = client.info("server")
    past = {"born": now - HOUR, "known": 0, "purged": now - HOUR}
    client.zadd(keys.log, {"origin": 0})
    client.hset(keys.state, mapping={**past, "now": now, "server": info["run_id"], "loss": 0})
