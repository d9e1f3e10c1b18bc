"""Which sheet of a workbook is read: the one that was asked for, or the only visible one with content."""

from __future__ import annotations

from collections.abc import Sequence, Set
from itertools import islice

from flows.pipeline.file_form import option
from flows.source.content import Noticed
from flows.source.encoding import Refuse
from flows.source.workbook.grid import Grid, Walk, Workbook

LOOKED_AT = 200  # rows among which the header is looked for
_NAMED = 20  # sheets or ranges that a message names


def chosen(
    book: Workbook, asked: str | int | None, wanted: Set[str], noticed: Noticed, refuse: Refuse
) -> tuple[int, str]:
    """The sheet that was asked for, or the only visible one with content.

    `wanted`: what a header may hold, in small letters, by which one of several is proposed.
    """
    sheets = list(book.sheets())
    names = [name for name, _ in sheets]
    if not sheets:
        raise refuse("has no sheet")
    hidden = [name for name, visible in sheets if not visible]
    if asked is not None:
        at = _named(names, asked)
        if at is None:
            raise refuse(f"has no sheet {asked!r}", hint=f"Its sheets: {few(names)}.")
        return at, names[at]
    shown = [at for at, (_, visible) in enumerate(sheets) if visible]
    full = [at for at in shown if _has_content(book.grid(at))] if len(shown) > 1 else shown
    if len(full) > 1:
        raise refuse(
            f"has several sheets with content: {few([names[at] for at in full])}",
            hint=f"Say which one: {option('sheet', names[_likeliest(book, full, wanted)])}.",
        )
    if hidden:
        said = "1 hidden sheet was" if len(hidden) == 1 else f"{len(hidden)} hidden sheets were"
        noticed.said.append(f"{said} left out: {few(hidden)}")
    if not full:
        hint = f"Its sheets: {few(names)}. Say which one is meant: {option('sheet', names[0])}."
        raise refuse("has no visible sheet with content", hint=hint)
    return full[0], names[full[0]]


def _named(names: Sequence[str], asked: str | int) -> int | None:
    if isinstance(asked, int):
        return asked - 1 if 0 < asked <= len(names) else None
    for at, name in enumerate(names):
        if name == asked:
            return at
    for at, name in enumerate(names):
        if name.strip().casefold() == asked.strip().casefold():
            return at
    return _named(names, int(asked)) if asked.isascii() and asked.isdigit() and len(asked) < 6 else None


def _likeliest(book: Workbook, sheets: Sequence[int], wanted: Set[str]) -> int:
    """The sheet of which a row among the first names the most of what is wanted; the first of equals."""

    def named(at: int) -> int:
        rows = islice(Walk(book.grid(at).pieces()), LOOKED_AT)
        return max(
            (len(wanted & {loose(cell) for cell in cells if isinstance(cell, str)}) for _, cells in rows), default=0
        )

    return max(sheets, key=named)


def loose(name: str) -> str:
    """A name by which columns are known, whatever its case and the blanks around it."""
    return name.strip().casefold()


def _has_content(grid: Grid) -> bool:
    return any(filled_cells(cells) for _, cells in Walk(grid.pieces()))


def filled_cells(cells: Sequence[object]) -> int:
    """How many of a row's cells hold something."""
    return sum(cell is not None and cell != "" for cell in cells)


def few(names: Sequence[str]) -> str:
    """Names in a row, the first of them where there are many."""
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")
