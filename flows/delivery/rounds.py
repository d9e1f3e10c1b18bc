"""What is to be sent, round by round, as the ledger has it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flows.delivery.plan import Chunk, Plan, Portion, chunk_size, slice_size
from flows.ledger.connection import translated
from flows.ledger.ledger import Ledger
from flows.ledger.reasons import with_reason
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.pipeline.definition import Definition
from flows.records import RowState, Wanted

_RESENDS = {"failed": (RowState.FAILED,), "unknown": (RowState.UNKNOWN,)}
_RESENT_AT_ONCE = 250


@dataclass(frozen=True, slots=True)
class Wish:
    """Which rows of a run are to be sent; `reason`: of failed or unknown ones only those with this one."""

    rows: Wanted
    reason: str = ""


class Rounds:
    """The plan of one run at a time. What asks Redis may raise StackError and LedgerError."""

    def __init__(self, run: str, definition: Definition, ledger: Ledger, view: View) -> None:
        self._run, self._definition, self._ledger, self._view = run, definition, ledger, view
        self._terms = definition.terms
        self._plan: Plan | None = None
        self.resends = False  # whether the plan's rows are unknown ones, which the API knows by their keys

    @translated()
    def plan(
        self, wanted: Wanted, *, epoch: int, request: str = "", left_out: Collection[int] = (), reason: str = ""
    ) -> list[Chunk]:
        """The chunks of what is to be sent now: all that waits, or what a person wishes to be sent again.

        `request` names such a wish, which is granted once a row. Rows that merely wait are not part of it, and those
        `left_out` keep their state, as do failed or unknown ones of another `reason`, where one is given.
        Raises Superseded where the wish is not this epoch's to grant.
        """
        run = self._view.run(self._run)
        if wanted in _RESENDS:
            number = self._ledger.request(self._run, f"{wanted}:{request}")
            if reason:
                rows = with_reason(self._view, run, _RESENDS[wanted], reason)
            else:
                rows = self._view.select(self._run, _RESENDS[wanted], run.total)
            rows = rows[~np.isin(rows, list(left_out))]
            for first in range(0, len(rows), _RESENT_AT_ONCE):
                self._ledger.resend(self._run, epoch, number, rows[first : first + _RESENT_AT_ONCE].tolist())
        waiting = self._view.bits(self._run, RowState.WAITING, run.total)
        if wanted != "unfinished":
            waiting &= self._view.asked(self._run, run.total)
        return self._chunks(waiting, run, resends=False)

    def plan_unknown(self) -> list[Chunk]:
        """The chunks of unknown rows that an idempotent API may be sent again."""
        if not self._definition.idempotent:
            return []
        run = self._view.run(self._run)
        return self._chunks(self._view.bits(self._run, RowState.UNKNOWN, run.total), run, resends=True)

    def _chunks(self, wanted: NDArray[np.uint8], run: Run, *, resends: bool) -> list[Chunk]:
        rejected = self._view.bits(self._run, RowState.REJECTED, run.total)
        self._plan, self.resends = Plan(wanted, ~rejected, run.total), resends
        return list(
            self._plan.chunks(chunk_size(len(self._plan), self._terms, per_request=self._definition.rows_per_request))
        )

    def spans(self, chunk: Chunk) -> Iterator[tuple[int, int]]:
        """Where the rows of a chunk of the last plan lie in the spool."""
        if self._plan is None:
            raise RuntimeError("nothing has been planned")
        return self._plan.spans(chunk, slice_size(self._terms, per_request=self._definition.rows_per_request))

    def portion(self, chunk: Chunk) -> Portion:
        """A chunk of the last plan, as another process can send it."""
        return Portion(chunk.name, tuple(self.spans(chunk)), self.resends)
