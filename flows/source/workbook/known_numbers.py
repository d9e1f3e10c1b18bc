"""What reads the numbers of a workbook, and keeps what comes again."""

from __future__ import annotations

from collections.abc import Sequence

from flows.source.encoding import Refuse
from flows.source.workbook.sheet_values import Read, number

_MOST_KNOWN = 50_000


class Readers(dict[str, "Known"]):
    """What reads numbers, by the style of their cells."""

    def __init__(self, readers: Sequence[Read], refuse: Refuse) -> None:
        super().__init__({str(at): Known(read) for at, read in enumerate(readers)})
        self[""], self._refuse = self["0"], refuse

    def __missing__(self, style: str) -> Known:
        raise self._refuse("is damaged: a cell has a style that is not there", hint="Save it anew.")


class Known(dict[str, object]):
    """Numbers that were read, by their text: days and states come again and again."""

    def __init__(self, read: Read) -> None:
        super().__init__()
        self._read = read
        self.reads_numbers = read is number

    def __missing__(self, text: str) -> object:
        if len(self) >= _MOST_KNOWN:
            self.clear()
        found = self[text] = self._read(text)
        return found
