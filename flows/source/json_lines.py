"""JSON Lines: an object a line. A line that is none is a rejection, and the next line is a new chance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import suppress
from itertools import chain

from flows.origin import Origin
from flows.pipeline.file_form import FileForm
from flows.source.body import Body
from flows.source.content import MARK, Noticed
from flows.source.encoding import decode as decode_text
from flows.source.encoding import find as find_encoding
from flows.source.json_records import FIRST, Raw, Records, decode_lines
from flows.source.quoting import MAX_CELL, MAX_LINE, Batch
from flows.source.table import Spelling

PIECE = 1 << 16  # characters that are decoded at once: with 1 MiB it takes half as long again
Piece = tuple[int, str]  # the number of the first line, and the lines
BLANKS = " \t\r"


class JsonLines:
    """A file of JSON lines as a flows.source.table.Table. Blank lines are passed over. Raises FileError."""

    kind, delimiter, header_row, origin = "jsonl", "", 0, Origin(kind="jsonl")

    def __init__(self, body: Body, form: FileForm, wanted: Iterable[str], noticed: Noticed) -> None:
        self.form = form
        self._refuse = body.refuse
        found = find_encoding(body.head, form.encoding, body.refuse)
        self.encoding = found.name
        self._pieces = self._cut(decode_text(body.blocks(), found, body.refuse))
        self._first: list[Piece] = []
        raws: list[Raw] = []
        while len(raws) < FIRST and (piece := next(self._pieces, None)):
            self._first.append(piece)
            raws += _raws(*piece)
        self.records = Records(raws[:FIRST], wanted, noticed, body.refuse)
        self.names, self.samples = self.records.names, self.records.samples

    def batches(self, spellings: Sequence[Spelling]) -> Iterator[Batch]:
        """The records. Raises FileError for invalid bytes, a line without end, a file cut off."""
        self.records.ready(spellings)
        for line, text in chain(self._first, self._pieces):
            yield self._batch(line, text)
        self.records.end()

    @property
    def unmet(self) -> Set[str]:
        """The columns that are expected, and that no record has had yet."""
        return self.records.unmet

    def expect(self, names: Sequence[str]) -> None:
        """Look for these, too: a record may have them that comes later."""
        self.records.expect(names)

    def close(self) -> None:
        """Nothing was taken beside the file."""

    def _batch(self, line: int, text: str) -> Batch:
        data, decoded = text.encode(), None
        if len(text) <= MAX_CELL:  # else it is one line, and too long
            with suppress(ValueError):
                decoded = decode_lines(data)
        lines = range(line, line + len(decoded or ()))
        if decoded is not None and text.count("\n") + (text[-1:] != "\n") != len(decoded):
            decoded = None  # some are blank, or hold more than one
        return self.records.batch(data, decoded, lines, lambda: _raws(line, text))

    def _cut(self, blocks: Iterator[str]) -> Iterator[Piece]:
        """Whole lines, so many at a time that what becomes of them stays in the processor's cache."""
        line, tail = 1, ""
        for block in blocks:
            tail += block
            if line == 1:
                tail = tail.lstrip(MARK)
            at = 0
            while end := tail.find("\n", at + PIECE) + 1 or tail.rfind("\n", at) + 1:
                piece, at = tail[at:end], end
                yield line, piece
                line += piece.count("\n")
            tail = tail[at:]
            if len(tail) > MAX_LINE:
                raise self._refuse(
                    f"this line is longer than {MAX_LINE:,} characters", line=line, hint="Is this a file of JSON lines?"
                )
        if tail.strip(BLANKS):
            yield line, tail


def _raws(line: int, text: str) -> Iterator[Raw]:
    """Each line that is not blank, and its number."""
    lines = text.split("\n")
    return ((line + at, raw) for at, each in enumerate(lines) if (raw := each.strip(BLANKS)))
