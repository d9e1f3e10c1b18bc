"""The results of an earlier run as what a new run sends: its done rows, with what was kept of their answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from flows.delivery.order import Order
from flows.delivery.undoing import Plan, done_rows, plan
from flows.delivery.undone import link
from flows.errors import RowrelayError, RunBusy
from flows.ledger.ledger import Ledger
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.pipeline.definition import Definition
from flows.pipeline.file_form import FileForm, bare_name
from flows.pipeline.reader import writer
from flows.pipeline.reading import from_resolved
from flows.private import whole_file
from flows.records import RowState
from flows.settings import Settings
from flows.sheet import REASON, Table, guarded, is_reason, neutral
from flows.spool.spool import Spool
from flows.storage.located import stored
from flows.storage.storage import reached, scratch

_AT_ONCE = 1000  # rows written in one go
_LONGEST = 150  # bytes of a file's name that are kept


def undoing(first: Run, run: str, ledger: Ledger, view: View, settings: Settings) -> Order:
    """What `run` is asked for, so that it undoes `first`: from now on that says so.

    Raises:
        CannotUndo: it cannot be undone, or nothing is left to undo.
        RunBusy: it is being delivered, or undone.
        FileError: its rows are gone.
    """
    planned: Plan = plan(view, settings, first, but=run)
    link(ledger.client, first, run)
    definition = planned.definition
    number = definition.column_names[-1]
    file = _written(first, run, "undo of", view, settings, reader=definition, number=number)
    return replace(_order(definition, file), undoes=first.id)


def results_of(first: Run, run: str, definition: Definition, view: View, settings: Settings) -> Order:
    """What `run` is asked for, so that it sends the done rows of `first` by another definition.

    Raises:
        RunBusy: `first` is being delivered.
        RowrelayError: it has no done rows.
        FileError: its rows are gone.
    """
    refuse_without_results(first)
    return _order(definition, _written(first, run, "results of", view, settings, reader=definition))


def refuse_without_results(first: Run) -> None:
    """Raises RunBusy where a run is being delivered, RowrelayError where it has no done rows."""
    if first.busy:
        raise RunBusy(f"Run {first.id[:8]} is being delivered.", hint="Wait until it ends, or cancel it first.")
    if not first.counts[RowState.DONE]:
        raise RowrelayError(f"Run {first.id[:8]} has no done rows, so there is nothing to send.")


def file_name(first: Run, what: str) -> str:
    """How people know the file that is made of a run's results: `undo of orders.csv`."""
    name = "".join(char if char.isprintable() and char not in "/\\" else "_" for char in first.shown_file)
    return f"{what} {bare_name(name).encode()[:_LONGEST].decode(errors='ignore') or 'a run'}.csv"


OURS = FileForm(kind="csv", encoding="utf-8", delimiter=",", apostrophes="keep")


def _order(definition: Definition, file: str) -> Order:
    return Order(definition, file, said=OURS)


def _written(
    first: Run, run: str, what: str, view: View, settings: Settings, *, reader: Definition, number: str = ""
) -> str:
    """Put the file into the storage, where an upload lies; returns what a run is started with. Raises StorageError."""
    name = f"{run}/{file_name(first, what)}"
    with scratch(settings.data) as folder:
        path = folder / "rows.csv"
        with reached(str(path), "cannot be written", writing=True), whole_file(path) as file:
            for part in lines(first, view, settings, reader=reader, number=number):
                file.write(part)
        stored(settings).put(Path(path), name)
    return name


def lines(first: Run, view: View, settings: Settings, *, reader: Definition, number: str = "") -> Iterator[bytes]:
    """The file, part by part: one of ours by its first column, so that each cell is read again as it was.

    `reader`: the definition that reads it: each value is written as its column there wants it.
    """
    definition = from_resolved(view.definition(first.id))
    names = [*([number] if number else []), *dict.fromkeys([*definition.column_names, *definition.kept])]
    if not number:
        names = [name for name in names if not is_reason(name)]
    own, table = REASON, Table()
    while own in names:
        own += "_"
    yield table.lines([[own, *map(neutral, names)]])
    write = _writers(names, reader)
    found = done_rows(view, Spool(settings.spool_url, first.id, first.facts.mended), first, definition, number)
    while some := list(islice(found, _AT_ONCE)):
        yield table.lines(["", *(guarded(write[name](row.values[name])) for name in names)] for row in some)


def _writers(names: Sequence[str], reader: Definition) -> dict[str, Callable[[Any], str]]:
    """What writes the values of each column, for the definition that reads them."""
    columns = reader.columns.items()
    known = {other.casefold(): column for name, column in columns for other in (*column.other_names, name)}
    return {name: writer(known.get(name.strip().casefold())) for name in names}
