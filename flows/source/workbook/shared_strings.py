"""The texts of a workbook that its cells name by number: in memory while they are few, else in a file beside it."""

from __future__ import annotations

import re
import tempfile
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import BinaryIO, cast

import msgspec

from flows.errors import FileError
from flows.source.encoding import Refuse
from flows.source.workbook.archive import Archive
from flows.source.workbook.markup import CONTROL, Markup, Odd, Stretches, of_excel, unescaped

GROUP = 64  # texts that are kept together
IN_MEMORY = 8 << 20  # characters; beyond it groups go into a file
MOST_GROUPS = 1024  # of a file that are in memory at once

_PLAIN = re.compile(r'<si><t(?: xml:space="preserve")?>([^<]*)</t></si>|(<si/>|<si><t/></si>)|(\s+)|(.)', re.DOTALL)
_encode, _decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(list[str]).decode


class SharedStrings:
    """Texts by number. They are read when the first is asked for. Raises FileError."""

    def __init__(self, archive: Archive, part: str, refuse: Refuse) -> None:
        self._archive, self._part, self._refuse = archive, part, refuse
        self._groups = _Groups(self._fetched)
        self._places = array("Q")  # of the groups in the file
        self._file: BinaryIO | None = None
        self._count = self._chars = 0
        self._read = False

    def __getitem__(self, at: int) -> str:
        try:
            return self._groups[at // GROUP][at % GROUP]
        except IndexError:
            raise self._missing() from None

    def many(self, numbers: Sequence[str]) -> list[str]:
        """The texts with these numbers; "" for "". Raises ValueError for what is no number."""
        groups = self._groups
        try:
            if "" in numbers:
                return [self[int(each)] if each else "" for each in numbers]
            return [groups[at >> 6][at & 63] for at in map(int, numbers)]  # GROUP is 64
        except IndexError:
            raise self._missing() from None

    def close(self) -> None:
        """Remove the file."""
        if self._file is not None:
            self._file.close()

    def _missing(self) -> FileError:
        return self._refuse("is damaged: a cell names a text that is not there", hint="Save it anew.")

    def _fetched(self, at: int) -> list[str]:
        if not self._read:
            self._read = True
            self._read_all()
            if at in self._groups:
                return self._groups[at]
        if self._file is None or not 0 <= at < len(self._places):
            raise self._missing()
        if len(self._groups) >= MOST_GROUPS:
            for oldest in list(self._groups)[: MOST_GROUPS // 4]:
                del self._groups[oldest]
        self._file.seek(self._places[at])
        size = int.from_bytes(self._file.read(8), "little")
        found = self._groups[at] = _decode(self._file.read(size))
        return found

    def _read_all(self) -> None:
        if self._part not in self._archive.names:
            return
        group: list[str] = []
        for texts in self._texts():
            group += texts
            while len(group) > GROUP:
                self._put(group[:GROUP])
                del group[:GROUP]
        self._put(group)

    def _put(self, group: list[str]) -> None:
        self._chars += sum(map(len, group))
        if self._file is None:
            self._groups[self._count] = group
            if self._chars > IN_MEMORY:
                self._spill()
        else:
            self._write(group)
        self._count += 1

    def _spill(self) -> None:
        self._file = cast(BinaryIO, tempfile.TemporaryFile(dir=self._archive.scratch))  # noqa: SIM115 — `close` does it
        for group in self._groups.values():
            self._write(group)
        self._groups.clear()

    def _write(self, group: list[str]) -> None:
        assert self._file is not None
        self._places.append(self._file.tell())
        data = _encode(group)
        self._file.write(len(data).to_bytes(8, "little") + data)

    def _texts(self) -> Iterator[list[str]]:
        """All of them, quickly where a stretch holds nothing but plain ones."""
        try:
            for text in Stretches(self._archive.blocks(self._part), "sst", "si", self._refuse):
                try:
                    yield _quickly(text)
                except Odd:
                    slow = _Slowly(self._refuse)
                    slow.markup.feed(b"<sst>" + text.encode() + b"</sst>", last=True)
                    yield slow.texts
        except Odd:
            slow = _Slowly(self._refuse)
            for block in self._archive.blocks(self._part):
                slow.markup.feed(block)
                yield slow.texts
                slow.texts = []
            slow.markup.feed(b"", last=True)


def _quickly(text: str) -> list[str]:
    if CONTROL.search(text):
        raise Odd
    found: list[str] = []
    for plain, _, gap, odd in _PLAIN.findall(text):
        if odd:
            raise Odd
        if not gap:
            found.append(plain)
    if "&" in text:
        found = list(map(unescaped, found))
    return list(map(of_excel, found)) if "_x" in text else found


class _Groups(dict[int, list[str]]):
    """Texts by group; what is not in memory is fetched."""

    def __init__(self, fetch: Callable[[int], list[str]]) -> None:
        super().__init__()
        self._fetch = fetch

    def __missing__(self, at: int) -> list[str]:
        return self._fetch(at)


class _Slowly:
    """Texts with parts of their own formats, and readings of Asian words, which are left out."""

    def __init__(self, refuse: Refuse) -> None:
        self.markup = Markup(refuse, self._start, self._end, self._text)
        self.texts: list[str] = []
        self._parts: list[str] = []
        self._in_text = self._phonetic = False

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "si":
            self._parts = []
        self._phonetic = self._phonetic or name == "rPh"
        self._in_text = name == "t" and not self._phonetic

    def _text(self, text: str) -> None:
        if self._in_text:
            self._parts.append(text)

    def _end(self, name: str) -> None:
        self._in_text = False
        if name == "rPh":
            self._phonetic = False
        elif name == "si":
            self.texts.append(of_excel("".join(self._parts)))
