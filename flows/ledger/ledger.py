"""The durable state of runs and rows: every write to it.

Rows move only along TRANSITIONS, inside one Lua script that also moves the counters, so that
`total = rejected + waiting + sending + done + failed + unknown` holds at every moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from itertools import islice
from typing import Any, NamedTuple

import msgspec
import redis
from redis.commands.core import Script

from flows.errors import LedgerError, RunBusy, RunNotFound, Superseded
from flows.ledger import keys
from flows.ledger.connection import translated
from flows.ledger.facts import FactValue, written
from flows.ledger.view import View
from flows.records import Rejection, RowState, RunState

W, S, D, F, U = RowState.WAITING, RowState.SENDING, RowState.DONE, RowState.FAILED, RowState.UNKNOWN
TRANSITIONS: Mapping[str, Mapping[RowState, frozenset[RowState]]] = {
    "claim": {W: frozenset({S})},  # by the run's present epoch only
    "again": {U: frozenset({S})},  # only while the API remembers the row's idempotency key
    "answer": {S: frozenset({D, F, U, W}), U: frozenset({D, F, U, W}), W: frozenset({D, F})},  # by its latest claim
    "restore": {s: frozenset({D, F, U, W}) for s in (W, S, U, F)},  # by a claim that Redis forgot
    "settle": {S: frozenset({U})},  # its deliverer is gone and the attempt's time is over
    "resend": {F: frozenset({W}), U: frozenset({W})},  # a person asked; once a row and request
    "mark": {U: frozenset({D})},  # a person knows better
    "restored": {W: frozenset({U})},  # the ledger is older than the truth: the row may have been sent since
}
LEASE_SECONDS = 5.0
SAMPLES = 100
EVENTS = 200
SERIALS = 10_000  # claim numbers that a process asks for at once, of four billion a run
_BATCH = 400  # rows a call: Lua unpacks a few thousand arguments at most


class Claim(NamedTuple):
    """The wish to send a parcel. `serial` is this claim's alone in the run, and rises."""

    rows: Sequence[int]
    serial: int


@dataclass(frozen=True, slots=True)
class Answer:
    """An attempt's outcome on its way to the ledger, already packed."""

    row: int
    epoch: int
    serial: int
    state: RowState
    tail: bytes
    detail: bytes
    sent_second: int | None
    wait_seconds: float = 0.0
    without_effect: bool = False  # the attempt surely had none, so it says nothing about the ones before it


def _calls(claims: Sequence[Claim]) -> Iterator[list[Claim]]:
    """As many at a time as one call takes."""
    some: list[Claim] = []
    size = 0
    for claim in claims:
        if some and size + len(claim.rows) > _BATCH:
            yield some
            some, size = [], 0
        some.append(claim)
        size += len(claim.rows)
    if some:
        yield some


def _script() -> str:
    def targets(to: frozenset[RowState]) -> str:
        return "{" + ", ".join(f"{state} = true" for state in sorted(to)) + "}"

    rows = (
        f"['{event}'] = {{" + ", ".join(f"{state} = {targets(to)}" for state, to in moves.items()) + "}"
        for event, moves in TRANSITIONS.items()
    )
    body = files("flows.ledger").joinpath("ledger.lua").read_text(encoding="utf-8")
    return "local ALLOWED = {" + ",\n".join(rows) + "}\n" + body


class Ledger:
    """Writes to the ledger over a plain Redis client. Safe to use from several threads.

    Every method may raise `redis.RedisError`; who can wait tries again, all calls may be repeated.
    """

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    @cached_property
    def _lua(self) -> Script:
        return self.client.register_script(_script())

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

    def take(
        self,
        run: str,
        owner: str,
        *,
        resume: bool,
        lease_seconds: float = LEASE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> int:
        """Become the run's sole deliverer and return the epoch. `resume` clears an earlier wish to cancel.

        A dead deliverer's lease is waited for; one that is renewed twice meanwhile is alive. Once may be a renewal that
        was still on its way when its machine was cut off.

        Raises:
            RunBusy: somebody else is delivering the run.
            RunNotFound: there is no such run.
        """
        deadline = clock() + lease_seconds + 1
        left, renewals = float("inf"), 0
        while True:
            code, value, other = self._ask(run, "take", owner, round(lease_seconds * 1000), int(resume))
            if code == 1:
                return int(value)
            if code == -1:
                raise RunNotFound(f"There is no run {run}.", hint="`rowrelay runs` lists them.")
            if value > left:
                renewals += 1
                deadline = clock() + lease_seconds + 1
            if renewals > 1 or clock() > deadline:
                raise RunBusy(f"Run {run} is already being delivered by {other.decode()}.")
            left = value
            sleep(min(0.5, value / 1000 + 0.01))

    def renew(self, run: str, epoch: int, *, lease_seconds: float = LEASE_SECONDS) -> tuple[bool, int, bool]:
        """Keep the run. Returns (still ours, rows of dead deliverers still `sending`, cancel wished)."""
        ours, _settled, older, cancel = self._ask(run, "renew", epoch, round(lease_seconds * 1000))
        return bool(ours), int(older), bool(cancel)

    def end(self, run: str, epoch: int, state: RunState, reason: str = "") -> bool:
        """Give the run back in its last state. False if another has it."""
        return bool(self._ask(run, "end", epoch, state, reason))

    def cancel(self, run: str, by: str) -> None:
        """Wish a run to end: from now on no row of it is claimed."""
        self.client.hset(keys.run_key(run), "cancel", by)

    def check_afresh(self, run: str, epoch: int) -> None:
        """Forget what an earlier, unfinished check wrote. Raises Superseded."""
        self._keep(self._ask(run, "afresh", epoch))

    def reject(self, run: str, epoch: int, rejections: Sequence[Rejection]) -> None:
        """Mark rows as rejected and keep the first ones to show. Raises Superseded."""
        for first in range(0, len(rejections), _BATCH):
            missing = SAMPLES - int(self.client.llen(keys.run_key(run) + ":samples"))
            flat: list[Any] = []
            for item in rejections[first : first + _BATCH]:
                shown = missing > 0 and not item.skipped
                missing -= shown
                flat += (item.row, msgspec.msgpack.encode(item) if shown else b"")
            self._keep(self._ask(run, "reject", epoch, *flat))

    def begin(self, run: str, epoch: int, *, total: int, rejected: int, **facts: FactValue) -> None:
        """End the check: fix the totals and what the spool holds, in one write.

        Raises:
            LedgerError: it was begun before.
            redis.ResponseError: the rejections do not add up.
        """
        flat = [part for pair in written(facts).items() for part in pair]
        if not self._ask(run, "begin", epoch, total, rejected, *flat):
            raise LedgerError(f"Run {run} was begun by another process.")

    def open(self, run: str, epoch: int) -> None:
        """Let rows be claimed under this epoch. Raises Superseded."""
        self._keep(self._ask(run, "open", epoch))

    @staticmethod
    def _keep(ours: object) -> None:
        if not ours:
            raise Superseded("Another process has taken over this run.")

    def serials(self, run: str, count: int = SERIALS) -> int:
        """The first of `count` claim numbers that nobody else was given; later ones are higher."""
        return int(self.client.hincrby(keys.run_key(run), "serials", count)) - count + 1

    def claim(
        self, run: str, epoch: int, claims: Sequence[Claim], *, patience_seconds: float, idempotency_seconds: float
    ) -> tuple[str, list[list[int]]]:
        """Move the rows of parcels to `sending`, right before their requests leave. A parcel goes whole or not at all.

        `patience_seconds` is how long an attempt can take until nobody waits for its answer. Returns (why, one number
        a row, by parcel): the generation of its idempotency key, -1 if it is not to be sent, -2 if not yet, or because
        another row of its parcel is not. A row that may have been acted on is only claimed in the parcel in which it
        went before. `why` is "ok", "superseded", "cancelled", or the state of a run that is not sending; where that is
        heard when some have been granted, the others are not yet to be sent.
        """
        patience, memory = round(patience_seconds * 1000), round(idempotency_seconds * 1000)
        granted: list[list[int]] = []
        for some in _calls(claims):
            flat = [part for rows, serial in some for part in (serial, len(rows), *rows)]
            why, *answers = self._ask(run, "claim", epoch, patience, memory, *flat)
            if why != b"ok":
                late = [[-2] * len(rows) for rows, _ in claims[len(granted) :]]
                return ("ok", granted + late) if granted else (why.decode(), [])
            left = iter(answers)
            granted += [list(islice(left, len(rows))) for rows, _ in some]
        return "ok", granted

    def answer(self, run: str, answers: Sequence[Answer]) -> list[RowState | None]:
        """Record outcomes, at most a few hundred. Says for each what the row is now; None where it was refused.

        It is refused only if a newer claim exists. An attempt without effect leaves a row `unknown` that may have
        been acted on before.
        """
        flat: list[Any] = []
        for a in answers:
            sent = "" if a.sent_second is None else a.sent_second
            wait, idle = round(a.wait_seconds * 1000), int(a.without_effect)
            flat += (a.row, a.epoch, a.serial, a.state, a.tail, a.detail, sent, wait, idle)
        taken = self._ask(run, "answer", round(time.time() * 1000), *flat)
        return [(None, a.state, U)[int(code)] for a, code in zip(answers, taken, strict=True)]

    def request(self, run: str, request: str) -> int:
        """The number of a resend request, by its id."""
        return int(self._ask(run, "request", request))

    def resend(self, run: str, epoch: int, number: int, rows: Iterable[int]) -> int:
        """Let failed or unknown rows wait again; each moves once a request. Returns how many moved.

        Raises:
            Superseded: another process has the run.
        """
        moved = 0
        for more in self._batches(run, rows, "resend", epoch, number):
            self._keep(more >= 0)
            moved += more
        return moved

    def mark_done(self, run: str, rows: Iterable[int], *, by: str) -> int:
        """Call unknown rows done, on a person's word. Returns how many moved."""
        return sum(self._batches(run, rows, "mark", msgspec.msgpack.encode({"r": f"marked done by {by}"})))

    def restored(self, run: str, rows: Iterable[int]) -> int:
        """Call waiting rows unknown, because the ledger comes from a backup. Returns how many moved."""
        why = "the ledger was restored from a backup; the row may have been sent after that was made"
        return sum(self._batches(run, rows, "restored", msgspec.msgpack.encode({"r": why})))

    def _batches(self, run: str, rows: Iterable[int], *ask: Any) -> Iterable[int]:
        batch: list[int] = []
        for row in rows:
            batch.append(row)
            if len(batch) == _BATCH:
                yield int(self._ask(run, *ask, *batch))
                batch = []
        if batch:
            yield int(self._ask(run, *ask, *batch))

    def trim(self, run: str, before: int) -> None:
        """Fold what the chart has of Unix seconds before this one into its minutes."""
        self._ask(run, "trim", before)

    def delete(self, run: str, *, by: str = "") -> None:
        """Remove a run and all that is known of its rows. `by` whom stays known, where it says so.

        Raises:
            RunBusy: it is being delivered.
            RunNotFound: there is no such run.
        """
        found = View(self.client).run(run)
        if found.busy:
            raise RunBusy(f"Run {run} is being delivered.", hint="Cancel it first.")
        with translated():
            self._unlink(run, found.total, found.facts.digest, by)

    def _unlink(self, run: str, total: int, digest: str, by: str) -> None:
        key = keys.run_key(run)
        flows: list[bytes] = self.client.lrange(key + ":flows", 0, -1)  # type: ignore[assignment]
        for first in range(0, total // keys.BLOCK + 1, 1000):
            blocks = range(first, min(first + 1000, total // keys.BLOCK + 1))
            self.client.unlink(*(f"{key}:{kind}:{n}" for n in blocks for kind in ("rows", "detail")))
        pipe = self.client.pipeline()
        pipe.unlink(key, *(f"{key}:{name}" for name in keys.SINGLE), *(f"{key}:is:{state}" for state in keys.INDEXED))
        pipe.zrem(keys.RUNS, run)
        if flows:
            pipe.hdel(keys.FLOWS, *flows)
        if digest:
            pipe.srem(keys.content_key(digest), run)
        if by:
            pipe.set(keys.deleted_key(run), msgspec.json.encode([time.time(), by]), ex=keys.DELETED_SECONDS)
        pipe.execute()
