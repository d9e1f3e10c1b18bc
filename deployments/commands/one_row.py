"""One row of a run at the command line: what stands in it, its request, and what the API said."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from dashboard import preview
from dashboard.rows.book import Rowbook
from dashboard.rows.question import Found
from dashboard.words import visible
from deployments.commands.progress import STYLES
from deployments.commands.session import Session, out
from deployments.commands.showing import local, print_json
from flows.errors import RunNotFound
from flows.ledger.parcels import in_words
from flows.ledger.run import Run
from flows.records import Row, RowState
from flows.sheet import plain


def print_row(session: Session, run: Run, number: int, *, as_json: bool) -> int:
    """All that is known of a row. Raises RunNotFound where the run has none of this number, FileError."""
    if number > run.total:
        raise RunNotFound(f"The run has {run.total:,} rows, so there is no row {number:,}.")
    book = Rowbook(session.view, run, session.definition(run), session.settings)
    (found,) = book.rows([number])
    parcel = book.parcel(number) if found.place else []
    rows = [row.row for row in parcel]
    shown = _requests(book, found, parcel)
    if as_json:
        requests = [asdict(each) for each in shown]
        more: dict[str, Any] = {"requests": requests} if len(shown) > 1 else {}
        more |= {"parcel_rows": rows} if rows else {}
        print_json(found.as_object() | {"request": requests[0] if shown else None} | more)
        return 0
    record = found.record
    state = ("skipped" if found.skipped else str(record.state), STYLES.get(record.state, ""))
    out.print(Text.assemble(visible(f"row {number:,}, {found.stands} of {run.file}: "), state))
    out.print(_table({name: plain(value) for name, value in found.values.items()}))
    facts = {
        "why": found.why,
        **{f"{name} in the file": text for name, text in found.changed.items()},
        "status": str(record.status or ""),
        "answer": record.excerpt,
        **{name: plain(value) for name, value in record.kept.items()},
        "attempts": f"{record.attempts:,}" if record.attempts else "",
        "latest": local(record.at) if record.attempts and record.at else "",
        "parcel": f"{found.place[0]}, position {found.place[1]} (counted from 0)" if found.place else "",
        "rows in it": in_words(rows) if len(rows) > 1 else "",
    }
    if said := {name: text for name, text in facts.items() if text}:
        out.print(Text("\nWhat became of it:", style="bold"))
        out.print(_table(said))
    if shown:
        title = "The request that it went in" if len(rows) > 1 else "Its requests" if len(shown) > 1 else "Its request"
        out.print(Text(f"\n{title}, secrets masked:", style="bold"))
        out.print(Text(visible(preview.in_text(shown))))
    return 0


def _requests(book: Rowbook, found: Found, parcel: list[Row]) -> list[preview.Shown]:
    if found.record.state is RowState.REJECTED:
        return []
    row = Row(found.record.row, found.line, found.values)
    return preview.sent_as(book.run, book.definition, row, found.record, book.settings, parcel)


def _table(words: dict[str, str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 2), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in words.items():
        table.add_row(Text(visible(name)), Text(visible(text)))
    return table
