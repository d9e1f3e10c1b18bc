"""One row of a run at the command line: what stands in it, its request, and what the API said."""

from __future__ import annotations

from dataclasses import asdict

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
from flows.ledger.run import Run
from flows.records import Row, RowState
from flows.sheet import plain


def print_row(session: Session, run: Run, number: int, *, as_json: bool) -> int:
    """All that is known of a row. Raises RunNotFound where the run has none of this number, FileError."""
    if number > run.total:
        raise RunNotFound(f"The run has {run.total:,} rows, so there is no row {number:,}.")
    book = Rowbook(session.view, run, session.definition(run), session.settings)
    (found,) = book.rows([number])
    shown = _request(book, found)
    if as_json:
        print_json(found.as_object() | {"request": asdict(shown) if shown else None})
        return 0
    record = found.record
    state = ("skipped" if found.skipped else str(record.state), STYLES.get(record.state, ""))
    out.print(Text.assemble(visible(f"row {number:,}, line {found.line:,} of {run.file}: "), state))
    out.print(_table({name: plain(value) for name, value in found.values.items()}))
    facts = {
        "why": found.why,
        "status": str(record.status or ""),
        "answer": record.excerpt,
        **{name: plain(value) for name, value in record.kept.items()},
        "attempts": f"{record.attempts:,}" if record.attempts else "",
        "latest": local(record.at) if record.attempts and record.at else "",
    }
    if said := {name: text for name, text in facts.items() if text}:
        out.print(Text("\nWhat became of it:", style="bold"))
        out.print(_table(said))
    if shown:
        out.print(Text("\nIts request, secrets masked:", style="bold"))
        out.print(Text(visible(preview.as_text(shown))))
    return 0


def _request(book: Rowbook, found: Found) -> preview.Shown | None:
    if found.record.state is RowState.REJECTED:
        return None
    row = Row(found.record.row, found.line, found.values)
    return preview.sent_as(book.run, book.definition, row, found.record, book.settings)


def _table(words: dict[str, str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 2), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in words.items():
        table.add_row(Text(visible(name)), Text(visible(text)))
    return table
