"""How the numbers and dates of a sample may be written: what leaves no doubt, and what could be two things. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from flows.pipeline.date_form import DateForm
from flows.pipeline.number_form import NumberForm
from flows.values import as_text

_SLASHED = ("DD/MM/YYYY", "MM/DD/YYYY", "D/M/YYYY", "M/D/YYYY")
_DASHED = tuple(text.replace("/", "-") for text in _SLASHED)
_DAYS = ("DD.MM.YYYY", "D.M.YYYY", "YYYY/MM/DD", "YYYY.MM.DD", *_SLASHED, *_DASHED)
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_HOURS = ("HH:mm", "HH:mm:ss", "H:mm", "h:mm A", "h:mm:ss A")
_YEARLESS = tuple(text.replace("YYYY", "YY") for text in _DAYS if text.endswith("YYYY"))
_TRUTHS = {"yes": "no", "t": "f", "true": "false", "y": "n", "ja": "nein", "oui": "non", "si": "no", "sí": "no",
           "да": "нет", "x": "-", "on": "off", "wahr": "falsch"}  # fmt: skip


@dataclass(slots=True)
class _Way:
    """One way in which all cells so far can be read. `mark` is equal for ways that read them all alike."""

    keys: str
    read: Callable[[str], Any]
    mark: int = 0
    example: tuple[str, str] = ("", "")

    def takes(self, cell: str) -> bool:
        """Whether it can read one more cell."""
        try:
            value = self.read(cell)
        except ValueError:
            return False
        if not self.example[0] or (self.example[0] == self.example[1] and as_text(value) != cell):
            self.example = cell, as_text(value)
        self.mark = hash((self.mark, value))
        return True


def _numbers() -> Iterator[_Way]:
    yield _Way("type: int", NumberForm("int").read)
    yield _Way("type: decimal", NumberForm("decimal").read)
    for group in (" ", ".", ",", "'"):
        yield _Way(f'type: int, group: "{group}"', NumberForm("int", ".", group).read)
    for decimal, other in ((",", "."), (".", ",")):
        if decimal == ",":
            yield _Way('type: decimal, decimal: ","', NumberForm("decimal", ",").read)
        for group in (other, " ", "'"):
            own = f'decimal: "{decimal}", ' if decimal == "," else ""
            yield _Way(f'type: decimal, {own}group: "{group}"', NumberForm("decimal", decimal, group).read)


def _dates() -> Iterator[_Way]:
    for text in _DAYS:
        yield _Way(f"type: date, format: {text}", DateForm.of("date", text).read)
    for text in (f"{day} {hour}" for day in _DAYS for hour in _HOURS):
        yield _Way(f'type: datetime, format: "{text}"', DateForm.of("datetime", text).read)
    for text in _YEARLESS:
        yield _Way(f"type: date, format: {text}, first_year: …", DateForm.of("date", text, 1950).read)


@dataclass(slots=True)
class Ways:
    """The ways in which all cells of a column can be read that were looked at."""

    _left: list[_Way] = field(default_factory=lambda: [*_numbers(), *_dates()])
    _numbers_only: bool = False

    def take(self, cell: str) -> None:
        """Look at one more cell that is not empty."""
        if not self._left:
            return
        if _WHOLE.fullmatch(cell):  # read alike by every way to read numbers, and by no other
            if not self._numbers_only:
                self._left, self._numbers_only = [way for way in self._left if "format" not in way.keys], True
            return
        self._left = [way for way in self._left if way.takes(cell)]

    @property
    def sure(self) -> str:
        """The keys of the simplest way, where all that are left read the cells alike, and not as plain ones."""
        return keys if len(self._apart) == 1 and "…" not in (keys := self._left[0].keys) and "," in keys else ""

    @property
    def doubt(self) -> str:
        """What the cells could be, where they could be more than one thing."""
        if self._left and "…" in self._left[0].keys:
            ways = _or([f"{{{way.keys}}}" for way in self._apart])
            return f"{ways}: the sample does not tell in which hundred years they are"
        if len(self._apart) < 2:
            return ""
        said = _or([f"{{{way.keys}}} (then {way.example[0]} is {way.example[1]})" for way in self._apart])
        return f"{said}: the sample does not tell"

    @property
    def _apart(self) -> list[_Way]:
        """The simplest of those that read alike."""
        first: dict[int, _Way] = {}
        for way in self._left:
            first.setdefault(way.mark, way)
        return list(first.values())


def _or(said: list[str]) -> str:
    return " or ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)


def truths(cells: set[str]) -> str:
    """What would make truth values of two words for yes and no; "" where these are none."""
    folded = {cell.casefold(): cell for cell in cells}
    if len(cells) != 2 or len(folded) != 2:
        return ""
    for yes, no in _TRUTHS.items():
        if folded.keys() == {yes, no}:
            return f"{folded[yes]}: true, {folded[no]}: false"
    return ""
