"""The columns of a run's results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flows.errors import FileError
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.pipeline.definition import Definition
from flows.pipeline.reader import form_of, writer
from flows.pipeline.reading import from_resolved
from flows.sheet import FIRST, LAST
from flows.source.header import Called, match, named_delimiter

OWN = ("row", "line", "result", "status", "reason")  # a column of the same name gets an underscore behind it
CHANGED = "changed"  # the same, of a run in which rows were mended
OF_A_PARCEL = ("parcel", "position")  # the same, where rows travel together


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a result: the file's by their name there and here, and the fields kept of the answers."""

    columns: tuple[str, ...]
    kept: tuple[str, ...]
    shown: tuple[str, ...]  # `columns`, under names that collide with nothing
    shown_kept: tuple[str, ...]
    other_names: Mapping[str, Sequence[str]] = field(default_factory=dict)  # of `columns`, in a file
    delimiter: str = ","  # of the CSV form: that of the file, so that it opens as columns where the file did
    parcel: tuple[str, ...] = ()  # OF_A_PARCEL, where rows travel together
    changed: tuple[str, ...] = ()  # CHANGED, where rows were mended
    writers: Mapping[str, Callable[[Any], str]] = field(default_factory=dict)  # by shown name, of what is written so

    @classmethod
    def of(cls, definition: Definition, delimiter: str | None = None, *, mended: bool = False) -> Layout:
        """The layout of the results of a file with this delimiter."""
        columns, kept = definition.column_names, definition.kept
        parcel = OF_A_PARCEL if definition.batch is not None else ()
        changed = (CHANGED,) if mended else ()
        taken = {*OWN, *parcel, *changed}
        shown = [free(name, taken) for name in (*columns, *kept)]
        delimiter = named_delimiter(delimiter or definition.source.delimiter or ",", FileError)
        own = {
            there: writer(definition.columns[name])
            for name, there in zip(columns, shown, strict=False)
            if name in definition.columns and form_of(definition.columns[name]) is not None
        }
        return cls(
            columns,
            kept,
            tuple(shown[: len(columns)]),
            tuple(shown[len(columns) :]),
            definition.other_names,
            delimiter,
            parcel,
            changed,
            own,
        )

    @property
    def header(self) -> tuple[str, ...]:
        """The columns of the CSV form."""
        return (*FIRST, *self.shown, "result", *self.shown_kept, *self.parcel, *self.changed, *LAST)


def free(name: str, taken: set[str]) -> str:
    """A name that collides with none of those that are taken, and is taken then."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def layout_of(view: View, run: Run) -> Layout:
    """The columns of a run's results."""
    definition = from_resolved(view.definition(run.id))
    return Layout.of(definition, run.facts.delimiter, mended=bool(run.facts.mends))


def positions_of(layout: Layout, header: Sequence[str], run: Run) -> list[tuple[str, int | None]]:
    """Where each column of the definition stands in the file."""
    called = Called(layout.other_names, {column: name for name, column in run.facts.asked_map.items()})
    found = match(list(header), dict.fromkeys(layout.columns, True), ",", FileError, called).positions
    return [(name, found[name]) for name in layout.columns]
