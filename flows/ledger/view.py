"""Reading the ledger: runs, counts, rows by page and state, charts. Nothing here writes."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import redis
from numpy.typing import NDArray

from flows.errors import RunDeleted, RunNotFound
from flows.ledger import facts, keys
from flows.ledger.connection import translated
from flows.ledger.facts import Facts
from flows.ledger.keys import Record
from flows.records import Rejection, RowState, RunState

KINDS = {  # how a run is shown to people, everywhere
    "starting": "starting",
    "checking": "checking",
    "checked": "checked, not sent",
    "sending": "sending",
    "cancelling": "cancelling",
    "interrupted": "interrupted",
    "finished": "finished",
    "with errors": "finished, some not done",
    "stopped": "stopped",
    "cancelled": "cancelled",
}
_TAKEN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it stands. `counts` has every row state; times are Unix seconds; `stored` are the facts in Redis."""

    id: str
    pipeline: str
    file: str
    state: RunState
    reason: str
    by: str
    created: float
    ended: float | None
    total: int
    counts: dict[RowState, int]
    cancelling: bool
    busy: bool  # somebody holds its lease: it is being delivered now
    facts: Facts = field(default_factory=Facts)
    stored: Mapping[str, str] = field(default_factory=dict)
    held_until: float = 0.0  # end of the latest lease: about when somebody last worked on it

    @property
    def kind(self) -> str:
        """Which of KINDS it is."""
        if self.state is RunState.FINISHED:
            return "finished" if self.ended_well else "with errors"
        if self.state in (RunState.STOPPED, RunState.CANCELLED):
            return str(self.state)
        if self.busy:
            return "cancelling" if self.cancelling else str(self.state)
        if self.state is RunState.CHECKING and self.total:
            return "checked"
        if not self.facts.epoch and time.time() - self.created < _TAKEN_SECONDS:
            return "starting"  # written down, and about to be taken
        return "interrupted"  # its deliverer is gone

    @property
    def shown_as(self) -> str:
        """Its state in words."""
        return KINDS[self.kind]

    @property
    def finished_rows(self) -> int:
        """Rows that need nothing more: all but the waiting and the sending."""
        return self.total - self.counts[RowState.WAITING] - self.counts[RowState.SENDING]

    @property
    def any_sent(self) -> bool:
        """Whether any row has been sent, or may have been."""
        return self.total > self.counts[RowState.REJECTED] + self.counts[RowState.WAITING]

    @property
    def skipped(self) -> int:
        """How many of the rejected rows are good ones, left out because an earlier run delivered them."""
        return self.facts.skipped

    @property
    def wrong(self) -> int:
        """How many rows the check refused for what stands in them: the rejected ones but the skipped."""
        return self.counts[RowState.REJECTED] - self.skipped

    @property
    def to_correct(self) -> int:
        """How many rows a person has to correct before they can be sent again."""
        return self.wrong + self.counts[RowState.FAILED]

    @property
    def notices(self) -> list[str]:
        """What its check noticed of the file as a whole, and its sending of the answers."""
        return [*self.facts.notices, *filter(None, [self.facts.kept_notice])]

    @property
    def ended_well(self) -> bool:
        """Whether it is finished and every row is done, now or by an earlier run."""
        return self.state is RunState.FINISHED and self.counts[RowState.DONE] + self.skipped == self.total

    @property
    def shown_counts(self) -> dict[str, int]:
        """Rows by state, for people: the skipped ones apart from those that are wrong."""
        counts = {str(state): self.counts[state] for state in RowState}
        counts.pop("rejected")
        rejected = {"rejected": self.wrong, "skipped": self.skipped}
        return rejected | counts


_OWN = {
    "pipeline",
    "file",
    "state",
    "reason",
    "by",
    "created",
    "ended",
    "total",
    "cancel",
    "lease",
    "leased",
    "owner",
    *RowState,
}


class View:
    """Reads over a plain Redis client. Raises StackError where Redis does not answer."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def run(self, run: str) -> Run:
        """One run. Raises RunNotFound."""
        found = self._runs([run])
        if not found:
            raise self.deleted(run) or RunNotFound(f"There is no run {run}.", hint="`rowrelay runs` lists them.")
        return found[0]

    def deleted(self, run: str) -> RunDeleted | None:
        """When a run was deleted and by whom, as the error to raise; None if that is not known of such a run."""
        with translated():
            raw = self.client.get(keys.deleted_key(run))
        if not isinstance(raw, bytes):
            return None
        at, by = msgspec.json.decode(raw)
        return RunDeleted(run, at=at, by=by)

    def runs(self, offset: int = 0, limit: int = 50) -> list[Run]:
        """Runs, newest first."""
        with translated():
            ids: list[bytes] = self.client.zrevrange(keys.RUNS, offset, offset + limit - 1)  # type: ignore[assignment]
        return self._runs([raw.decode() for raw in ids])

    def positions(self, limit: int, *, after: tuple[float, str] | None = None) -> list[tuple[float, str]]:
        """When runs were created, in Unix seconds, and their ids, newest first. `after` is the last one known."""
        found: list[tuple[float, str]] = []
        latest = "+inf" if after is None else after[0]
        skip = 0
        while len(found) < limit:
            with translated():
                raw: Any = self.client.zrevrangebyscore(
                    keys.RUNS, latest, "-inf", start=skip, num=limit, withscores=True
                )
            places = ((at, run.decode()) for run, at in raw)
            found += [place for place in places if after is None or place < after]
            if len(raw) < limit:
                break
            skip += limit
        return found[:limit]

    def these(self, ids: Sequence[str]) -> list[Run]:
        """Runs by their ids, in this order, without those that are not there any more."""
        return self._runs(ids)

    def older_than(self, moment: float, limit: int, *, skip: int = 0) -> list[Run]:
        """Runs created before a Unix time, oldest first."""
        with translated():
            ids = self.client.zrangebyscore(keys.RUNS, "-inf", f"({moment}", start=skip, num=limit)
        return self._runs([raw.decode() for raw in ids])  # type: ignore[union-attr]

    def files(self) -> set[str]:
        """The files of all runs, as each run names its own."""
        with translated():
            ids: list[bytes] = self.client.zrange(keys.RUNS, 0, -1)  # type: ignore[assignment]
            pipe = self.client.pipeline(transaction=False)
            for raw in ids:
                pipe.hget(keys.run_key(raw.decode()), "file")
            return {file.decode() for file in pipe.execute() if file}

    def count(self) -> int:
        """How many runs there are."""
        with translated():
            return int(self.client.zcard(keys.RUNS))

    def resolve(self, name: str) -> str:
        """A run id from itself, from the beginning of it, from a Prefect flow run's id, or from `last`.

        Raises:
            RunNotFound: nothing or more than one thing fits. RunDeleted if there was such a run.
        """
        if exact := self._by_whole_id(name):
            return exact
        with translated():
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

    def _by_whole_id(self, name: str) -> str:
        with translated():
            if self.client.exists(keys.run_key(name)):
                return name
            by_flow = self.client.hget(keys.FLOWS, name)
        return by_flow.decode() if isinstance(by_flow, bytes) else ""

    def definition(self, run: str) -> dict[str, Any]:
        """The run's resolved pipeline definition."""
        with translated():
            raw = self.client.get(keys.run_key(run) + ":definition")
        if not isinstance(raw, bytes):
            raise RunNotFound(f"There is no run {run}.", hint="`rowrelay runs` lists them.")
        return dict(msgspec.json.decode(raw))

    def bits(self, run: str, state: RowState, total: int) -> NDArray[np.uint8]:
        """Which rows are in a state, a bit a row, as numpy.packbits has them; `waiting` is what the others leave."""
        return self._bits(run, [state], total)

    def _bits(self, run: str, states: Collection[RowState], total: int) -> NDArray[np.uint8]:
        """Which rows are in any of the states. All are read at one instant: rows move from one to another."""
        if RowState.WAITING in states:
            left = ~self._bits(run, [state for state in RowState if state not in states], total)
            left[total // 8 :] &= np.packbits(np.arange(8) < total % 8) if total % 8 else 0xFF
            return left
        found = np.zeros((total + 7) // 8, dtype=np.uint8)
        pipe = self.client.pipeline(transaction=True)
        for state in states:
            if state is RowState.SENDING:
                pipe.zrange(keys.run_key(run) + ":sending", 0, -1)
            else:
                pipe.get(f"{keys.run_key(run)}:is:{state}")
        with translated():
            raw = pipe.execute()
        for rows in raw:
            if isinstance(rows, list):
                for row in map(int, rows):
                    found[(row - 1) // 8] |= 128 >> (row - 1) % 8
            else:
                found |= _padded(rows, total)
        return found

    def asked(self, run: str, total: int) -> NDArray[np.uint8]:
        """Which rows a person asked to send again that have not been, a bit a row."""
        with translated():
            return _padded(self.client.get(keys.run_key(run) + ":asked"), total)

    def bitmap(self, run: str, state: RowState, total: int) -> NDArray[np.bool_]:
        """Which rows are in a state, by row - 1, a byte a row."""
        return np.unpackbits(self.bits(run, state, total), count=total).astype(bool)

    def select(self, run: str, states: Iterable[RowState], total: int) -> NDArray[np.int64]:
        """Row numbers in any of the states, ascending."""
        found = self._bits(run, frozenset(states), total)
        return np.flatnonzero(np.unpackbits(found, count=total)) + 1

    def records(self, run: str, rows: Sequence[int], *, names: tuple[str, ...], created: float) -> list[Record]:
        """What is known of these rows, in their order. `names` are the definition's kept fields."""
        pipe = self.client.pipeline(transaction=False)
        for row in rows:
            for kind in ("rows", "detail"):
                pipe.hget(*keys.place(run, kind, row))
            pipe.getbit(f"{keys.run_key(run)}:is:{RowState.REJECTED}", row - 1)
        with translated():
            raw = pipe.execute()
        return [
            keys.unpack(row, raw[i], raw[i + 1], names=names, created=created)
            if raw[i]
            else Record(row, RowState.REJECTED if raw[i + 2] else RowState.WAITING)
            for row, i in zip(rows, range(0, len(raw), 3), strict=True)
        ]

    def parcel(self, run: str, row: int) -> list[int]:
        """The rows that last travelled with this one, itself included, in their order."""
        with translated():
            raw = self.client.hget(*keys.place(run, "rows", row))
            name = keys.claim_of(raw) if isinstance(raw, bytes) else ""
            rows = self.client.hget(keys.run_key(run) + ":parcels", name)
        return [int(each) for each in rows.split(b",")] if isinstance(rows, bytes) else [row]

    def blocks(self, run: str, total: int, *, names: tuple[str, ...], created: float) -> Iterator[list[Record]]:
        """Every row of the run in order, a few thousand at a time: flat memory for any size."""
        rejected = self.bitmap(run, RowState.REJECTED, total)
        span = 50
        for first in range(0, (total + keys.BLOCK - 1) // keys.BLOCK, span):
            pipe = self.client.pipeline(transaction=False)
            for block in range(first, first + span):
                for kind in ("rows", "detail"):
                    pipe.hgetall(f"{keys.run_key(run)}:{kind}:{block}")
            with translated():
                raw = pipe.execute()
            out = []
            for row in range(first * keys.BLOCK + 1, min((first + span) * keys.BLOCK, total) + 1):
                block, slot = (row - 1) // keys.BLOCK - first, str((row - 1) % keys.BLOCK).encode()
                found = raw[2 * block].get(slot)
                if found:
                    out.append(keys.unpack(row, found, raw[2 * block + 1].get(slot), names=names, created=created))
                else:
                    out.append(Record(row, RowState.REJECTED if rejected[row - 1] else RowState.WAITING))
            yield out

    def samples(self, run: str) -> list[Rejection]:
        """The first rejections, with their reasons."""
        with translated():
            raw: list[bytes] = self.client.lrange(keys.run_key(run) + ":samples", 0, -1)  # type: ignore[assignment]
        return [msgspec.msgpack.decode(item, type=Rejection) for item in raw]

    def events(self, run: str, limit: int = 50) -> list[tuple[float, str]]:
        """The last events, newest first, with their Unix times."""
        with translated():
            raw: list[bytes] = self.client.lrange(keys.run_key(run) + ":events", 0, limit - 1)  # type: ignore[assignment]
        return [(float(at), str(text)) for at, text in (msgspec.json.decode(item) for item in raw)]

    def chart(self, run: str, span: str = "seconds") -> dict[int, dict[str, int]]:
        """Counts of requests sent and outcomes by Unix second (`seconds`, the last quarter of an hour) or minute."""
        series: dict[int, dict[str, int]] = {}
        for kept, width in (("minutes", 1), ("seconds", 60)) if span == "minutes" else (("seconds", 1),):
            with translated():
                raw: dict[bytes, bytes] = self.client.hgetall(f"{keys.run_key(run)}:{kept}")  # type: ignore[assignment]
            for name, count in raw.items():
                at, kind = name.decode().split(":")
                counts = series.setdefault(int(at) // width, {})
                counts[kind] = counts.get(kind, 0) + int(count)
        return dict(sorted(series.items()))

    def paces(self, run: str) -> dict[str, bytes]:
        """What each process has sent of the run, as `Ledger.pace` was given it."""
        with translated():
            raw: dict[bytes, bytes] = self.client.hgetall(keys.run_key(run) + ":paces")  # type: ignore[assignment]
        return {process.decode(): sent for process, sent in raw.items()}

    def flows(self, run: str) -> list[str]:
        """The Prefect flow runs that delivered this run, oldest first."""
        with translated():
            raw: list[bytes] = self.client.lrange(keys.run_key(run) + ":flows", 0, -1)  # type: ignore[assignment]
        return [item.decode() for item in raw]

    def same_content(self, digest: str) -> list[str]:
        """Runs of files with this content."""
        with translated():
            raw: set[bytes] = self.client.smembers(keys.content_key(digest))  # type: ignore[assignment]
        return sorted(item.decode() for item in raw)

    def _runs(self, ids: Sequence[str]) -> list[Run]:
        pipe = self.client.pipeline(transaction=False)
        for run in ids:
            pipe.hgetall(keys.run_key(run))
        pipe.time()
        with translated():
            *raw, (seconds, micros) = pipe.execute()
        now = seconds * 1000 + micros / 1000
        return [_run(run, found, now) for run, found in zip(ids, raw, strict=True) if found]


def _padded(raw: object, total: int) -> NDArray[np.uint8]:
    """A stored bitmap in its full length: Redis stores no trailing zeros."""
    size = (total + 7) // 8
    full = (raw if isinstance(raw, bytes) else b"").ljust(size, b"\0")[:size]
    return np.frombuffer(full, dtype=np.uint8).copy()


def _run(run: str, raw: dict[bytes, bytes], now: float) -> Run:
    fields = {name.decode(): value.decode() for name, value in raw.items()}
    counts = {state: int(fields.get(state) or 0) for state in RowState}
    stored = {name: value for name, value in fields.items() if name not in _OWN}
    lease = float(fields.get("lease") or 0)
    longest = float(fields.get("leased") or "inf")  # more is left only if Redis's clock was set back
    return Run(
        id=run,
        pipeline=fields.get("pipeline", ""),
        file=fields.get("file", ""),
        state=RunState(fields.get("state", RunState.CHECKING)),
        reason=fields.get("reason", ""),
        by=fields.get("by", ""),
        created=int(fields["created"]) / 1000,
        ended=int(fields["ended"]) / 1000 if fields.get("ended") else None,
        total=int(fields.get("total") or 0),
        counts=counts,
        cancelling=bool(fields.get("cancel")),
        busy=now < lease <= now + longest,
        facts=facts.read(stored),
        stored=stored,
        held_until=lease / 1000,
    )
