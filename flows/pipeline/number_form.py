"""Numbers as people write them: another decimal sign, and something between the thousands. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from flows.pipeline.judge import read_plain
from flows.values import as_text

DECIMAL_SIGNS = (".", ",")
GROUP_SIGNS = (".", ",", " ", "'", "_")
_ALIKE = {" ": " \u00a0\u202f", "'": "'\u2019"}  # what programs write in the place of the character that people type
_NAMED = {".": "a point", ",": "a comma", " ": "a blank", "'": "an apostrophe", "_": "an underscore"}
_WORDS = {"int": "a whole number", "float": "a number", "decimal": "a decimal number"}


@dataclass(frozen=True, slots=True)
class NumberForm:
    """How the numbers of a column are written: `decimal` before the fraction, `group` between groups of three digits.

    A number may be written without groups, but not with some of them: `12345,6` and `12.345,6` are numbers, `12.34,5`
    and `0.435` with points between thousands are not.
    """

    kind: str
    decimal: str = "."
    group: str = ""
    _shape: re.Pattern[str] = field(init=False, repr=False)
    _between: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        between = _ALIKE.get(self.group, self.group)
        whole = "[0-9]+" + (rf"|[1-9][0-9]{{0,2}}(?:[{re.escape(between)}][0-9]{{3}})+" if between else "")
        sign = re.escape(self.decimal)
        fraction = "" if self.kind == "int" else rf"(?:{sign}[0-9]*)?"
        only_fraction = "" if self.kind == "int" else rf"|{sign}[0-9]+"
        object.__setattr__(self, "_shape", re.compile(rf"[+-]?(?:(?:{whole}){fraction}{only_fraction})"))
        object.__setattr__(self, "_between", between)

    def fits(self, text: str) -> bool:
        """Whether a text is a number that is written so."""
        return self._shape.fullmatch(text) is not None

    def read(self, text: str) -> Any:
        """The number. Raises ValueError with what is wrong with it."""
        if not self.fits(text):
            raise ValueError(self._wrong(text))
        for character in self._between:
            text = text.replace(character, "")
        return read_plain(self.kind, text if self.decimal == "." else text.replace(self.decimal, "."))

    def write(self, value: Any) -> str:
        """The number with its decimal sign, and without groups."""
        text = f"{Decimal(repr(value)):f}" if isinstance(value, float) else as_text(value)
        return text.replace(".", self.decimal)

    @property
    def words(self) -> str:
        """What a cell must be."""
        return f"must be {_WORDS[self.kind]} such as {self._sample}"

    @property
    def _sample(self) -> str:
        whole = f"12{self.group}345"
        return whole if self.kind == "int" else f"{whole}{self.decimal}50"

    def _wrong(self, text: str) -> str:
        if self._between and re.search(rf"[0-9][{re.escape(self._between)}][0-9]", text):
            bare = re.sub(rf"[{re.escape(self._between)}]", "", text)
            if NumberForm(self.kind, self.decimal).fits(bare):
                return f"{self.words}: {_NAMED[self.group]} may only stand between thousands"
        other = "," if self.decimal == "." else "."
        if self.kind != "int" and other != self.group and re.fullmatch(rf"[+-]?[0-9]+{re.escape(other)}[0-9]+", text):
            return f"{self.words}: {_NAMED[other]} is not its decimal sign"
        return self.words


def number_form(kind: str, decimal: str | None, group: str | None) -> NumberForm | None:
    """The form that the keys of a column state; None where they state none."""
    if kind not in _WORDS or (decimal is None and group is None):
        return None
    return NumberForm(kind, decimal or ".", group or "")
