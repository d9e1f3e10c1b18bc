"""Text files: CSV and its kin, in any encoding, with any delimiter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from flows.origin import PLAIN
from flows.pipeline.file_form import FileForm
from flows.source.body import Body
from flows.source.content import MARK, Noticed
from flows.source.encoding import decode, line_end
from flows.source.encoding import find as find_encoding
from flows.source.header import find_delimiter, first_record, first_records, named_delimiter
from flows.source.quoting import MAX_CELL, Batch, Splitter
from flows.source.table import Named, Spelling

MISREAD_MARK = "\ufeff".encode().decode("cp1252")
SEPARATOR = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)


class Text(Named):
    """A text file as a flows.source.table.Table. `wanted`: the names that its header may hold.

    Lines are counted as `grep -n` does, by line feeds; where the header ends in a carriage return alone, by those.
    Blank lines before the header are passed over. Raises FileError.
    """

    kind, origin = "csv", PLAIN

    def __init__(self, body: Body, form: FileForm, wanted: Iterable[str], noticed: Noticed) -> None:
        if not body.head.strip(b"\r\n\t \0\x1a\xef\xbb\xbf\xfe\xff"):
            raise body.refuse(
                "holds nothing but blanks or zeros", hint="The first line must name the columns, the rows follow."
            )
        self.form = form
        found = find_encoding(body.head, form.encoding, body.refuse)
        self.encoding = found.name
        self._refuse, self._noticed = body.refuse, noticed
        text = decode(body.blocks(), found, body.refuse)
        start = next(text, "").lstrip(MARK)
        if start.lstrip('"').startswith(MISREAD_MARK):
            raise body.refuse(
                "was UTF-8, and a program that saved it read it as Windows text: letters other than a to z are broken",
                hint="Open the original once more, choose UTF-8 there, and save it again.",
            )
        self._newline = line_end(start)
        self.header_row = 1
        stated = named_delimiter(form.delimiter, body.refuse) if form.delimiter else None
        start, stated = self._above(start, stated, form)
        lines = start.split(self._newline, 1000)
        lines[:-1] = [part + self._newline for part in lines[:-1]]
        self.delimiter = stated or find_delimiter(lines, wanted)
        names = first_record(lines, self.delimiter)
        if not names or (len(names) == 1 and names[0].count('"') % 2):
            raise body.refuse(f"the column names cannot be read: {_why(lines[0])}", line=self.header_row)
        self.names = names
        self.samples = first_records(lines, self.delimiter)[1:]
        self._text = chain([start], text)

    def batches(self, spellings: Sequence[Spelling]) -> Iterator[Batch]:
        """The records below the header. Raises FileError for invalid bytes, an unclosed quote, a file cut off."""
        splitter = Splitter(self.delimiter, self._newline, self._refuse, self._noticed)
        below = False
        for batch in splitter.batches(self._text, self.header_row):
            if not below and batch.cells:
                below = True
                faults = {at - 1: fault for at, fault in batch.faults.items() if at}
                batch = Batch(batch.lines[1:], batch.cells[1:], faults, batch.chars)
            yield batch

    def close(self) -> None:
        """Nothing was taken beside the file."""

    def _above(self, text: str, delimiter: str | None, form: FileForm) -> tuple[str, str | None]:
        """The text from its header on, and the delimiter of Excel's `sep=;` line, if there is one.

        What stands above a header that was stated is left out as it is; else only that line and blank ones are.
        """
        skipped = form.header_row - 1 if form.header_row else form.skip_rows or 0
        while True:
            line, newline, rest = text.partition(self._newline)
            separator = SEPARATOR.fullmatch(line)
            done = self.header_row - 1
            if not newline and done < skipped:
                raise self._refuse(
                    f"has {self.header_row} lines, and its header was said to stand in line {skipped + 1}"
                )
            if done >= skipped and (form.header_row or not newline or (line.strip() and not separator)):
                return text, delimiter
            if separator:
                delimiter = delimiter or separator[1]
            self.header_row += 1
            text = rest


def _why(line: str) -> str:
    """Why a header cannot be taken apart."""
    if '"' in line:
        return "a quote is misplaced or not closed"
    if max(map(len, re.split(r"[,;\t|]", line))) > MAX_CELL:
        return f"one is longer than {MAX_CELL:,} characters"
    return "line feeds and carriage returns stand in between"
