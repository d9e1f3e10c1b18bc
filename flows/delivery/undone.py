"""Which rows of a run others have undone: no row is undone twice, whatever becomes of those others."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
import redis

from flows.errors import RowrelayError, RunBusy, RunNotFound
from flows.ledger import keys
from flows.ledger.connection import translated
from flows.ledger.facts import written
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.pipeline.reading import from_resolved
from flows.records import RowState
from flows.spool.spool import Spool

SHORT = 8  # characters of a run's id
_BEGINS_SECONDS = 600.0  # so long a run that undoes another may take to be entered
_STATES = tuple(RowState)


class CannotUndo(RowrelayError):
    """The run cannot be undone, or nothing is left of it to undo."""


class Before:
    """Which rows of a run those that undid it before have, and in which state."""

    def __init__(self, total: int) -> None:
        self._runs = [""]
        self._run = np.zeros(total, dtype=np.int16)
        self._state = np.zeros(total, dtype=np.uint8)
        self.done: npt.NDArray[np.bool_] = np.zeros(total, dtype=np.bool_)

    @classmethod
    def read(cls, view: View, spool_url: str, first: Run, *, but: str = "") -> Before:
        """Ask the runs that undid `first`, except `but`.

        Raises:
            CannotUndo: one of them is deleted, and nobody knows which rows it has undone.
            RunBusy: one of them is about to be checked.
            FileError: the rows of one of them are gone.
        """
        before = cls(first.total)
        for run, at in first.facts.undone_by.items():
            if run == but:
                continue
            try:
                other = view.run(run)
            except RunNotFound as exc:
                if view.deleted(run) is not None:
                    raise CannotUndo(
                        f"Run {run[:SHORT]}, which undid rows of this run, is deleted: nobody knows which.",
                        hint="Look at the API, and undo by hand what is left there.",
                    ) from exc
                if time.time() - at < _BEGINS_SECONDS:
                    raise RunBusy(f"Run {run[:SHORT]} is about to undo this run.", hint="Wait until it ends.") from exc
                continue  # it never began
            if other.total:
                before.add(view, spool_url, other)
            elif other.busy:
                raise RunBusy(f"Run {run[:SHORT]} is about to undo this run.", hint="Wait until it ends.")
        return before

    def add(self, view: View, spool_url: str, other: Run) -> None:
        """Take in what one of them has. Raises FileError, StackError."""
        number = from_resolved(view.definition(other.id)).column_names[-1]
        self._runs.append(other.id)
        states = np.zeros(other.total, dtype=np.uint8)
        for code, state in enumerate(RowState):
            states[view.bitmap(other.id, state, other.total)] = code
        for rows in Spool(spool_url, other.id, other.facts.mended).walk((number,)):
            mine = np.array([row.values[number] for row in rows], dtype=np.int64) - 1
            theirs = np.array([row.row for row in rows], dtype=np.int64) - 1
            self._run[mine], self._state[mine] = len(self._runs) - 1, states[theirs]
            self.done[mine] |= states[theirs] == _STATES.index(RowState.DONE)

    def words(self, row: int) -> str:
        """Why a row is not undone again; "" if no run has it."""
        if not (at := int(self._run[row - 1])):
            return ""
        run, state = self._runs[at][:SHORT], _STATES[self._state[row - 1]]
        return f"run {run} has undone it" if state is RowState.DONE else f"run {run} undoes it, and has it as {state}"


def undone(view: View, spool_url: str, run: Run) -> npt.NDArray[np.bool_]:
    """Which rows of a run others have undone, by row - 1, as far as those are there. Raises FileError, StackError."""
    before = Before(run.total)
    for other in view.these(list(run.facts.undone_by)):
        if other.total:
            before.add(view, spool_url, other)
    return before.done


@translated()
def link(client: redis.Redis, first: Run, run: str) -> None:
    """Note of a run that another undoes it. Raises RunBusy if somebody else began that meanwhile."""
    if run in first.facts.undone_by:
        return
    by = {**first.facts.undone_by, run: time.time()}
    with client.pipeline(transaction=True) as pipe:
        try:
            pipe.watch(keys.run_key(first.id))  # type: ignore[no-untyped-call]
            if View(client).run(first.id).facts.undone_by != first.facts.undone_by:
                raise redis.WatchError
            pipe.multi()
            for name, value in written({"undone_by": by}).items():
                pipe.hset(keys.run_key(first.id), name, value)
            pipe.execute()
        except redis.WatchError as exc:
            raise RunBusy("Somebody else undoes this run.", hint="Look at it again.") from exc
