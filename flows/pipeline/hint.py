"""What the texts of a column may be besides texts: said as a comment, for a person to decide. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from flows.pipeline.date_form import DateForm
from flows.pipeline.spoiled import BLANKS

_PHONE = re.compile(r"(?:\+|00|0|\()[0-9 ()/.\-\u00a0]{6,24}")
_WORD = re.compile(r"[^\s,;|]+")
_COMPACT = re.compile(r"(?:19|20)[0-9]{6}")
_compact = DateForm.of("date", "YYYYMMDD")


def _is_json(cell: str) -> bool:
    if not cell.startswith(("{", "[")):
        return False
    try:
        json.loads(cell)
    except ValueError:
        return False
    return True


def _is_compact_date(cell: str) -> bool:
    try:
        return bool(_COMPACT.fullmatch(cell)) and bool(_compact.read(cell))
    except ValueError:
        return False


def _is_phone(cell: str) -> bool:
    return bool(_PHONE.fullmatch(cell)) and sum(map(str.isdigit, cell)) >= 7 and not cell.isdigit()


def _parts(separator: str) -> Callable[[str], bool]:
    return lambda cell: all(_WORD.fullmatch(part.strip()) for part in cell.split(separator))


_KINDS: dict[str, Callable[[str], bool]] = {
    "type: json": _is_json,
    "type: date, format: YYYYMMDD": _is_compact_date,
    "type: phone, region: …": _is_phone,
    'type: list, split: ";"': _parts(";"),
    'type: list, split: "|"': _parts("|"),
    'type: list, split: ","': _parts(","),
}


@dataclass(slots=True)
class Hints:
    """What all cells of a column that were looked at have in common. Empty ones and words for nothing are left out."""

    _left: dict[str, Callable[[str], bool]] = field(default_factory=lambda: dict(_KINDS))
    _several: set[str] = field(default_factory=set)  # separators that were really met
    _padded: bool = False

    def take(self, cell: str) -> None:
        """Look at one more cell."""
        bare = cell.strip(BLANKS)
        self._padded = self._padded or bare != cell
        self._left = {keys: fits for keys, fits in self._left.items() if fits(bare)}
        self._several.update(separator for separator in ";|," if separator in bare)

    def words(self, kind: str) -> list[str]:
        """What a column of this type may be besides, the likeliest alone, and whether it needs trimming."""
        keys = (keys for keys in self._left if not keys.startswith("type: list") or keys[-2] in self._several)
        first = next((each for each in keys if kind == "str" or "YYYYMMDD" in each), "")
        found = [f"perhaps {{{first}}}"] if first else []
        if self._padded and kind == "str":
            found.append("blanks stand around values: perhaps `trim: true`")
        return found


def without(nothing: Iterable[str], rules: str) -> str:
    """What a column would be if these words stood for nothing."""
    words = ", ".join(f"{json.dumps(word)}: null" for word in sorted(nothing))
    return f"perhaps {{{rules}, optional: true, map: {{{words}}}, other: keep}}"
