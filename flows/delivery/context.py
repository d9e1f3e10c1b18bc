"""What all parts of one sender work with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, TypeVar

from flows.delivery.demand import Demand
from flows.errors import Stopped
from flows.ledger.ledger import Ledger
from flows.limit.clock import Clock
from flows.limit.limiter import Limit
from flows.pipeline.definition import Definition

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(eq=False)
class Context:
    """One delivery of a run as its sender sees it, and how far it is. `clock` shows seconds.

    `event` is told in plain words what people should know; `on_end` is called when nothing more is to be sent.
    """

    run: str
    epoch: int
    definition: Definition
    ledger: Ledger
    limit: Limit
    give_up_seconds: float  # a Redis that does not answer for so long is lost
    clock: Clock
    event: Callable[[str], None]
    on_end: Callable[[], None]
    demand: Demand
    admit: Callable[[], Awaitable[None]]  # have what lets requests in, before permits are taken; raises Stopped
    stopped: Stopped | None = None
    cancelled: bool = False
    closing: bool = False
    wake: asyncio.Event = field(default_factory=asyncio.Event)  # something may be sent that could not before
    ended: asyncio.Event = field(default_factory=asyncio.Event)  # nothing more is sent
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4, "ledger"))

    @property
    def is_ending(self) -> bool:
        """Whether nothing more is sent."""
        return self.closing or self.stopped is not None

    def stop(self, reason: Stopped) -> None:
        """Send nothing more, for this reason if it is the first."""
        if self.stopped is None:
            self.stopped = reason
            self.event(reason.message)
        self.ended.set()
        self.on_end()

    def end(self, *, cancelled: bool = False) -> None:
        """Send nothing more, and that is well so. `cancelled`: though there is more to be sent."""
        self.cancelled = self.cancelled or cancelled
        self.closing = True
        self.ended.set()
        self.on_end()

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function that may block, off the loop."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, partial(function, *args, **kwargs))
