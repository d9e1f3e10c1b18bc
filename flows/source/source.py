"""A file's rows in frames: text cells under the definition's column names, with row and line numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from types import TracebackType

from flows.records import Apostrophes
from flows.sheet import is_ours, is_reason, restored, unguarded
from flows.source.content import MARK, Noticed
from flows.source.encoding import decode, line_end
from flows.source.encoding import find as find_encoding
from flows.source.frame import FRAME_ROWS, Assembly, Frame
from flows.source.header import Called, Header, find_delimiter, first_record, first_records, match, named_delimiter
from flows.source.quoting import MAX_CELL, Batch, Splitter
from flows.source.rawfile import OnRead, RawFile, nothing

MAX_BYTES = 10 * 2**30
MISREAD_MARK = "\ufeff".encode().decode("cp1252")
SEPARATOR = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)


class Source:
    """An open file of rows whose header fits. Use as a context manager; walk through `frames` once.

    Lines are counted as `grep -n` does, by line feeds; where the header ends in a carriage return alone, by those.
    Blank lines before the header are passed over, so are rows without content at the end; in between they are
    rejections. A file that was given out
    for correction has its neutralised cells (flows.sheet) restored.
    """

    def __init__(
        self,
        raw: RawFile,
        wanted: Mapping[str, bool] | None,
        encoding: str | None,
        delimiter: str | None,
        apostrophes: Apostrophes = "ask",
        called: Called | None = None,
    ) -> None:
        self._raw = raw
        blocks = raw.blocks()
        head = next(blocks)
        if not head.strip(b"\r\n\t \0\x1a\xef\xbb\xbf\xfe\xff"):
            raise raw.error(
                "holds nothing but blanks or zeros", hint="The first line must name the columns, the rows follow."
            )
        found = find_encoding(head, encoding, raw.error)
        self.encoding = found.name
        self._text = decode(chain([head], blocks), found, raw.error)
        self._header_line = 1
        start = next(self._text, "").lstrip(MARK)
        if start.lstrip('"').startswith(MISREAD_MARK):
            raise raw.error(
                "was UTF-8, and a program that saved it read it as Windows text: letters other than a to z are broken",
                hint="Open the original once more, choose UTF-8 there, and save it again.",
            )
        self._newline = line_end(start)
        self._noticed = Noticed()
        start, delimiter = self._skip(start, named_delimiter(delimiter, raw.error) if delimiter else None)
        lines = start.split(self._newline, 1000)
        lines[:-1] = [part + self._newline for part in lines[:-1]]
        self.delimiter = delimiter or find_delimiter(lines, (called or Called()).names(wanted or ()))
        names = first_record(lines, self.delimiter)
        if not names or (len(names) == 1 and names[0].count('"') % 2):
            raise raw.error(f"the column names cannot be read: {_why(lines[0])}", line=self._header_line)
        self._bare = restored if is_ours(names, wanted or ()) else unguarded if apostrophes == "remove" else None
        self._asks = apostrophes == "ask" and not self._bare and wanted is not None
        if self._bare:
            names = [self._bare(name) for name in names]
        self._header: Header = match(
            names, wanted, self.delimiter, raw.error, called, first_records(lines, self.delimiter)[1:]
        )
        self._text = chain([start], self._text)

    @property
    def columns(self) -> tuple[str, ...]:
        """The file's own column names, in its order."""
        return self._header.names

    @property
    def ignored(self) -> tuple[str, ...]:
        """Columns of the file that nobody asked for, without the one of reasons that Rowrelay itself put there."""
        return tuple(name for name in self._header.ignored if not is_reason(name))

    @property
    def unused(self) -> tuple[int, ...]:
        """The positions of the file's columns that nobody asked for."""
        return self._header.unused

    @property
    def notices(self) -> tuple[str, ...]:
        """What was met in the file as a whole, in sentences; complete after the last frame."""
        return self._noticed.words()

    @property
    def absent(self) -> tuple[str, ...]:
        """Columns that were asked for, may be missing, and are."""
        return tuple(name for name, at in self._header.positions.items() if at is None)

    @property
    def bytes_done(self) -> int:
        """Bytes read so far, as they lie on disk."""
        return self._raw.bytes_done

    @property
    def bytes_total(self) -> int:
        """Size of the file on disk."""
        return self._raw.bytes_total

    def digest(self) -> str:
        """SHA-256 (hex) of the file as it lies on disk; complete after the last frame."""
        return self._raw.digest()

    def frames(self, size: int = FRAME_ROWS) -> Iterator[Frame]:
        """The rows, `size` records at a time (the last frame may be smaller).

        Raises FileError for whatever makes the rest of the file uncertain (invalid bytes, an unclosed quote, a file
        that changed or is cut off), and for a file without a row.
        """
        splitter = Splitter(self.delimiter, self._newline, self._raw.error, self._noticed)
        assembly = Assembly(self._header, size, self._noticed, self._raw.error, asks=self._asks)
        for batch in splitter.batches(self._text, self._header_line):
            yield from assembly.add(_without_guards(batch, self._bare) if self._bare else batch)
        if not assembly.row:
            raise self._raw.error("has a header but no rows", hint="Put the rows below the first line.")
        yield from assembly.end()

    def close(self) -> None:
        """Let go of the file."""
        self._raw.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _skip(self, text: str, delimiter: str | None) -> tuple[str, str | None]:
        """The text from its header on: blank lines and Excel's `sep=;` line are left out, the latter obeyed."""
        while True:
            line, newline, rest = text.partition(self._newline)
            separator = SEPARATOR.fullmatch(line)
            if not newline or (line.strip() and not separator):
                return text, delimiter
            if separator:
                delimiter = delimiter or separator[1]
            self._header_line += 1
            text = rest


def _why(line: str) -> str:
    """Why a header cannot be taken apart."""
    if '"' in line:
        return "a quote is misplaced or not closed"
    if max(map(len, re.split(r"[,;\t|]", line))) > MAX_CELL:
        return f"one is longer than {MAX_CELL:,} characters"
    return "line feeds and carriage returns stand in between"


def _without_guards(batch: Batch, bare: Callable[[str], str]) -> Batch:
    """The records of a file that was given out (flows.export), as they were."""
    cells = [[bare(cell) if cell.startswith("'") else cell for cell in record] for record in batch.cells]
    return replace(batch, cells=cells)


def open_file(
    path: str | Path,
    wanted: Mapping[str, bool] | None = None,
    *,
    called: Called | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    max_bytes: int = MAX_BYTES,
    apostrophes: Apostrophes = "ask",
    on_read: OnRead = nothing,
) -> Source:
    """Open a file of rows and match its header.

    `wanted` says which columns are needed and which of them (True) may be missing; None takes every column as it
    is. `called`: what else they may be called. `encoding` and `delimiter` are found if not given. `apostrophes` says of
    a file that is not one of ours what an apostrophe means that stands before a formula, a number or a date: part of
    the text (keep), or a guard to be taken away (remove); if neither is said, such cells are rejected. `max_bytes`
    counts unpacked; `on_read` is called after each MiB but the first with the bytes read and the bytes of the file,
    whether rows come of it or not, and may raise. Raises FileError.
    """
    raw = RawFile(path, max_bytes=max_bytes, on_read=on_read)
    try:
        return Source(raw, wanted, encoding, delimiter, apostrophes, called)
    except BaseException:
        raw.close()
        raise
