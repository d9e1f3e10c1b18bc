"""What is noted of a run beside what becomes of its rows: its facts, its course in words and in numbers."""

from __future__ import annotations

import time
from functools import cached_property
from typing import Any

import msgspec
import redis
from redis.commands.core import Script

from flows.ledger import keys
from flows.ledger.facts import FactValue, written
from flows.ledger.moves import script
from flows.records import RunState

EVENTS = 200


class Notes:
    """Writes to the ledger over a plain Redis client. Safe to use from several threads.

    Every method may raise `redis.RedisError`; who can wait tries again, all calls may be repeated.
    """

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    @cached_property
    def _lua(self) -> Script:
        return self.client.register_script(script())

    def _ask(self, run: str, what: str, *args: Any) -> Any:
        return self._lua(keys=[keys.run_key(run)], args=[what, *args])

    def create(self, run: str, *, definition: dict[str, Any], by: str, **facts: FactValue) -> bool:
        """Enter a run as `checking`, unless it is known. Says whether it is new."""
        key, now = keys.run_key(run), self._now()
        pipe = self.client.pipeline(transaction=True)
        for name, value in {
            "created": round(now * 1000),
            "state": RunState.CHECKING,
            "by": by,
            **written(facts),
        }.items():
            pipe.hsetnx(key, name, value)
        pipe.set(key + ":definition", msgspec.json.encode(definition), nx=True)
        pipe.zadd(keys.RUNS, {run: now}, nx=True)
        return bool(pipe.execute()[0])

    def redefine(self, run: str, definition: dict[str, Any], *, digest: str, epoch: int) -> bool:
        """Give a run another definition, and keep the one before, by which rows up to `epoch` were sent.

        False, and nothing changed, if somebody has taken it since `epoch`.
        """
        key = keys.run_key(run)
        with self.client.pipeline(transaction=True) as pipe:
            try:
                pipe.watch(key)  # type: ignore[no-untyped-call]
                if int(pipe.hget(key, "epoch") or 0) != epoch:
                    return False
                former = _former(pipe, key, epoch)
                pipe.multi()
                pipe.set(key + ":definition", msgspec.json.encode(definition))
                facts = written({"definition_digest": digest, "redefined": epoch, "former": former})
                for name, value in facts.items():
                    pipe.hset(key, name, value)
                pipe.execute()
            except redis.WatchError:
                return False
        return True

    def _now(self) -> float:
        """Unix seconds by Redis's clock, which all times of rows go by: a machine's own may be an hour ahead."""
        seconds, micros = self.client.time()
        return seconds + micros / 1e6

    def same_content(self, digest: str, run: str) -> None:
        """Remember which runs had a file with this digest."""
        self.client.sadd(keys.content_key(digest), run)

    def facts(self, run: str, *, epoch: int | None = None, **facts: FactValue) -> bool:
        """Note facts of a run (flows.ledger.facts).

        False, and nothing noted, if the run is gone or `epoch` is no longer the one that delivers it.
        """
        flat = [part for pair in written(facts).items() for part in pair]
        return bool(self._ask(run, "facts", "" if epoch is None else epoch, *flat))

    def pace(self, run: str, process: str, sent: bytes, peak: int) -> None:
        """Note what a process has sent of the run so far, in place of what was noted of it; the worst window rises."""
        self._ask(run, "pace", process, sent, peak)

    def count(self, run: str, fact: str) -> int:
        """Count one more of something in a run's facts. Returns how many there are now."""
        return int(self.client.hincrby(keys.run_key(run), fact, 1))

    def flow(self, run: str, flow_run: str) -> None:
        """Note that a Prefect flow run delivers this run."""
        key = keys.run_key(run) + ":flows"
        with self.client.pipeline(transaction=True) as pipe:  # said twice, it is there once
            pipe.hset(keys.FLOWS, flow_run, run)
            pipe.lrem(key, 0, flow_run)
            pipe.rpush(key, flow_run)
            pipe.execute()

    def event(self, run: str, text: str) -> None:
        """Keep one of the last events, in words."""
        key = keys.run_key(run) + ":events"
        pipe = self.client.pipeline()
        pipe.lpush(key, msgspec.json.encode([time.time(), text]))
        pipe.ltrim(key, 0, EVENTS - 1)
        pipe.execute()

    def trim(self, run: str, before: int) -> None:
        """Fold what the chart has of Unix seconds before this one into its minutes."""
        self._ask(run, "trim", before)

    def cancel(self, run: str, by: str) -> None:
        """Wish a run to end: from now on no row of it is claimed."""
        self.client.hset(keys.run_key(run), "cancel", by)


def _former(client: redis.Redis, key: str, epoch: int) -> dict[str, Any]:
    """The definitions before, with the present one: what it sent, it sent up to `epoch`."""
    kept, last = client.hget(key, "former"), client.hget(key, "redefined")
    former: dict[str, Any] = msgspec.json.decode(kept) if kept else {}
    if last:
        former.setdefault(str(int(last)), None)  # an earlier version kept none
    former.setdefault(str(epoch), msgspec.json.decode(client.get(key + ":definition") or b"null"))
    return former
