"""Which generation of a credential holds, and whether it is worth to renew one that was refused. Pure."""

from __future__ import annotations

from dataclasses import dataclass

FRESH_SECONDS = 120.0  # one that was renewed because of a refusal, and is no older, should have worked


@dataclass(slots=True)
class Standing:
    """Of one credential in this process. Moments are of one clock."""

    generation: int = 0
    refused_up_to: int = 0  # this generation, and those before, will not do any more
    _since: float = 0.0
    _after_refusal: bool = False
    _worked: bool = False

    @property
    def holds(self) -> bool:
        """Whether there is one, as far as is known."""
        return self.generation > self.refused_up_to

    def begin(self, generation: int, *, since: float, after_refusal: bool) -> None:
        """Another one holds from now on. `since`: when it was made."""
        self.generation, self._since = generation, since
        self._after_refusal, self._worked = after_refusal, False

    def worked(self, generation: int) -> None:
        """The API let a request of this generation in."""
        if generation == self.generation:
            self._worked = True

    def refused(self, generation: int, now: float) -> bool:
        """The API did not; False where it is the one that was made because the one before was refused."""
        if generation < self.generation or not self.holds:
            return True  # it has been renewed since, or will be
        if self._after_refusal and not self._worked and now - self._since < FRESH_SECONDS:
            return False
        self.refused_up_to = generation
        return True
