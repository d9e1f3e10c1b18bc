"""Who waits for permits in this process, and whose turn it is."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator

from flows.limit.permit import Permit


class Waiter:
    """Somebody in `acquire`: wants up to `want` permits and has `got` some."""

    __slots__ = ("future", "got", "want")

    def __init__(self, want: int) -> None:
        self.want = want
        self.got: list[Permit] = []
        self.future: asyncio.Future[list[Permit]] = asyncio.get_running_loop().create_future()


class Waiters:
    """All of one limit in this process: the runs take turns, and within a run first come, first served."""

    def __init__(self) -> None:
        self._runs: dict[str, deque[Waiter]] = {}
        self._turns: deque[str] = deque()

    def __bool__(self) -> bool:
        return bool(self._turns)

    @property
    def wanted(self) -> int:
        """How many permits all waiters want."""
        return sum(waiter.want for waiters in self._runs.values() for waiter in waiters)

    def add(self, run: str, waiter: Waiter) -> None:
        """Put a waiter at the end of its run's line."""
        if run not in self._runs:
            self._runs[run] = deque()
            self._turns.append(run)
        self._runs[run].append(waiter)

    def remove(self, run: str, waiter: Waiter) -> None:
        """Take a waiter out, wherever it stands."""
        if waiter in self._runs.get(run, ()):
            self._runs[run].remove(waiter)
            if not self._runs[run]:
                del self._runs[run]
                self._turns.remove(run)

    def share(self, permits: list[Permit]) -> Iterator[Permit]:
        """Deal the permits out, one a turn, and let go whoever got some. Yields those that nobody wants."""
        self._drop_cancelled()
        dealt: dict[Waiter, str] = {}
        for permit in permits:
            if not self._turns:
                yield permit
                continue
            run = self._turns[0]
            self._turns.rotate(-1)
            waiter = self._runs[run][0]
            waiter.got.append(permit)
            dealt[waiter] = run
            if len(waiter.got) == waiter.want:
                self.remove(run, waiter)
        for waiter, run in dealt.items():
            self.remove(run, waiter)
            waiter.future.set_result(waiter.got)

    def _drop_cancelled(self) -> None:
        """Whoever was cancelled an instant ago still stands in line, but can be given nothing."""
        for run, waiters in list(self._runs.items()):
            for waiter in [each for each in waiters if each.future.done()]:
                self.remove(run, waiter)

    def fail(self, make: Callable[[], BaseException]) -> None:
        """Let everybody go, each with an error of their own."""
        self._drop_cancelled()
        for waiters in self._runs.values():
            for waiter in waiters:
                waiter.future.set_exception(make())
        self._runs.clear()
        self._turns.clear()
