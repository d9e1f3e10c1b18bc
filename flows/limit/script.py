"""How the limiter talks with Redis: the keys of limits, one call of limiter.lua, and what comes back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, NamedTuple

import msgspec
from redis.exceptions import NoScriptError, RedisError

from flows.limit.calendar import begins
from flows.limit.places import ONE, Places
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
    values: str
    pauses: str
    events: str

    @classmethod
    def of(cls, name: str) -> Keys:
        """The keys of the limit `name`."""
        return cls(
            *(
                f"rowrelay:limit:{{{name}}}:{part}"
                for part in ("log", "flights", "numbers", "state", "askers", "hungry", "values", "pauses", "events")
            )
        )

    def slot(self, value: str) -> tuple[str, str, str]:
        """Log, flights and pause: of the limit itself, or of one of its values."""
        end = f":{value}" if value else ""
        return self.log + end, self.flights + end, self.pauses + end


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
    if terms.units:
        numbers["units"] = True
    if terms.calendar:
        numbers["calendar"] = [list(pair) for pair in sorted(terms.calendar)]
    return json.dumps(numbers, separators=(",", ":"), sort_keys=True)


class Report(NamedTuple):
    """Something to tell limits. `moment` is when it happened (a pause or a budget: when it ends), by our clock."""

    kind: str
    id: str
    moment: float = 0.0
    places: Places = ONE

    def number(self, now: float) -> int:
        """How far away the moment is, in µs, if it is told at `now`."""
        distance = self.moment - now if self.kind in "pr" else now - self.moment
        return max(0, int(distance * MICRO)) if self.kind in "apgr" else 0


class Alike(NamedTuple):
    """So many requests that take the same places."""

    times: int
    places: Places


class Standing(NamedTuple):
    """How one limit stands. Seconds."""

    quarantine: float
    paused: float
    latch: dict[str, Any] | None
    sets: int  # how many different sets of numbers are in force
    company: int  # how many ask at the time, the caller included
    unsure: str  # new, restart, clock, window: why it is in quarantine


@dataclass(frozen=True, slots=True)
class Reply:
    """What one visit brought. Seconds, except `now`: seconds of Redis's clock since 1970."""

    now: float
    held_by: str  # why not all was granted: rate, in flight, pause, latched, slowed; or why a limit is in quarantine
    hint: float  # asking again sooner than this is in vain
    bound: int  # the index of the limit that held it; 0 where none did
    limits: tuple[Standing, ...]
    starts: tuple[float | None, ...]  # of each request asked for: seconds from `now`

    @classmethod
    def of(cls, raw: Sequence[Any]) -> Reply:
        """From the script's return value."""
        now, why, hint, bound, found, starts = raw
        limits = tuple(
            Standing(sure / MICRO, paused / MICRO, json.loads(latch) if latch else None, sets, company, decoded(unsure))
            for sure, paused, latch, sets, company, unsure in found
        )
        held_by = decoded(why) or next((each.unsure for each in limits if each.unsure), "rate")
        return cls(
            now=int(now) / MICRO,
            held_by=held_by,
            hint=hint / MICRO,
            bound=max(0, bound - 1),
            limits=limits,
            starts=tuple(start / MICRO if start >= 0 else None for start in starts),
        )


@dataclass(frozen=True, slots=True)
class Visit:
    """What one visit asks and tells. Ids of requests asked for are `prefix` and a number, from `first` on.

    `away` and `own_earlier` are those of `flows.limit.clock.Distance`; `moment` is about now, in Unix seconds. At most
    `wanted` of the starts that are demanded are to be had, in their order. `reports` come with their numbers.
    """

    wanted: int
    prefix: str
    first: int
    jumped: bool
    trusted: float
    away: float
    own_earlier: float
    moment: float
    demands: Sequence[Alike]
    reports: Sequence[tuple[Report, int]]


class Form:
    """The call of the script as one asker makes it: what each visit says again is put together once."""

    def __init__(self, terms: Sequence[LimitTerms], asker: str) -> None:
        self._asker, self._calendars = asker, [[period for _, period in each.calendar] for each in terms]
        self._of = [Keys.of(each.name) for each in terms]
        self._keys = [NAMES]
        for each in self._of:
            self._keys += [each.log, each.flights, each.numbers, each.state, each.askers, each.hungry, each.values]
        self._limits = [(each.name, numbers_json(each), each.is_family) for each in terms]

    def filled(self, visit: Visit, loss: int) -> tuple[list[str], list[bytes]]:
        """KEYS and ARGV of a visit. `loss`: seconds of writes that a crash of this Redis may lose; -1: any number."""
        slots = {(index, ""): index + 1 for index in range(len(self._of))}

        def spread(places: Places) -> list[int]:
            found: list[int] = []
            for place in places:
                found += (slots.setdefault((place.limit, place.value), len(slots) + 1), place.cost)
            return found

        asked = [[alike.times, *spread(alike.places)] for alike in visit.demands]
        told = [[report.kind, report.id, number, *spread(report.places)] for report, number in visit.reports]
        keys = self._keys + [key for index, value in slots for key in self._of[index].slot(value)]
        limits = [
            [*limit, [part for period in periods for part in (period, begins(period, visit.moment))]]
            for limit, periods in zip(self._limits, self._calendars, strict=True)
        ]
        trusted, away, own_earlier = (int(each * MICRO) for each in (visit.trusted, visit.away, visit.own_earlier))
        head = [self._asker, visit.jumped, trusted, loss, visit.prefix, visit.first, visit.wanted, away, own_earlier]
        parts = [head, limits, [[index + 1, value] for index, value in slots], asked, told]
        return keys, [msgspec.msgpack.encode(part) for part in parts]


class LimitScript:
    """Visits limits on behalf of one asker. Lets redis and socket errors through."""

    def __init__(self, client: Any, terms: Sequence[LimitTerms], *, asker_id: str, script: str = SCRIPT) -> None:
        self._client, self._script = client, script
        self._sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        self._form = Form(terms, asker_id)
        self.loss: int | None = None

    async def prepare(self) -> None:
        """Connect, and learn what there is to know of this server, as often as nobody knows who answers.

        What takes several round trips has its own time: a visit has to be quick, since what it grants grows old.
        """
        if self.loss is None:
            found = await self._find_loss()
            await self._client.script_load(self._script)
            self.loss = found

    async def visit(self, visit: Visit) -> Reply:
        """Report, and ask. To be prepared before."""
        keys, args = self._form.filled(visit, -1 if self.loss is None else self.loss)
        try:
            return Reply.of(await self._client.evalsha(self._sha, len(keys), *keys, *args))
        except NoScriptError:
            return Reply.of(await self._client.eval(self._script, len(keys), *keys, *args))

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
