"""Answers that say how much may still be asked: the pace of everybody under the limit follows them, but only down."""

from __future__ import annotations

import math
from typing import Protocol

from flows.client.slowing import Budget, budget_in
from flows.delivery.connecting import SMOOTHED_SECONDS
from flows.delivery.context import Context
from flows.records import Reply

_MATERIAL = 0.9  # a pace that is slower by less than a tenth is the same


class Slows(Protocol):
    """What a limit does with a budget."""

    async def slow(self, remaining: int, seconds: float) -> None:
        """Let at most `remaining` further requests go within `seconds`, spread evenly, over all processes.

        Ignored where it would be faster than what stands.
        """


class Slowing:
    """Heeds the headers of the replies to one sender, as the definition's `slow_by` says. People are told once."""

    def __init__(self, context: Context, limit: Slows) -> None:
        self._context, self._limit = context, limit
        self._clock, self._windows = context.limit.clock, context.limit.terms.windows
        self._names = context.definition.slow_by
        self._rate, self._until = math.inf, -math.inf  # what stands, until then by the limit's clock
        self._told = False

    async def heed(self, reply: Reply) -> None:
        """A reply, of whatever request."""
        budget = budget_in(reply, self._names)
        if budget is None or not self._slows(budget):
            return
        self._rate, self._until = budget.rate, self._clock() + budget.seconds
        if not self._told:
            self._told = True
            self._context.event(
                f"The API says that {budget.words}. Rowrelay sends no faster than that, as `slow_by` says. This is told"
                " once a run"
            )
        await self._limit.slow(budget.remaining, budget.seconds)

    def _slows(self, budget: Budget) -> bool:
        """Whether it asks for a pace that is slower, by more than a little, than what the limit states and what stands.

        A window longer than a minute is no pace: all of its requests may go at once.
        """
        widths = (
            (requests, width if width <= SMOOTHED_SECONDS else min(width, budget.seconds))
            for requests, width in self._windows
        )
        stated = min((requests / width for requests, width in widths), default=math.inf)
        standing = self._rate if self._clock() < self._until else math.inf
        return budget.rate < _MATERIAL * min(stated, standing)
