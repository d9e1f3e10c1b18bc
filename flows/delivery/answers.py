"""What an answer means in the light of those before it: a ban that was a wait at first, fields that never come."""

from __future__ import annotations

from collections.abc import Mapping

from flows.records import Outcome, Reply, RowState

FIRST = 10  # done rows: who waits for an id has to hear soon that there is none


class Pardon:
    """An API that shuts us out and says when to come back is heeded once; if it says so again after that, it is a ban.

    Times are seconds of the limit's clock.
    """

    def __init__(self) -> None:
        self._until = float("inf")

    def is_spent(self, reply: Reply, *, left: float, seen: float) -> bool:
        """Whether an answer is a ban in spite of its wait. `left`: its request's start; `seen`: now."""
        if reply.bans_if_again:
            if left >= self._until:
                return True
            if self._until == float("inf"):
                self._until = seen + (reply.pause_seconds or 0.0)
        elif reply.means is RowState.DONE and left >= self._until:
            self._until = float("inf")
        return False


class KeptNames:
    """Whether the answers have what the definition keeps of them (`keep`: name → path)."""

    def __init__(self, keep: Mapping[str, str]) -> None:
        self._keep, self._never, self._done = keep, set(keep), 0

    def note(self, outcome: Outcome) -> str:
        """Count a row; what to say after the first ten."""
        if outcome.state is not RowState.DONE or not self._never or self._done >= FIRST:
            return ""
        self._done += 1
        self._never -= {name for name, value in outcome.kept.items() if value is not None}
        return self.words() if self._done == FIRST else ""

    def rest(self) -> str:
        """What to say at the end, if so many answers never came."""
        return self.words() if 0 < self._done < FIRST else ""

    def words(self) -> str:
        """Which fields none of the first answers had; empty where each came."""
        if not self._never:
            return ""
        which = ", ".join(f"{self._keep[name]} (kept as {name})" for name in self._keep if name in self._never)
        first = "The first answer has" if self._done == 1 else f"None of the first {self._done} answers has"
        return f"{first}{' no' if self._done == 1 else ''} {which}: nothing is kept of it. Is `keep` right?"
