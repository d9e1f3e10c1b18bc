"""Which runs there are, and how to find one. Nothing here writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import redis

from flows.errors import RunDeleted, RunNotFound
from flows.ledger import keys
from flows.ledger.connection import translated
from flows.ledger.run import Run, read
from flows.records import RowState


class Runs:
    """Reads over a plain Redis client. Raises StackError where Redis does not answer."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def run(self, run: str) -> Run:
        """One run. Raises RunNotFound."""
        found = self._runs([run])
        if not found:
            raise self.deleted(run) or RunNotFound(f"There is no run {run}.", hint="`rowrelay runs` lists them.")
        return found[0]

    @translated()
    def deleted(self, run: str) -> RunDeleted | None:
        """When a run was deleted and by whom, as the error to raise; None if that is not known of such a run."""
        raw = self.client.get(keys.deleted_key(run))
        if not isinstance(raw, bytes):
            return None
        at, by = msgspec.json.decode(raw)
        return RunDeleted(run, at=at, by=by)

    @translated()
    def runs(self, offset: int = 0, limit: int = 50) -> list[Run]:
        """Runs, newest first."""
        ids: list[bytes] = self.client.zrevrange(keys.RUNS, offset, offset + limit - 1)  # type: ignore[assignment]
        return self._runs([raw.decode() for raw in ids])

    @translated()
    def positions(self, limit: int, *, after: tuple[float, str] | None = None) -> list[tuple[float, str]]:
        """When runs were created, in Unix seconds, and their ids, newest first. `after` is the last one known."""
        found: list[tuple[float, str]] = []
        latest = "+inf" if after is None else after[0]
        skip = 0
        while len(found) < limit:
            raw: Any = self.client.zrevrangebyscore(keys.RUNS, latest, "-inf", start=skip, num=limit, withscores=True)
            places = ((at, run.decode()) for run, at in raw)
            found += [place for place in places if after is None or place < after]
            if len(raw) < limit:
                break
            skip += limit
        return found[:limit]

    def these(self, ids: Sequence[str]) -> list[Run]:
        """Runs by their ids, in this order, without those that are not there any more."""
        return self._runs(ids)

    @translated()
    def older_than(self, moment: float, limit: int, *, skip: int = 0) -> list[Run]:
        """Runs created before a Unix time, oldest first."""
        ids = self.client.zrangebyscore(keys.RUNS, "-inf", f"({moment}", start=skip, num=limit)
        return self._runs([raw.decode() for raw in ids])  # type: ignore[union-attr]

    @translated()
    def files(self) -> set[str]:
        """The files of all runs, as each run names its own."""
        ids: list[bytes] = self.client.zrange(keys.RUNS, 0, -1)  # type: ignore[assignment]
        pipe = self.client.pipeline(transaction=False)
        for raw in ids:
            pipe.hget(keys.run_key(raw.decode()), "file")
        return {file.decode() for file in pipe.execute() if file}

    @translated()
    def count(self) -> int:
        """How many runs there are."""
        return int(self.client.zcard(keys.RUNS))

    @translated()
    def resolve(self, name: str) -> str:
        """A run id from itself, from the beginning of it, from a Prefect flow run's id, or from `last`.

        Raises:
            RunNotFound: nothing or more than one thing fits. RunDeleted if there was such a run.
        """
        if exact := self._by_whole_id(name):
            return exact
        ids = [raw.decode() for raw in self.client.zrevrange(keys.RUNS, 0, 0 if name == "last" else -1)]  # type: ignore[union-attr]
        fitting = ids if name == "last" else [run for run in ids if name and run.startswith(name)]
        if len(fitting) == 1:
            return fitting[0]
        if deleted := None if fitting else self.deleted(name):
            raise deleted
        what = f"{len(fitting)} runs begin with {name!r}." if fitting else f"There is no run {name!r}."
        raise RunNotFound(what, hint="`rowrelay runs` lists them.")

    def exact(self, name: str) -> str:
        """A run id from itself or from the whole id of a Prefect flow run that delivers it. Raises RunNotFound."""
        if found := self._by_whole_id(name):
            return found
        raise self.deleted(name) or RunNotFound(
            f"No run has the id {name!r}.", hint="To act on a run, give its whole id, as the list of runs has it."
        )

    @translated()
    def _by_whole_id(self, name: str) -> str:
        if self.client.exists(keys.run_key(name)):
            return name
        by_flow = self.client.hget(keys.FLOWS, name)
        return by_flow.decode() if isinstance(by_flow, bytes) else ""

    @translated()
    def totals(self) -> dict[tuple[str, str], int]:
        """What has happened ever, by pipeline and kind: `sent`, rows by outcome, runs by how they ended."""
        raw: dict[bytes, bytes] = self.client.hgetall(keys.TOTALS)  # type: ignore[assignment]
        parts = {name.decode().partition(":"): int(count) for name, count in raw.items()}
        return {(pipeline, kind): count for (kind, _, pipeline), count in parts.items()}

    @translated()
    def same_content(self, digest: str) -> list[str]:
        """Runs of files with this content."""
        raw: set[bytes] = self.client.smembers(keys.content_key(digest))  # type: ignore[assignment]
        return sorted(item.decode() for item in raw)

    @translated()
    def _runs(self, ids: Sequence[str]) -> list[Run]:
        pipe = self.client.pipeline(transaction=False)
        for run in ids:
            pipe.hgetall(keys.run_key(run))
        pipe.time()
        *raw, (seconds, micros) = pipe.execute()
        now = seconds * 1000 + micros / 1000
        return self._with_undone([read(run, found, now) for run, found in zip(ids, raw, strict=True) if found])

    def _with_undone(self, runs: list[Run]) -> list[Run]:
        """The same with how many of their rows others have undone: mostly there are none, and nothing is asked."""
        others = [other for run in runs for other in run.facts.undone_by]
        if not others:
            return runs
        pipe = self.client.pipeline(transaction=False)
        for other in others:
            pipe.hget(keys.run_key(other), RowState.DONE)
        done = {other: int(found) for other, found in zip(others, pipe.execute(), strict=True) if found}
        return [
            replace(run, undone=run.facts.undone_rows | {by: done[by] for by in run.facts.undone_by if done.get(by)})
            for run in runs
        ]
