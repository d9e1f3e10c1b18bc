"""Rows that were not done, by what is wrong with them, at the command line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from dashboard.rows.book import Rowbook
from dashboard.rows.groups import STATES, Group, groups
from dashboard.words import visible
from deployments.commands.session import Session, out
from flows.errors import FileError
from flows.ledger.run import Run
from flows.records import RowState

TOLD = 5  # groups of a state, among other things


def told(session: Session, run: Run) -> None:
    """The largest groups of rows that were not done, for whoever looks at a run."""
    book = Rowbook(session.view, run, session.definition(run), session.settings)
    for state in STATES:
        if not run.counts[RowState(state)] or (state == "rejected" and not run.wrong):
            continue
        out.print(Text(f"\n{state.capitalize()} rows, by reason:", style="bold"))
        try:
            found = groups(book, state, limit=TOLD)
        except FileError as exc:  # what was rejected is told by the spool alone
            out.print(exc.message, markup=False)
            continue
        out.print(groups_table(found.items))
        if more := found.matching - len(found.items):
            out.print(f"… and {more:,} more reasons")


def as_objects(session: Session, run: Run) -> list[dict[str, Any]]:
    """The same for programs."""
    book = Rowbook(session.view, run, session.definition(run), session.settings)
    return [
        as_object(each)
        for state in STATES
        if run.counts[RowState(state)] and (state != "rejected" or book.spool.exists())
        for each in groups(book, state, limit=TOLD).items
    ]


def groups_table(items: Iterable[Group]) -> Table:
    """Groups: how many rows, what stands in which column, what is wrong with it, and where that is first."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("rows", justify="right")
    for name in ("column", "found", "why"):
        table.add_column(name, overflow="fold")
    table.add_column("first", overflow="fold")
    for each in items:
        found = Text(visible(repr(each.value)[:60])) if each.column else Text("")
        column = each.column if each.column or each.state != "rejected" else "(whole row)"
        table.add_row(
            f"{each.rows:,}",
            Text(visible(column)),
            found,
            Text(visible(each.check)),
            visible(each.place) or f"row {each.first:,}",
        )
    return table


def as_object(group: Group) -> dict[str, Any]:
    """A group as the JSON forms have it."""
    return msgspec.to_builtins(group)  # type: ignore[no-any-return]
