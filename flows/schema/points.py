"""Points in numbers: decimal points, or between thousands as in 3.001,01? One cell cannot tell, its column can."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.compute as pc

from flows.schema.cell import as_arrow, where

# A comma before any number of digits but three, or several points before three digits each: no decimal point there.
_PROOF = (
    r"\A[ \t]*[+-]?([0-9]{1,3}(\.[0-9]{3})+,[0-9]+|[0-9]+,([0-9]{1,2}|[0-9]{4,})|0,[0-9]+|"
    r"[0-9]{1,3}(\.[0-9]{3}){2,})[ \t]*\z"
)
_UNSURE = r"\A[ \t]*[+-]?[1-9][0-9]{0,2}\.[0-9]{3}[ \t]*\z"  # 1.234: three digits, so that it may be a thousand
_DECIMAL = (  # 12.5, 0.125, 1234.500: this point is a decimal one
    r"\A[ \t]*[+-]?(0?\.[0-9]+|[0-9]+\.([0-9]{0,2}|[0-9]{4,})|[0-9]{4,}\.[0-9]+)[ \t]*\z"
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What stands in a cell, and where that is in the file."""

    text: str
    place: str

    def __str__(self) -> str:
        return f"{self.text} at {self.place}"


@dataclass(slots=True)
class Points:
    """What the numbers of one column have shown so far.

    `proof` shows that points stand between thousands; `taken` is the first of the `unsure` cells, which may be meant
    so, that was read as a decimal before there was proof; `decimal` says whether another cell has a decimal point.
    """

    proof: Seen | None = None
    taken: Seen | None = None
    unsure: int = 0
    decimal: bool = False

    def faults(self, text: pd.Series, lines: npt.NDArray[np.int64], place: Callable[[int], str]) -> dict[int, str]:
        """What is wrong with the cells of a frame, by position, in the light of all that were seen."""
        cells = as_arrow(text)
        if self.proof is None:
            self.proof = _first(cells, text, lines, place, _PROOF)
        unsure = _matches(cells, _UNSURE)
        if self.proof is not None:
            return dict.fromkeys(unsure, _words(self.proof))
        if unsure:
            self.unsure += len(unsure)
            self.taken = self.taken or Seen(str(text.iat[unsure[0]]).strip(), place(int(lines[unsure[0]])))
        self.decimal = self.decimal or bool(_matches(cells, _DECIMAL))
        return {}

    @property
    def contradicts(self) -> bool:
        """Whether a cell was taken for a decimal that a later one shows to be none, or perhaps none."""
        return self.proof is not None and self.taken is not None

    @property
    def doubtful(self) -> bool:
        """Whether each number with a point may be a thousand, and nothing in the column tells."""
        return bool(self.unsure) and self.proof is None and not self.decimal


def _words(proof: Seen) -> str:
    return (
        f"may mean thousands: {proof} shows that points stand between thousands in this column; write it without such "
        "points, and with a point as the decimal sign"
    )


def _first(
    cells: Any, text: pd.Series, lines: npt.NDArray[np.int64], place: Callable[[int], str], pattern: str
) -> Seen | None:
    found = _matches(cells, pattern)
    return Seen(str(text.iat[found[0]]).strip(), place(int(lines[found[0]]))) if found else None


def _matches(cells: Any, pattern: str) -> list[int]:
    return where(pc.match_substring_regex(cells, pattern))
