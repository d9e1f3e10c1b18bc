"""What is kept of the documents by which people mend rejected rows: numbered, with what each came to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec


class Mend(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One document. `at` is when, in Unix seconds.

    `changes` are as they were sent, and `undo` is the number of the document that it takes back. `matched`: how many
    rows each of the changes was applied to; `changed` rows in all, of which `accepted` can be sent now, and `skipped`
    are not to be mended. `facts` are those of the run from now on, `before` what they were.
    """

    number: int
    at: float
    by: str
    key: str = ""
    changes: list[dict[str, Any]] = []
    undo: int | None = None
    matched: list[int] = []
    changed: int = 0
    accepted: int = 0
    skipped: int = 0
    facts: dict[str, Any] = {}
    before: dict[str, Any] = {}


def in_effect(mends: Sequence[Mend]) -> list[Mend]:
    """Those that were not taken back, oldest first."""
    left: list[Mend] = []
    for each in mends:
        if each.undo is None:
            left.append(each)
        else:
            left.pop()
    return left
