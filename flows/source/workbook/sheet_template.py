"""Rows of a worksheet that are written alike, read many at once and column by column.

What most rows of a sheet have in common (which cells, of which style and kind) makes one expression for a whole row;
rows that are written otherwise are left to the reader of single cells. Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from operator import lt
from typing import Any

from flows.source.workbook.grid import Block

Shape = tuple[str, str, bool]  # of a cell: its style, its kind, and whether a formula made it

_SPACE = r'(?: xml:space="preserve")?'
_KINDS = ("", "n", "s", "str", "b", "inlineStr")
_MOST_COLUMNS = 90  # Python's expressions may have more groups, but rows that wide are few
# Numbers as `number` of sheet_values leaves them: fifteen digits at most, no zeros at the end of a fraction.
_DIGITS = re.compile(r"(?:(?:-?(?:0|[1-9][0-9]{0,14})|(?=-?[0-9.]{1,15}\n)-?(?:0|[1-9][0-9]*)\.[0-9]*[1-9])?\n)*+")


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of text: rows that are alike, or the text of one that is not."""

    block: Block | None
    text: str = ""


class Template:
    """What the rows of a sheet look like. `shapes`: by the letters of its column each cell of a row."""

    def __init__(self, shapes: Mapping[str, Shape], always: Set[str], index: Mapping[str, int]) -> None:
        self._shapes = [(index[letters], shape) for letters, shape in shapes.items()]
        self._width = max((at for at, _ in self._shapes), default=-1) + 1
        cells = "".join(_cell(letters, *shape, always=letters in always) for letters, shape in shapes.items())
        self._rows = re.compile(
            rf'<row r="([0-9]{{1,7}})"((?: [^<>]*)?)>{cells}</row>|(<row[^<>]*/>|<row[^<>]*>.*?</row>)|(\s+)|(.)',
            re.DOTALL,
        )

    @classmethod
    def of(cls, rows: Iterable[Sequence[tuple[str, Shape]]], index: Mapping[str, int]) -> Template | None:
        """The template of some rows; None where they have too little in common."""
        seen: dict[str, Counter[Shape]] = {}
        count = 0
        for row in rows:
            count += bool(row)
            for letters, shape in row:
                seen.setdefault(letters, Counter())[shape] += 1
        if not seen or len(seen) > _MOST_COLUMNS:
            return None
        shapes = {letters: found.most_common(1)[0][0] for letters, found in seen.items()}
        if any(kind not in _KINDS for _, kind, _ in shapes.values()):
            return None
        always = {letters for letters, found in seen.items() if found.total() >= max(count - 1, 1)}  # but in the header
        return cls(dict(sorted(shapes.items(), key=lambda each: index[each[0]])), always, index)

    def read(
        self,
        text: str,
        column: Callable[[Shape, Sequence[str]], tuple[str, Sequence[Any]]],
        hide: Callable[[int], None],
    ) -> list[Part] | None:
        """The rows of a stretch; None where too few are alike, or it is not plain.

        `column` makes values of what stands in a column, and says of which kind they are; `hide` hears of hidden rows.
        """
        found = self._rows.findall(text)
        odd = [at for at, each in enumerate(found) if not each[0]]
        if len(odd) * 4 > len(found) or any(found[at][-1] for at in odd):
            return None
        parts: list[Part] = []
        begin = 0
        for end in (*odd, len(found)):
            if end > begin:
                block = self._block(found[begin:end], column)
                if not all(map(lt, block.numbers, block.numbers[1:])):
                    return None
                parts.append(Part(block))
            if end < len(found) and (other := found[end][-3]):
                parts.append(Part(None, other))
            begin = end + 1
        if ' hidden="' in text:
            for number, attributes, *_ in found:
                if number and (' hidden="1"' in attributes or ' hidden="true"' in attributes):
                    hide(int(number))
        return parts

    def _block(
        self, found: list[tuple[str, ...]], column: Callable[[Shape, Sequence[str]], tuple[str, Sequence[Any]]]
    ) -> Block:
        numbers, _, *columns = zip(*found, strict=True)
        made: list[tuple[str, Sequence[Any]] | None] = [None] * self._width
        for (at, shape), texts in zip(self._shapes, columns, strict=False):
            made[at] = column(shape, texts)
        return Block(list(map(int, numbers)), made)


def are_digits(texts: Sequence[str]) -> bool:
    """Whether all of these, but for empty ones, are numbers that are written as they are shown."""
    return _DIGITS.fullmatch("\n".join(texts) + "\n") is not None


def _cell(letters: str, style: str, kind: str, formula: bool, *, always: bool) -> str:
    """What reads a cell. `always`: each row has it, and a row without it is no row of this kind; that is quicker."""
    space = _SPACE if kind == "str" else ""
    made = r"(?:<f(?: [^<>]*)?>(?:[^<]*</f>)?)?" if formula else ""
    value = rf"<is><t{_SPACE}>([^<]*)</t></is>" if kind == "inlineStr" else rf"{made}<v{space}>([^<]+)</v>"
    of_style = f' s="{style}"' if style else ""
    of_kind = f' t="{kind}"' if kind else ""
    begin = rf'<c r="{letters}[0-9]++"{of_style}'
    return f"{begin}{of_kind}>{value}</c>" if always else rf"(?:{begin}(?:/>|{of_kind}>{value}</c>))?"
