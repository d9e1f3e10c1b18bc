"""A page of the rows that fit a question, in the order asked for."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dashboard.rows import groups, search
from dashboard.rows.book import Rowbook
from dashboard.rows.cache import Cache
from dashboard.rows.question import SKIPPED, WRONG, Page, Question
from flows.records import RowState

PAGE = 100  # rows
MOST_SORTED = 50_000  # rows whose outcomes are read to be put in order
OUTCOMES = ("@status", "@attempts", "@took_seconds", "@at")

Rows = NDArray[np.int64]
Place = tuple[Literal["row", "at"], int]  # in a list of rows: behind a row, or behind so many


def page(book: Rowbook, question: Question, number: int = 1, *, size: int = PAGE) -> Page:
    """One page; one past the last has no rows. Raises StackError, FileError."""
    chosen, note = choose(book, question)
    matching = book.run.total if chosen is None else len(chosen)
    pages = max(1, -(-matching // size))
    first = min((number - 1) * size, matching)
    last = min(first + size, matching)
    rows = np.arange(first + 1, last + 1) if chosen is None else chosen[first:last]
    return Page(book.rows(rows.tolist()), matching, number, pages, note)


def following(book: Rowbook, question: Question, after: Place | None, limit: int) -> tuple[Page, Place | None]:
    """Rows that follow a place, and the place of the last where there are more. Raises StackError, FileError.

    Where the rows come in the order of the file, each comes once, however many move from state to state meanwhile.
    """
    chosen, note = choose(book, question)
    matching = book.run.total if chosen is None else len(chosen)
    first = 0
    if after is not None:
        in_order = after[0] == "row" and by_row(question)
        first = _behind(chosen, after[1], matching, question.descending) if in_order else min(after[1], matching)
    last = min(first + limit, matching)
    rows = (np.arange(first + 1, last + 1) if chosen is None else chosen[first:last]).tolist()
    found = Page(book.rows(rows), matching, 0, 0, note)
    if last == matching:
        return found, None
    return found, ("row", rows[-1]) if by_row(question) else ("at", last)


def by_row(question: Question) -> bool:
    """Whether the rows are wanted in the order of the file, or against it."""
    return question.sort in ("", "@row")


def choose(book: Rowbook, question: Question) -> tuple[Rows | None, str]:
    """Row numbers in the order to show, None for all of them in the file's order; and a remark."""
    if not (question.states or question.search or question.sort or question.descending or question.reason):
        return None, ""
    chosen: Rows | None = None
    if question.search or question.sort in book.definition.column_names:
        chosen = search.find(book, question)
    if question.reason:
        fitting = groups.with_reason(book, question.reason, question.states)
        chosen = fitting if chosen is None else chosen[np.isin(chosen, fitting)]
    if question.states:
        mask = _mask(book, question.states)
        chosen = np.flatnonzero(mask) + 1 if chosen is None else chosen[mask[chosen - 1]]
    if question.sort in OUTCOMES:
        return _by_outcome(book, chosen, question)
    if chosen is None or question.sort not in book.definition.column_names:
        chosen = np.arange(1, book.run.total + 1) if chosen is None else np.sort(chosen)
        chosen = chosen[::-1] if question.descending else chosen
    return chosen, ""


def _behind(chosen: Rows | None, row: int, total: int, descending: bool) -> int:
    """How many of the chosen rows come before those that follow `row`, in its order."""
    if chosen is None:
        return min(row, total)
    if descending:
        return len(chosen) - int(np.searchsorted(chosen[::-1], row, side="left"))
    return int(np.searchsorted(chosen, row, side="right"))


def _mask(book: Rowbook, states: Collection[str]) -> NDArray[np.bool_]:
    mask = np.zeros(book.run.total, dtype=bool)
    for state in states:
        if state in (WRONG, SKIPPED):
            skipped = _skipped(book)
            mask[(skipped if state == SKIPPED else np.setdiff1d(book.rejected, skipped, assume_unique=True)) - 1] = True
        else:
            mask |= book.view.bitmap(book.run.id, RowState(state), book.run.total)
    return mask


def _skipped(book: Rowbook) -> Rows:
    """The numbers of the rejected rows that an earlier run delivered. Which they are is in the spool alone."""
    if not book.run.skipped or not book.run.wrong:
        return book.rejected if book.run.skipped else np.zeros(0, dtype=np.int64)
    key = (book.settings.spool_url, book.run.id, book.run.facts.rows_held)
    return _left_out.get(
        key, lambda: np.array([each.row for each in book.spool.rejections() if each.skipped], dtype=np.int64)
    )


_left_out: Cache[Rows] = Cache(8)
_orders: Cache[Rows] = Cache(8)


def _by_outcome(book: Rowbook, chosen: Rows | None, question: Question) -> tuple[Rows, str]:
    rows = np.arange(1, book.run.total + 1) if chosen is None else np.sort(chosen)
    if len(rows) > MOST_SORTED:
        return rows, f"Sorted by row: by outcome, up to {MOST_SORTED:,} rows can be sorted. Filter first."
    counts = tuple(book.run.counts.values())  # when no row has moved, the order is the same on every page
    key = (book.settings.spool_url, book.run.id, book.run.facts.epoch, book.run.facts.rows_held, question, counts)
    return _orders.get(key, lambda: _order(book, rows, question)), ""


def _order(book: Rowbook, rows: Rows, question: Question) -> Rows:
    names, what = book.definition.kept, question.sort.removeprefix("@")
    values: list[float] = []
    for first in range(0, len(rows), 5000):
        part = rows[first : first + 5000].tolist()
        for record in book.view.records(book.run.id, part, names=names, created=book.run.created):
            value = getattr(record, what)
            values.append(float("nan") if value is None else float(value))
    keys = np.array(values)
    return rows[np.argsort(-keys if question.descending else keys, kind="stable")]
