"""Who waits for permits in this process: first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from flows.limit.permit import Permit


class Waiter:
    """Somebody in `acquire`, who wants up to `want` permits."""

    __slots__ = ("future", "want")

    def __init__(self, want: int) -> None:
        self.want = want
        self.future: asyncio.Future[list[Permit]] = asyncio.get_running_loop().create_future()


class Waiting:
    """All who wait for one limit."""

    def __init__(self) -> None:
        self._waiters: deque[Waiter] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiters)

    @property
    def wanted(self) -> int:
        """How many permits all of them want."""
        return sum(waiter.want for waiter in self._waiters)

    def add(self, waiter: Waiter) -> None:
        """Let somebody wait behind the others."""
        self._waiters.append(waiter)

    def remove(self, waiter: Waiter) -> None:
        """Let somebody wait no more."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    def share(self, permits: Sequence[Permit]) -> Iterator[Permit]:
        """Deal the permits out, and let go whoever gets some. Yields those that nobody wants."""
        left = deque(permits)
        while left and self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.future.done():  # it was cancelled an instant ago, and can be given nothing
                waiter.future.set_result([left.popleft() for _ in range(min(waiter.want, len(left)))])
        yield from left

    def fail(self, make: Callable[[], BaseException]) -> None:
        """Let everybody go, each with an error of their own."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.future.done():
                waiter.future.set_exception(make())
