"""How a Redis that is away, or refuses for a while, is waited for: by whoever cannot go on without it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

T = TypeVar("T")
logger = logging.getLogger(__name__)

AWAY_SECONDS = 0.3  # between two tries of a Redis that does not answer


class Outage:
    """Since when a Redis has not done what one caller asks of it. `clock` shows seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.since: float | None = None

    def lasts(self, seconds: float) -> bool:
        """Note that it is so now. Whether it has been for so many seconds."""
        now = self._clock()
        self.since = now if self.since is None else self.since
        return now - self.since >= seconds

    def over(self) -> None:
        """Note that it has done it."""
        self.since = None


class Patience(Retry):
    """Asks a Redis that does not answer again and again, for as many seconds as are granted at the time."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        super().__init__(NoBackoff(), 0)
        self._seconds = seconds

    def call_with_retry(self, do: Callable[[], Any], *args: Any, **kwargs: Any) -> Any:
        """As Retry has it, which here tries once. A password that is wrong is not waited for."""
        outage = Outage()
        while True:
            try:
                return super().call_with_retry(do, *args, **kwargs)
            except (redis.ConnectionError, redis.TimeoutError) as exc:
                is_first = outage.since is None
                if isinstance(exc, redis.AuthenticationError) or outage.lasts(self._seconds()):
                    raise
                if is_first:
                    logger.warning("Redis does not answer: %s. It is waited for, up to %.0f s.", exc, self._seconds())
            time.sleep(AWAY_SECONDS)


def patiently(ask: Callable[[], T], *, seconds: float) -> T:
    """Ask a Redis until it answers, for so long. What is asked must bear repetition. Raises redis.RedisError."""
    found: T = Patience(lambda: seconds).call_with_retry(ask, lambda exc: None)
    return found


def no_retry() -> Retry:
    """No second try behind our back: the client's default sits out seconds between two."""
    return Retry(NoBackoff(), 0)


def may_pass(exc: redis.ResponseError) -> bool:
    """Whether Redis may take later what it has refused: memory, disk or a script in its way are no fault of ours."""
    passing = isinstance(exc, redis.exceptions.OutOfMemoryError | redis.exceptions.ReadOnlyError)
    return passing or str(exc).startswith(("OOM", "MISCONF", "BUSY", "NOREPLICAS", "READONLY"))
