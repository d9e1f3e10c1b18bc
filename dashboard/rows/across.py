"""One text in the rows of many runs: the newest first, as far as a few seconds reach."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from dashboard.rows import choice
from dashboard.rows.book import Rowbook
from dashboard.rows.question import Found, Question
from flows.errors import DefinitionError, FileError, RunNotFound
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.pipeline.reading import from_resolved
from flows.settings import Settings

FIRST = 3  # rows of a run that are shown


@dataclass(frozen=True, slots=True)
class Hit:
    """A run in whose rows the text stands: how many they are, the first of them, and the columns that name a row."""

    run: Run
    matching: int
    rows: list[Found]
    key: tuple[str, ...]


def look(view: View, settings: Settings, runs: Sequence[Run], text: str, *, seconds: float) -> tuple[list[Hit], int]:
    """The runs that have the text in a row, in their order, and how many of `runs` were looked through in this time.

    One at least is. Runs whose rows are gone are passed over. Raises StackError.
    """
    end, hits, looked = time.monotonic() + seconds, list[Hit](), 0
    for run in runs:
        if looked and time.monotonic() >= end:
            break
        looked += 1
        if run.total:
            with suppress(FileError, RunNotFound, DefinitionError):
                definition = from_resolved(view.definition(run.id))
                page = choice.page(Rowbook(view, run, definition, settings), Question(search=text), size=FIRST)
                if page.matching:
                    key = tuple(definition.key or definition.column_names[:1])
                    hits.append(Hit(run, page.matching, page.rows, key))
    return hits, looked
