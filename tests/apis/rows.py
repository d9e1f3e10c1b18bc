"""Rows for one of the stand-in APIs, with what has to become of each. The words of an e-mail address decide about it.

What is expected is written down here and not asked of the stand-in, so that each can be held against the other.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCKED = "{email} is on the list of blocked addresses"
TWINS = "more than one contact has this e-mail address"
DONE, UNKNOWN = ("done", ""), ("unknown", "")
FAILED = ("failed", BLOCKED)

FATES: dict[str, dict[str, tuple[str, str]]] = {
    "graphql": {
        "bad": FAILED,
        "busy": DONE,
        "busy-bad": FAILED,
        "doubt": ("unknown", "Internal error"),
        "partly": DONE,
    },
    "jsonrpc": {"bad": FAILED, "busy": DONE, "busy-bad": FAILED, "doubt": ("unknown", "Internal error")},
    "status200": {"bad": FAILED, "busy": DONE, "busy-bad": FAILED, "queued": DONE, "queued-bad": FAILED},
    "items207": {"bad": FAILED, "busy": DONE, "busy-bad": FAILED, "blank": UNKNOWN},
    "errors_only": {"bad": FAILED, "busy": DONE, "busy-bad": FAILED, "twice": FAILED},
    "indices400": {"bad": FAILED, "busy": DONE},
    "keyed": {"bad": FAILED, "busy": DONE, "busy-bad": FAILED, "mute": UNKNOWN, "stray": UNKNOWN},
    "bulk_ndjson": {"bad": FAILED, "busy": DONE, "busy-bad": FAILED},
    "job202": {"bad": FAILED, "mute": UNKNOWN},
    "wait403": {"bad": FAILED, "busy": DONE, "busy-bad": FAILED},
    "upsert": {"bad": FAILED, "known": DONE, "known-bad": FAILED, "twins": ("failed", TWINS), "busy": DONE},
}
"""Of each API the words that its rows may say, and the state and the reason that such a row ends with."""

RARE = {"busy": 0.02, "busy-bad": 0.01}
"""Shares of words that cost time: an API may have everybody wait for such a row."""
SHARE = 0.08
AWKWARD = ("O'Neil", 'say "hi"', "back\\slash", "`tick`", "{brace}", "${dollar}", "comma, semicolon;", "Жанна", "数据")


@dataclass(frozen=True, slots=True)
class Sample:
    """One row, and what has to become of it. `reason` is a part of the reason, empty where any will do."""

    row: int
    email: str
    name: str
    state: str
    reason: str


def samples(api: str, count: int = 1000, *, seed: int = 1) -> list[Sample]:
    """Rows of mixed fates in a mixed order, the same ones for the same seed. The first rows have each fate once."""
    draw = random.Random(seed)
    words = [*FATES[api], *_words(api, count - len(FATES[api]), draw)][:count]
    draw.shuffle(words)
    return [_sample(api, row, word) for row, word in enumerate(words, start=1)]


def write(path: Path, rows: Iterable[Sample]) -> Path:
    """The rows as a CSV file with the columns of the definitions."""
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(("email", "name"))
        lines.writerows((row.email, row.name) for row in rows)
    return path


def _words(api: str, count: int, draw: random.Random) -> Iterator[str]:
    shares = {word: RARE.get(word, SHARE) for word in FATES[api]}
    good = 1 - sum(shares.values())
    yield from draw.choices(["", *shares], [good, *shares.values()], k=max(count, 0))


def _sample(api: str, row: int, word: str) -> Sample:
    email = f"{word or 'good'}-{row:04}@example.com"
    if row % 7 == 0:  # as people write them
        email = email.capitalize()
    name = f"{AWKWARD[row % len(AWKWARD)]} {row}" if row % 5 == 0 else f"Anna {row}"
    state, reason = FATES[api].get(word, DONE)
    return Sample(row, email, name, state, reason.format(email=email))
