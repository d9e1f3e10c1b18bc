"""What happens in a trial: drawn from the seed and the trial's number alone, so that each can be played again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

# What is killed or stopped. `both` is a power cut of one machine: sender and Redis at once.
KILLS = (
    *("none", "sender kill", "sender term", "sender stop"),
    *("redis kill", "redis term", "redis stop", "both"),
)
# How the API behaves, as knobs of the stand-in; `at` marks what begins at the instant of the kill.
APIS: dict[str, dict[str, Any]] = {
    "fast": {},
    "slow": {"delay_min_seconds": 0.2, "delay_max_seconds": 0.35},
    "jittery": {"jitter_seconds": 0.2, "delay_max_seconds": 0.1},
    "429": {"at": {"refuse_seconds": 0.4}, "retry_after_seconds": 1},
    "503": {"faults": {"unavailable": 0.06}, "retry_after_seconds": 1},
    "500s": {"faults": {"error": 0.15, "gateway_timeout": 0.03}},
    "resets": {"faults": {"reset": 0.1, "drop": 0.05, "close": 0.05}},
    "hangs": {"faults": {"hang": 0.06, "stalled": 0.04}, "hang_seconds": 5},
    "rubbish": {
        "faults": {
            "invalid_json": 0.06,
            "wrong_type": 0.06,
            "no_content": 0.04,
            "redirect": 0.04,
            "trickled": 0.03,
            "huge": 0.03,
            "unprocessable": 0.05,
            "bad_gateway": 0.03,
        },
        "huge_bytes": 3_000_000,
    },
    "ban": {"at": {"ban": True}},
}
CLEAN = ("fast", "slow", "jittery", "429")  # nobody but us can lose an answer
# What the network does to the requests, or (`redis …`) to what goes to Redis and back.
NETWORKS = {"none": 8, "delay": 2, "stall": 2, "cut": 2, "link down": 2, "redis stall": 2, "redis cut": 2}
# What else runs out or goes wrong at the same instant.
TROUBLES = {
    "none": 9,
    "disk of redis": 2,
    "disk of journal": 2,
    "clock": 3,
    "memory of redis": 2,
    "memory of sender": 2,
}
LIMITS = ((8, 0.25), (15, 0.5), (30, 1.0))  # about 30 a second
WHOLE_EVERY = 16  # each such trial goes through the whole stack
WHOLE_KILLS = (
    *("run process", "command", "prefect", "redis kill", "dashboard", "machine"),
    *("command term", "redis term", "serve term", "run process", "dashboard", "prefect"),
)
WHOLE_APIS = ("fast", "slow", "500s", "503", "jittery", "resets")


@dataclass(frozen=True)
class Trial:
    """One trial, fully determined."""

    seed: int
    number: int
    whole: bool
    kill: str
    api: str
    network: str = "none"
    trouble: str = "none"
    rows: int = 40
    bad: int = 0
    limit: tuple[int, float] = (15, 0.5)
    in_flight: int = 10
    idempotent: bool = False
    after_rows: int = 0  # the instant: when so many rows have ended …
    after_seconds: float = 0.0  # … and so long after that (or, with no row, after the start)
    hold_seconds: float = 1.0  # how long what was broken stays so
    give_up_seconds: float = 60.0
    step_seconds: int = 5  # by which a clock is set
    away: float = 0.0  # seconds to the API, one way …
    setup: float = 0.0  # … and how much longer a new connection to it takes
    tls: bool = False
    redis_away: float = 0.0  # seconds to Redis, one way
    ask: str = ""  # which rows are sent once more by request, after the end

    @property
    def name(self) -> str:
        """In words."""
        more = [word for word in (self.network, self.trouble) if word != "none"]
        more += [f"API {self.away:g} s away"] * bool(self.away) + ["slow to connect"] * bool(self.setup)
        more += ["TLS"] * self.tls + [f"Redis {self.redis_away:g} s away"] * bool(self.redis_away)
        return ", ".join([f"{'whole: ' * self.whole}{self.kill}", self.api, *more])

    @property
    def again(self) -> str:
        """The command that plays just this trial."""
        return f"python -m tests.faults --seed {self.seed} --only {self.number}"


def draw(seed: int, number: int) -> Trial:
    """Trial `number` (from 1) of the series `seed`: every pair of kill and behaviour comes once in a round."""
    if number % WHOLE_EVERY == 0:
        return _whole(seed, number)
    place = number - 1 - number // WHOLE_EVERY
    pairs = [(kill, api) for kill in KILLS for api in APIS]
    random.Random(f"{seed} round {place // len(pairs)}").shuffle(pairs)
    kill, api = pairs[place % len(pairs)]
    chance = random.Random(f"{seed} trial {number}")
    rows = chance.randint(30, 60)
    after_rows = chance.choice((0, chance.randint(1, rows - 5), chance.randint(1, rows - 5)))
    network, far = _one_of(chance, NETWORKS), random.Random(f"{seed} distance {number}")
    distance: dict[str, Any] = {"redis_away": far.choice((0.0, 0.0, 0.0, 0.02, 0.1))}
    if network != "link down":  # there the API is on a machine of its own, and nothing may lie between
        distance |= {"away": far.choice((0.0, 0.0, 0.05, 0.1)), "setup": far.choice((0.0, 0.0, 0.3))}
        distance["tls"] = far.random() < 0.4
    return Trial(
        seed=seed,
        number=number,
        whole=False,
        kill=kill,
        api=api,
        network=network,
        trouble=_one_of(chance, TROUBLES),
        rows=rows,
        bad=chance.choice((0, 0, 3)),
        limit=chance.choice(LIMITS),
        in_flight=chance.choice((3, 6, 10)),
        idempotent=chance.random() < 0.3,
        after_rows=after_rows,
        after_seconds=chance.uniform(0, 0.1 if after_rows else 2.5),
        hold_seconds=chance.choice((chance.uniform(0.1, 1.0), chance.uniform(0.5, 3.0), chance.uniform(3.0, 7.0))),
        give_up_seconds=chance.choice((60.0, 60.0, 1.5)),
        step_seconds=chance.choice((-8, -5, -2, 2, 5, 8)),
        ask=chance.choice(("", "", "unknown", "failed")),
        **distance,
    )


def _whole(seed: int, number: int) -> Trial:
    at = number // WHOLE_EVERY - 1
    kills, apis = list(WHOLE_KILLS), list(WHOLE_APIS)
    random.Random(f"{seed} whole").shuffle(kills)
    random.Random(f"{seed} whole").shuffle(apis)
    chance = random.Random(f"{seed} trial {number}")
    return Trial(
        seed=seed,
        number=number,
        whole=True,
        kill=kills[at % len(kills)],
        api=apis[at % len(apis)],
        rows=chance.randint(30, 45),
        limit=(7, 1.0),
        in_flight=7,
        after_rows=chance.randint(1, 15),
        after_seconds=chance.uniform(0, 0.3),
        hold_seconds=chance.uniform(0.2, 3.0),
    )


def _one_of(chance: random.Random, weighted: dict[str, int]) -> str:
    return chance.choices(list(weighted), list(weighted.values()))[0]
