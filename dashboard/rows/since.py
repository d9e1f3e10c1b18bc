"""Which rows that a run did not get done were delivered since, by a later run of the same pipeline: known by `key`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dashboard.rows.book import Rowbook
from flows.errors import FileError
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.records import RowState
from flows.schema.key import joined, text_of
from flows.spool.spool import Spool

MOST_OPEN, MOST_LATER = 20_000, 500_000  # rows of the run, and of later ones, that a page has the time to look at
_AT_ONCE, _RUNS = 200, 25  # rows and runs read in one go; mostly there are few later runs


_OPEN = (RowState.FAILED, RowState.UNKNOWN, RowState.REJECTED, RowState.WAITING)


def later_runs(view: View, book: Rowbook) -> list[Run]:
    """Later runs of the pipeline that delivered anything, newest first.

    None where the definition has no `key`, or where there are too many rows to look at. Raises StackError.
    """
    run = book.run
    if not book.definition.key or not 0 < sum(run.counts[state] for state in _OPEN) <= MOST_OPEN:
        return []
    later = list(_later(view, run))
    return later if sum(each.total for each in later) <= MOST_LATER else []


def delivered_since(view: View, book: Rowbook, later: Sequence[Run]) -> dict[str, int]:
    """How many rows that are not done here each of these runs has delivered. Raises StackError."""
    key = book.definition.key
    found: dict[str, int] = {}
    try:
        left = set(_open_keys(view, book, key))
        for each in later:
            done = view.bitmap(each.id, RowState.DONE, each.total)
            rows = (
                row for rows in Spool(book.settings.spool_url, each.id).walk(key) for row in rows if done[row.row - 1]
            )
            keys = left & {joined([text_of(row.values[name]) for name in key]) for row in rows}
            left -= keys
            if keys:
                found[each.id] = len(keys)
    except FileError:
        return found  # a spool is gone: what it held cannot be told
    return found


def _later(view: View, run: Run) -> Iterator[Run]:
    for first in range(0, view.count(), _RUNS):
        for each in view.runs(first, _RUNS):
            if each.created <= run.created:
                return
            if each.pipeline == run.pipeline and each.counts[RowState.DONE]:
                yield each


def _open_keys(view: View, book: Rowbook, key: list[str]) -> Iterator[str]:
    numbers = view.select(book.run.id, _OPEN, book.run.total).tolist()
    in_file = book.names_in_file()
    for first in range(0, len(numbers), _AT_ONCE):
        for found in book.rows(numbers[first : first + _AT_ONCE]):
            if found.skipped:
                continue
            values = [found.values.get(name, found.values.get(in_file.get(name, name))) for name in key]
            if (text := joined([text_of(value) for value in values])) is not None:
                yield text
