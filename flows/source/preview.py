"""The first rows of a file, read as somebody says: for whoever has to say how it is to be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from flows.errors import BadFile, UnclearEncoding
from flows.pipeline.file_form import AS_FOUND, FileForm
from flows.records import Reading
from flows.source.body import Body
from flows.source.content import Noticed
from flows.source.json_array import lists_in
from flows.source.kind import kind_of
from flows.source.rawfile import RawFile
from flows.source.source import MAX_BYTES, READERS
from flows.source.spelling import shouted
from flows.source.table import Table
from flows.source.workbook.grid import Walk, Workbook
from flows.source.workbook.ods import OdsBook
from flows.source.workbook.xls import XlsBook
from flows.source.workbook.xlsx import XlsxBook

ROWS, CELLS, CHARS, SHEETS = 10, 40, 100, 20  # of each what is shown at most
BOOKS: Mapping[str, Callable[[Body], Workbook]] = {"xlsx": XlsxBook, "xls": XlsBook, "ods": OdsBook}


@dataclass(frozen=True, slots=True)
class Line:
    """A row as it stands, with its number from 1."""

    number: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tab:
    """A visible sheet of a workbook, with its first rows."""

    name: str
    top: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """The beginning of a file; what is long is cut.

    `form`: how it was read, with what was found. `columns` and `rows`: the header, and rows below it. `top`: the first
    rows as they stand, those above the header too. `readings`: the encodings that fit, where nobody can tell which.
    `lists`: of a JSON file, where lists of objects begin in it.
    `problem` and `hint`: why it cannot be read so; what could be read all the same is there.
    """

    form: FileForm
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    top: tuple[Line, ...] = ()
    sheets: tuple[Tab, ...] = ()
    readings: tuple[Reading, ...] = ()
    lists: tuple[str, ...] = ()
    problem: str = ""
    hint: str = ""


def look(
    path: str | Path,
    form: FileForm = AS_FOUND,
    *,
    wanted: Iterable[str] = (),
    max_bytes: int = MAX_BYTES,
    scratch: Path | None = None,
) -> Look:
    """The beginning of a file, read by `form`. `wanted`: names that its header may hold.

    `scratch`: the folder for what a packed workbook unpacks to (default: the system's for temporary files).

    What is wrong with the file, or with the form, is told in the answer. Raises FileError where it cannot be reached.
    """

    def opened() -> _Opened:
        return _opened(path, max_bytes, scratch)

    seen = Look(form)
    for step in (_kind, partial(_read, wanted=tuple(wanted)), _top):
        try:
            seen = step(opened, seen)
        except BadFile as exc:
            if not seen.problem:  # what is wrong first says most
                readings = exc.readings if isinstance(exc, UnclearEncoding) else ()
                seen = replace(seen, problem=exc.message, hint=exc.hint, readings=readings)
    return seen


_Opened: TypeAlias = "AbstractContextManager[Body]"


@contextmanager
def _opened(path: str | Path, max_bytes: int, scratch: Path | None) -> Iterator[Body]:
    with closing(RawFile(path, max_bytes=max_bytes)) as raw, closing(Body(raw, scratch)) as body:
        yield body


def _kind(opened: Callable[[], _Opened], seen: Look) -> Look:
    """What kind of file it is, and the visible sheets of a workbook."""
    with opened() as body:
        kind = kind_of(body, seen.form.kind)
        seen = replace(seen, form=seen.form.model_copy(update={"kind": kind}))
        if kind == "json":
            seen = replace(seen, lists=lists_in(body.head, seen.form.encoding, body.refuse))
        if kind not in BOOKS:
            return seen
        with closing(BOOKS[kind](body)) as book:
            shown = [(at, name) for at, (name, visible) in enumerate(book.sheets()) if visible]
            return replace(
                seen, sheets=tuple(Tab(name, _lines(Walk(book.grid(at).pieces()))) for at, name in shown[:SHEETS])
            )


def _top(opened: Callable[[], _Opened], seen: Look) -> Look:
    """The first rows as they stand: of a text file those from line 1 on, of a workbook those of its sheet."""
    if seen.form.kind == "csv" and not seen.readings:
        with opened() as body:
            bare = seen.form.model_copy(update={"header_row": 1, "skip_rows": None})
            with closing(READERS["csv"](body, bare, (), Noticed())) as table:
                return replace(seen, top=(Line(1, _cut(table.names)), *_below(table))[:ROWS])
    said = seen.form.sheet
    tabs = [tab for at, tab in enumerate(seen.sheets, 1) if said in (tab.name, at) or len(seen.sheets) == 1]
    return replace(seen, top=tabs[0].top) if tabs else seen


def _below(table: Table) -> Iterable[Line]:
    batch = next(table.batches([shouted] * len(table.names)), None)
    if batch is None:
        return []
    return [Line(number, _cut(cells)) for number, cells in islice(zip(batch.lines, batch.rows(), strict=True), ROWS)]


def _read(opened: Callable[[], _Opened], seen: Look, *, wanted: Sequence[str]) -> Look:
    """Its header and the rows below it."""
    with opened() as body:
        reader = READERS.get(seen.form.kind or "")
        if reader is None:
            return seen
        with closing(reader(body, seen.form, wanted, Noticed())) as table:
            found = {"encoding": table.encoding, "delimiter": table.delimiter, "header_row": table.header_row}
            found |= {"sheet": table.origin.sheet, "path": table.origin.path}
            form = seen.form.model_copy(update={key: value for key, value in found.items() if value})
            rows = tuple(_cut(row) for row in table.samples[:ROWS])
            return replace(seen, form=form, columns=_cut(table.names), rows=rows)


def _lines(rows: Iterable[tuple[int, list[object]]]) -> tuple[Line, ...]:
    return tuple(
        Line(number, _cut(["" if cell is None else shouted(cell) for cell in cells]))
        for number, cells in islice(rows, ROWS)
    )


def _cut(cells: Sequence[str]) -> tuple[str, ...]:
    return tuple(cell if len(cell) <= CHARS else cell[: CHARS - 1] + "…" for cell in cells[:CELLS])
