"""How the limiter talks with Redis: the keys of a limit, one call of limiter.lua, and what comes back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, NamedTuple

import msgspec
from redis.exceptions import NoScriptError, RedisError

from flows.records import LimitTerms

SCRIPT = files("flows.limit").joinpath("limiter.lua").read_text(encoding="utf-8")
NAMES = "rowrelay:limits"
EVENTS = "rowrelay:limit:{*}:events"  # a pattern: one subscription hears all limits
LATE_FRESH_SECONDS = 0.05  # with `late_seconds` every permit must be written this soon after its start
MICRO = 1_000_000


def decoded(value: bytes | str) -> str:
    """What Redis said, whether or not the client decodes it."""
    return value.decode() if isinstance(value, bytes) else value


@dataclass(frozen=True, slots=True)
class Keys:
    """Where a limit's state lies. The braces keep the keys of one limit together."""

    log: str
    flights: str
    numbers: str
    state: str
    askers: str
    hungry: str
    events: str

    @classmethod
    def of(cls, name: str) -> Keys:
        """The keys of the limit `name`."""
        return cls(
            *(
                f"rowrelay:limit:{{{name}}}:{part}"
                for part in ("log", "flights", "numbers", "state", "askers", "hungry", "events")
            )
        )


def fresh_seconds(terms: LimitTerms) -> float:
    """How long after its start a permit may still be written."""
    if terms.late_seconds is not None:
        return LATE_FRESH_SECONDS
    return min(0.5, max(0.05, terms.grace_seconds), terms.max_timeout_seconds / 2)


def hold_seconds(terms: LimitTerms) -> float:
    """How long after its start a request that was not answered may still be counted, as far as the terms say."""
    if terms.late_seconds is None:
        return terms.lapse_seconds
    return min(terms.lapse_seconds, terms.late_seconds + LATE_FRESH_SECONDS)


def numbers_json(terms: LimitTerms) -> str:
    """The terms as the script wants them, in µs; equal terms give equal text."""
    lapse = terms.lapse_seconds
    numbers = {
        "windows": [[requests, round(seconds * MICRO)] for requests, seconds in sorted(terms.windows)],
        "in_flight": terms.in_flight,
        "lapse": round(lapse * MICRO),  # how long after its start a request may still be counted
        "hold": round(hold_seconds(terms) * MICRO),  # the same, if `late_seconds` may be relied on
        "grace": round(terms.grace_seconds * MICRO) if terms.late_seconds is None else -1,  # after it was given up
        "flight": round((lapse + terms.max_timeout_seconds) * MICRO),  # head and body have a time-out each
    }
    return json.dumps(numbers, separators=(",", ":"), sort_keys=True)


class Report(NamedTuple):
    """Something to tell the limit. `moment` is when it happened (a pause: when it ends), by our clock."""

    kind: str
    id: str
    moment: float = 0.0

    def args(self, now: float) -> tuple[str, str, int]:
        """As the script takes it, if it is sent at `now`."""
        distance = self.moment - now if self.kind == "p" else now - self.moment
        return self.kind, self.id, max(0, int(distance * MICRO)) if self.kind in "apg" else 0


@dataclass(frozen=True, slots=True)
class Reply:
    """What one visit brought. Seconds, except `now`: seconds of Redis's clock since 1970."""

    now: float
    held_by: str  # why not all was granted: rate, in flight, pause, latched; new, restart, clock, window: quarantine
    hint: float  # asking again sooner than this is in vain
    quarantine: float
    paused: float
    latch: dict[str, Any] | None
    sets: int  # how many different sets of numbers are in force
    company: int  # how many ask at the time, the caller included
    starts: tuple[float, ...] = field(default=())  # seconds from `now`

    @classmethod
    def of(cls, raw: Sequence[Any]) -> Reply:
        """From the script's return value."""
        now, why, hint, sure, paused, latched, sets, company, starts = raw
        return cls(
            now=int(now) / MICRO,
            held_by=decoded(why),
            hint=hint / MICRO,
            quarantine=sure / MICRO,
            paused=paused / MICRO,
            latch=json.loads(latched) if latched else None,
            sets=sets,
            company=company,
            starts=tuple(start / MICRO for start in starts),
        )


class LimitScript:
    """Visits one limit on behalf of one asker. Lets redis and socket errors through."""

    def __init__(self, client: Any, terms: LimitTerms, *, asker_id: str, script: str = SCRIPT) -> None:
        self._client, self._script = client, script
        self._sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        keys = Keys.of(terms.name)
        self._keys = (keys.log, keys.flights, keys.numbers, keys.state, keys.askers, keys.hungry, NAMES)
        self._name, self._asker, self._numbers = terms.name, asker_id, numbers_json(terms)
        self.loss: int | None = None

    async def prepare(self) -> None:
        """Connect, and learn what there is to know of this server, as often as nobody knows who answers.

        What takes several round trips has its own time: a visit has to be quick, since what it grants grows old.
        """
        if self.loss is None:
            found = await self._find_loss()
            await self._client.script_load(self._script)
            self.loss = found

    async def visit(
        self,
        *,
        wanted: int,
        prefix: str,
        first: int,
        jumped: bool,
        trusted: float,
        away: float,
        own_earlier: float,
        reports: Sequence[tuple[str, str, int]],
    ) -> Reply:
        """Report, and ask for up to `wanted` starts, whose ids will be `prefix` and a number from `first` on.

        `away` and `own_earlier` are those of `flows.limit.clock.Distance`. To be prepared before.
        """
        args: list[Any] = [
            *self._keys,
            self._asker,
            self._numbers,
            wanted,
            int(jumped),
            int(trusted * MICRO),
            -1 if self.loss is None else self.loss,
        ]
        args += [prefix, first, self._name, int(away * MICRO), int(own_earlier * MICRO)]
        args.append(msgspec.msgpack.encode(reports))  # one argument: redis-py takes 3 µs for each
        try:
            return Reply.of(await self._client.evalsha(self._sha, len(self._keys), *args))
        except NoScriptError:
            return Reply.of(await self._client.eval(self._script, len(self._keys), *args))

    async def _find_loss(self) -> int:
        """How many seconds of writes a crash of this Redis may lose; -1: any number.

        Only windows above a minute depend on it: shorter ones wait out every restart.
        """
        persistence = await self._client.info("persistence")
        if not int(persistence.get("aof_enabled", 0)):
            return -1
        try:
            found = await self._client.config_get("appendfsync")
        except RedisError:
            return -1  # a managed server that does not say
        fsync = {decoded(key): decoded(value) for key, value in found.items()}.get("appendfsync", "")
        return {"always": 0, "everysec": 5}.get(fsync, -1)
