"""What a person may see of a limit and do to it: how it stands, open it after a ban, vouch for its past."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from flows.limit.script import MICRO, NAMES, Keys, decoded

_WHY = {
    "new": "this limit is new here: what was sent before is not known",
    "restart": "Redis was restarted: its last entries may be lost",
    "clock": "the clock of Redis was set",
    "window": "a longer window has begun: what was sent under it before is not known",
}


@dataclass(frozen=True, slots=True)
class WindowStatus:
    """One window in force: `held` of its `requests` slots are taken, each until `seconds` after its answer."""

    requests: int
    seconds: float
    held: int


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
    held = [client.zcount(keys.log, now - length, "+inf") for _, length in windows]
    latch = json.loads(state["latched"]) if "latched" in state else {}
    return LimitStatus(
        name=name,
        windows=tuple(WindowStatus(n, length / MICRO, count) for (n, length), count in zip(windows, held, strict=True)),
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
    )


def open_limit(client: Any, name: str, by: str) -> bool:
    """Take the latch off: `by` is the person who says that the API lets us in again. False if there was none."""
    keys = Keys.of(name)
    pipe = client.pipeline(transaction=True)
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
