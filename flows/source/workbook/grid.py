"""What a reader of workbooks gives: its sheets, and of one of them the rows, in pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from flows.origin import letters
from flows.source.content import Seen

Row = tuple[int, list[object]]  # its number from 1, and its cells from column A on; None: nothing stands there
MOST_COLUMNS = 16_384


@dataclass(frozen=True, slots=True)
class Merge:
    """A range of merged cells, all from 0 and inclusive; its value stands in the first one."""

    top: int
    left: int
    bottom: int
    right: int

    def __str__(self) -> str:
        return f"{letters(self.left)}{self.top + 1}:{letters(self.right)}{self.bottom + 1}"


@dataclass(slots=True)
class Facts:
    """What a reader learns of a sheet beside its rows; complete after the last one."""

    merges: list[Merge] = field(default_factory=list)
    hidden_rows: Seen = field(default_factory=Seen)
    hidden_columns: list[str] = field(default_factory=list)
    percents: bool = False
    empty_formulas: Seen = field(default_factory=Seen)
    stale_formulas: bool = False  # the workbook asks to be calculated, and has values of formulas all the same


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that follow one another, column by column: of each from A on what is known of its values, and the values.

    text: texts; digits: numbers in canonical spelling, as texts; typed: any values, None for nothing. None: no values.
    """

    numbers: list[int]
    columns: list[tuple[str, Sequence[Any]] | None]

    def rows(self) -> list[Row]:
        """The same row by row."""
        count = len(self.numbers)
        values = [[None] * count if column is None else _typed(*column) for column in self.columns]
        return [(number, list(cells)) for number, *cells in zip(self.numbers, *values, strict=True)]


Piece = list[Row] | Block


def _typed(kind: str, values: Sequence[Any]) -> Sequence[object]:
    return [Decimal(str(value)) if value else None for value in values] if kind == "digits" else values


class Grid(Protocol):
    """One sheet of a workbook. `merges` may be asked before the rows, at the price of reading them once more."""

    facts: Facts

    def pieces(self) -> Iterator[Piece]:
        """Its rows in their order; blank ones may be left out. Raises FileError."""

    def merges(self) -> list[Merge]:
        """Its merged cells. Raises FileError."""


class Workbook(Protocol):
    """A workbook of any kind."""

    kind: str

    def sheets(self) -> Sequence[tuple[str, bool]]:
        """The names of its sheets, and whether each is visible."""

    def grid(self, at: int) -> Grid:
        """The sheet at a position from 0."""

    def close(self) -> None:
        """Let go of it."""


class Walk(Iterator[Row]):
    """Pieces row by row, until the rest is taken as it is."""

    def __init__(self, pieces: Iterator[Piece]) -> None:
        self._pieces, self._rows = pieces, iter(list[Row]())

    def __next__(self) -> Row:
        while True:
            for row in self._rows:
                return row
            piece = next(self._pieces)
            self._rows = iter(piece.rows() if isinstance(piece, Block) else piece)

    def left(self) -> Iterator[Piece]:
        """What was not walked through."""
        yield list(self._rows)
        yield from self._pieces
