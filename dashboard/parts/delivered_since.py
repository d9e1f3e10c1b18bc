"""What later runs have delivered of rows that a run has left, for all tabs at once."""

from __future__ import annotations

import time
from collections.abc import Sequence

import streamlit as st

from dashboard.connections import view
from dashboard.parts import cached
from dashboard.rows import since
from dashboard.rows.book import Rowbook
from dashboard.rows.since import Since
from flows.ledger.run import Run
from flows.records import RowState

_SECONDS = 10.0  # for so long a look holds
_LOOK_SECONDS = 2.0  # for what a list of runs would like to say and can do without


def of(run: Run) -> Since:
    """How many rows that are not done later runs have delivered. Raises StackError."""
    book = cached.rowbook(run)
    return _since(book, since.later_runs(view(), book))


def of_all(runs: Sequence[Run]) -> dict[str, int]:
    """The same for a list of runs, by their ids. What takes long to find out is left for the next look.

    Raises StackError.
    """
    some = [
        run for run in runs if not run.busy and since.few_open(run) and cached.definition(run.id, run.facts.epoch).key
    ]
    later = _later_of(tuple(run.id for run in some), some)
    until, found = time.monotonic() + _LOOK_SECONDS, {}
    for run in some:
        if later[run.id] and time.monotonic() < until and (rows := _since(cached.rowbook(run), later[run.id]).rows):
            found[run.id] = rows
    return found


@st.cache_data(ttl=_SECONDS, show_spinner=False, max_entries=20)
def _later_of(ids: tuple[str, ...], _runs: list[Run]) -> dict[str, list[Run]]:
    del ids
    return since.later_of(view(), _runs)


def _since(book: Rowbook, later: list[Run]) -> Since:
    if not later:
        return since.NOTHING
    done = tuple((each.id, each.counts[RowState.DONE]) for each in later)
    return _counted(book.run.id, tuple(book.run.counts.values()), done, book, later)


@st.cache_data(show_spinner=False, max_entries=500)
def _counted(
    run_id: str, counts: tuple[int, ...], done: tuple[tuple[str, int], ...], _book: Rowbook, _later: list[Run]
) -> Since:
    """Their rows are gone through once for what they have done, however often a page looks."""
    del run_id, counts, done
    return since.delivered_since(view(), _book, _later)
