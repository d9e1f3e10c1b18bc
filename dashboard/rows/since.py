"""Which rows that a run did not get done were delivered since, by a later run of the same pipeline: known by `key`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dashboard.rows.book import Rowbook
from flows.delivery.undone import undone
from flows.errors import FileError
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.records import RowState, Wanted
from flows.schema.key import joined, text_of
from flows.spool.spool import Spool

MOST_OPEN, MOST_LATER = 20_000, 500_000  # rows of the run, and of later ones, that a page has the time to look at
_AT_ONCE, _RUNS = 200, 25  # rows and runs read in one go; mostly there are few later runs


_OPEN = (RowState.FAILED, RowState.UNKNOWN, RowState.REJECTED, RowState.WAITING)
SENT: dict[Wanted, RowState] = {  # which rows a resumption sends, of those that a later run may have delivered
    "unfinished": RowState.WAITING,
    "failed": RowState.FAILED,
    "unknown": RowState.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class Since:
    """What later runs have delivered of a run: how many of its rows each of them, by id, and of each state how many.

    `numbers` are those rows, by their state here.
    """

    runs: Mapping[str, int] = field(default_factory=dict)
    states: Mapping[RowState, int] = field(default_factory=dict)
    numbers: Mapping[RowState, frozenset[int]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """All of them."""
        return sum(self.runs.values())


NOTHING = Since()


def few_open(run: Run) -> bool:
    """Whether some of its rows are not done, and not more than there is the time to look at."""
    return 0 < sum(run.counts[state] for state in _OPEN) - run.skipped <= MOST_OPEN


def too_many(run: Run) -> bool:
    """Whether so many of its rows are not done that nobody looks whether they were delivered since."""
    return sum(run.counts[state] for state in _OPEN) - run.skipped > MOST_OPEN


def later_runs(view: View, book: Rowbook) -> list[Run]:
    """Later runs of the pipeline that delivered anything, newest first.

    None where the definition has no `key`, or where there are too many rows to look at. Raises StackError.
    """
    run = book.run
    return later_of(view, [run])[run.id] if book.definition.key and few_open(run) else []


def later_of(view: View, runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Of each of these runs, by its id, the later ones that `later_runs` is about: every run is read once.

    Raises StackError.
    """
    newer = list(_newer(view, min((run.created for run in runs), default=0.0))) if runs else []
    found = {
        run.id: [each for each in newer if each.pipeline == run.pipeline and each.created > run.created] for run in runs
    }
    return {run: later if sum(each.total for each in later) <= MOST_LATER else [] for run, later in found.items()}


def delivered_since(view: View, book: Rowbook, later: Sequence[Run]) -> Since:
    """How many rows that are not done here each of these runs has delivered. Raises StackError."""
    key = book.definition.key
    runs: dict[str, int] = {}
    numbers: defaultdict[RowState, set[int]] = defaultdict(set)
    try:
        left: defaultdict[str, list[tuple[int, RowState]]] = defaultdict(list)
        for text, row, state in _open_keys(view, book, key):
            left[text].append((row, state))
        for each in later:
            done = view.bitmap(each.id, RowState.DONE, each.total)
            if each.facts.undone_by:
                done &= ~undone(view, book.settings.spool_url, each)
            rows = (
                row
                for rows in Spool(book.settings.spool_url, each.id, each.facts.mended).walk(key)
                for row in rows
                if done[row.row - 1]
            )
            keys = left.keys() & {joined([text_of(row.values[name]) for name in key]) for row in rows}
            found = [each for one in keys for each in left.pop(one)]
            for row, state in found:
                numbers[state].add(row)
            if found:
                runs[each.id] = len(found)
    except FileError:
        pass  # a spool is gone: what it held cannot be told
    states = {state: len(rows) for state, rows in numbers.items()}
    return Since(runs, states, {state: frozenset(rows) for state, rows in numbers.items()})


def _newer(view: View, created: float) -> Iterator[Run]:
    for first in range(0, view.count(), _RUNS):
        for each in view.runs(first, _RUNS):
            if each.created <= created:
                return
            if each.counts[RowState.DONE] and not each.facts.undoes:
                yield each


def _open_keys(view: View, book: Rowbook, key: list[str]) -> Iterator[tuple[str, int, RowState]]:
    numbers = view.select(book.run.id, _OPEN, book.run.total).tolist()
    in_file = book.names_in_file()
    for first in range(0, len(numbers), _AT_ONCE):
        for found in book.rows(numbers[first : first + _AT_ONCE]):
            if found.skipped:
                continue
            values = [found.values.get(name, found.values.get(in_file.get(name, name))) for name in key]
            if (text := joined([text_of(value) for value in values])) is not None:
                yield text, found.record.row, found.record.state
