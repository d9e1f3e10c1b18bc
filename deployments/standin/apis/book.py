"""What an API holds and what it made of each row: the truth that a run is judged by.

A row is known by its e-mail address, in small letters. The words of its local part, between hyphens, decide what
becomes of it, whatever else the row says: `bad-17@example.com` is refused.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Any

WORDS = ("ban", "ruin", "bad", "twice", "doubt", "partly", "mute", "blank", "stray")
"""In the order in which they count. Before them stands `busy`, once a row: `busy-bad` is put off, then refused."""


@dataclass(slots=True)
class Entry:
    """One row. `state` is what Rowrelay ought to call it: waiting, accepted, done, failed or unknown."""

    state: str = "waiting"
    reason: str = ""
    ids: list[int] = field(default_factory=list)
    asked: int = 0
    """Requests to write it"""
    created: int = 0
    """Records made of it, also those that are deleted again"""
    updated: int = 0
    deleted: int = 0
    faults: list[str] = field(default_factory=list)
    """What went wrong with its answers, for which it may be unknown"""


def words(email: str) -> set[str]:
    """The words that decide about a row."""
    return set(email.lower().partition("@")[0].split("-"))


def refusal(email: str) -> str:
    """The reason why a row is refused. It names the row, so that a reason at another row is noticed."""
    return f"{email} is on the list of blocked addresses"


class Book:
    """All rows that an API has heard of. `knows` are the words that it acts on; the others mean nothing to it."""

    def __init__(self, knows: Collection[str]) -> None:
        self._knows = frozenset(knows)
        self.clear()

    def clear(self) -> None:
        """Forget every row."""
        self.entries: dict[str, Entry] = {}
        self.changes = 0
        self._put_off: set[str] = set()
        self._last_id = 1000

    def entry(self, email: str) -> Entry:
        """The row, which need not have been heard of."""
        return self.entries.setdefault(email.lower(), Entry())

    def judge(self, email: str) -> str:
        """A request to write the row: the word that decides, or nothing for a row that is taken."""
        self.entry(email).asked += 1
        if "busy" in words(email) & self._knows and email.lower() not in self._put_off:
            self._put_off.add(email.lower())
            return "busy"
        return self.word(email)

    def word(self, email: str) -> str:
        """The word that decides when the row is not put off, or nothing for a row that is taken."""
        said = words(email) & self._knows
        return next((word for word in WORDS if word in said), "")

    def create(self, email: str, state: str = "done") -> int:
        """Make a record of the row, another one if there is one; its id."""
        entry = self.entry(email)
        self._last_id += 1
        entry.ids.append(self._last_id)
        entry.created += 1
        self._settle(entry, state)
        return self._last_id

    def update(self, email: str) -> None:
        """Change the row's record."""
        entry = self.entry(email)
        entry.updated += 1
        self._settle(entry, "done")

    def refuse(self, email: str, reason: str = "") -> str:
        """Call the row failed; the reason."""
        reason = reason or refusal(email)
        self._settle(self.entry(email), "failed", reason)
        return reason

    def promise(self, email: str) -> None:
        """Accept the row, to be decided about later."""
        self._settle(self.entry(email), "accepted")

    def remove(self, email: str, number: int) -> bool:
        """Delete a record; whether it was there."""
        entry = self.entry(email)
        if number not in entry.ids:
            return False
        entry.ids.remove(number)
        entry.deleted += 1
        self.changes += 1
        return True

    def report(self) -> dict[str, dict[str, Any]]:
        """Every row by its e-mail, ready for JSON."""
        return {email: asdict(entry) for email, entry in self.entries.items()}

    def doubt(self, emails: Collection[str]) -> None:
        """Call rows unknown, whatever was made of them: the answer does not say it."""
        for email in emails:
            self._settle(self.entry(email), "unknown")

    def _settle(self, entry: Entry, state: str, reason: str = "") -> None:
        entry.state, entry.reason = state, reason
        self.changes += 1
