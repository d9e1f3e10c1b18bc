"""What a person may see of a limit and do to it: how it stands, open it after a ban, vouch for its past."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flows.limit.calendar import begins, period_seconds
from flows.limit.script import MICRO, NAMES, Keys, decoded
from flows.words import limit_words, span_words

_WHY = {
    "new": "this limit is new here: what was sent before is not known",
    "restart": "Redis was restarted: its last entries may be lost",
    "clock": "the clock of Redis was set",
    "window": "a longer window has begun: what was sent under it before is not known",
}


@dataclass(frozen=True, slots=True)
class WindowStatus:
    """One window in force: `held` of its `requests` slots are taken, each until `seconds` after its answer.

    `units`: it counts units. `period`: it counts by the calendar, since the begin of the period that holds now.
    """

    requests: int
    seconds: float
    held: int
    units: bool = False
    period: str = ""

    @property
    def words(self) -> str:
        """What it allows."""
        return f"{self.requests:,} {'units ' if self.units else ''}{span_words(self.seconds, self.period)}"


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """How a limit stands. `…_until` are seconds since 1970 by Redis's clock, None if it does not apply."""

    name: str
    windows: tuple[WindowStatus, ...]
    in_flight: int  # the most that may be under way at once; 0 if nobody uses the limit at the moment
    flying: int  # how many are
    askers: int  # processes that were here in the last ten seconds
    numbers_in_force: int  # more than 1: the same limit is used with different numbers; all of them are kept
    quarantine_until: float | None  # waiting to be sure
    quarantine_reason: str
    paused_until: float | None
    pause_reason: str
    latched: bool
    latch_reason: str
    latch_run: str
    latched_at: float | None
    values: int = 0  # of a limit for each value: how many are in use; what is held is not counted then
    slowed_until: float | None = None  # the API said how much is left until then
    slow_seconds: float = 0.0  # so far apart requests start

    @property
    def allowed(self) -> str:
        """What it allows, in words."""
        words = " and ".join(window.words for window in self.windows) or limit_words((), self.in_flight)
        return f"{words} for each value" if "{" in self.name else words

    @property
    def state(self) -> str:
        """`latched`, `paused`, `waiting to be sure` or `open`: the one that weighs most."""
        if self.latched:
            return "latched"
        if self.paused_until:
            return "paused"
        return "waiting to be sure" if self.quarantine_until else "open"

    def wait_seconds(self, now: float) -> float:
        """How long nothing may be sent, as far as that is known; `now` in seconds since 1970."""
        return max(0.0, (self.quarantine_until or 0.0) - now, (self.paused_until or 0.0) - now)


def names(client: Any) -> list[str]:
    """The limits that this Redis knows. `client` is a synchronous redis client, here and below."""
    return sorted(decoded(name) for name in client.smembers(NAMES))


def status(client: Any, name: str) -> LimitStatus:
    """How the limit stands now."""
    keys = Keys.of(name)
    seconds, micros = client.time()
    now = seconds * MICRO + micros
    pipe = client.pipeline(transaction=True)
    pipe.hgetall(keys.state)
    pipe.hgetall(keys.numbers)
    pipe.zcount(keys.flights, now, "+inf")
    pipe.zcount(keys.askers, now, "+inf")
    state, numbers, flying, askers = pipe.execute()
    state = {decoded(key): decoded(value) for key, value in state.items()}
    live = [json.loads(decoded(text)) for text, until in numbers.items() if float(until) >= now]
    windows = sorted({(int(n), int(length)) for each in live for n, length in each["windows"]})
    periods = sorted({(int(n), str(period)) for each in live for n, period in each.get("calendar", ())})
    units = any(each.get("units") for each in live)
    spans = [(n, length / MICRO, now - length, "") for n, length in windows]
    spans += [(n, period_seconds(period), begins(period, now / MICRO)[1], period) for n, period in periods]
    latch = json.loads(state["latched"]) if "latched" in state else {}
    return LimitStatus(
        name=name,
        windows=tuple(
            WindowStatus(n, span, _held(client, keys, since, units=units), units, period)
            for n, span, since, period in spans
        ),
        in_flight=min((each["in_flight"] for each in live), default=0),
        flying=flying,
        askers=askers,
        numbers_in_force=len(live),
        quarantine_until=_later(state.get("sure"), now),
        quarantine_reason=_WHY.get(state.get("sure_why", ""), "") if _later(state.get("sure"), now) else "",
        paused_until=_later(state.get("paused"), now),
        pause_reason=state.get("pause_reason", "") if _later(state.get("paused"), now) else "",
        latched=bool(latch),
        latch_reason=latch.get("reason", ""),
        latch_run=latch.get("run", ""),
        latched_at=latch.get("at"),
        values=client.zcard(keys.values),
        slowed_until=_later(state.get("slow_until"), now),
        slow_seconds=float(state.get("slow_gap", 0)) / MICRO if _later(state.get("slow_until"), now) else 0.0,
    )


def _held(client: Any, keys: Keys, since: int, *, units: bool) -> int:
    if not units:
        return int(client.zcount(keys.log, since, "+inf"))
    found = (decoded(each).rpartition("*") for each in client.zrangebyscore(keys.log, since, "+inf"))
    return sum(int(cost) if entry else 1 for entry, _, cost in found)


def most_urgent(found: Iterable[LimitStatus]) -> LimitStatus:
    """Of the limits of one request the one that holds it up longest. Raises ValueError where there is none."""
    return max(found, key=lambda limit: (limit.latched, limit.wait_seconds(0.0)))


def open_limit(client: Any, name: str, by: str) -> bool:
    """Take the latch off: `by` is the person who says that the API lets us in again. False if there was none.

    The same ban may have latched others, under which the same request went: they are opened with it.
    """
    latched = client.hget(Keys.of(name).state, "latched")
    pipe = client.pipeline(transaction=True)
    for each in dict.fromkeys([name, *(json.loads(latched).get("limits", ()) if latched else ())]):
        keys = Keys.of(each)
        pipe.hdel(keys.state, "latched")
        pipe.hset(keys.state, "opened", json.dumps({"by": by, "at": time.time()}))
        pipe.publish(keys.events, "open ")
    return bool(pipe.execute()[0])


def trust(client: Any, name: str, by: str) -> None:
    """End the quarantine of windows above a minute.

    `by` says, as a person who knows: nothing that the record does not hold was sent to this account during the
    longest window. Where that is not so, the API may count more than the limit allows.
    """
    keys = Keys.of(name)
    pipe = client.pipeline(transaction=True)
    pipe.hset(keys.state, mapping={"known": 0, "purged": 0, "trusted": json.dumps({"by": by, "at": time.time()})})
    pipe.publish(keys.events, "open ")
    pipe.execute()


def distrust(client: Any, name: str) -> None:
    """Let the limit wait as after a restart of which nothing is known: its record may be older than the truth."""
    keys = Keys.of(name)
    pipe = client.pipeline(transaction=True)
    pipe.hset(keys.state, mapping={"server": "restored", "loss": -1})
    pipe.publish(keys.events, "open ")
    pipe.execute()


def _later(moment: str | None, now: float) -> float | None:
    return float(moment) / MICRO if moment is not None and float(moment) > now else None
