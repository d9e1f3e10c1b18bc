"""What each kind of file is read as: the header's names, and records under them as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Protocol

from flows.origin import Origin
from flows.pipeline.file_form import FileForm
from flows.source.quoting import Batch

Spelling = Callable[[object], str]  # a typed value as the text that its column's own rules read as that value
SAMPLES = 50  # records beside the header


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What stands in a cell and is no value: an error, a formula whose value was not kept. `check` says so."""

    check: str
    text: str


class Padded(int):
    """A whole number that its cell shows with zeros in front, or a text: 123 as 00123, or INV-0123."""

    width: int
    before: str

    def __str__(self) -> str:
        return f"{'-' if self < 0 else ''}{self.before}{abs(int(self)):0{self.width}}"


class NotSpelled(ValueError):
    """A value has no text that its column would read as it. The message says what the cell must be.

    `text`: what stands there, for people and for the rejected rows that are given out.
    """

    def __init__(self, check: str, text: str) -> None:
        super().__init__(check)
        self.check, self.text = check, text


class Table(Protocol):
    """An open file of one kind. `kind` is one of flows.pipeline.file_form.KINDS; `names` are the header's cells.

    `samples`: up to 50 records below it, spelled without any rules. `encoding` and `delimiter` are "" but for text.
    `header_row`: where the header stands, counted from 1; 0 where there is none.
    `form`: how it is read, as was said and as it turned out.
    `unmet`: columns that are expected, and that no record has had yet.
    """

    kind: str
    encoding: str
    delimiter: str
    names: list[str]
    samples: list[list[str]]
    header_row: int
    origin: Origin
    form: FileForm

    @property
    def unmet(self) -> Set[str]:
        """Complete after the last record."""

    def expect(self, names: Sequence[str]) -> None:
        """Columns that the header lacks are wanted all the same, should they come later."""

    def batches(self, spellings: Sequence[Spelling]) -> Iterator[Batch]:
        """The records below the header, once. `spellings`: one a column of the file, in its order.

        A text stays as it is in kinds whose texts are those of people; everything else is spelled. A NotSpelled makes
        a fault of its record. Raises FileError for whatever makes the rest of the file uncertain.
        """

    def close(self) -> None:
        """Let go of what was taken beside the file itself."""


class Named:
    """Of kinds whose header names all columns that there are: none comes later."""

    unmet: Set[str] = frozenset()

    def expect(self, names: Sequence[str]) -> None:
        """Nothing is to be expected."""
