"""A file's rows in frames: text cells under the definition's column names, with row and line numbers.

Whatever the kind of file: flows.source.kind finds it, and the reader of that kind gives records as text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from flows.errors import ColumnsDiffer
from flows.origin import Origin
from flows.pipeline.file_form import AS_FOUND, NESTED, SHEETS, WORDS, FileForm
from flows.sheet import REASON, is_ours, is_reason, restored, unguarded
from flows.source.body import Body
from flows.source.content import Noticed
from flows.source.footer import without_footer
from flows.source.frame import FRAME_ROWS, Assembly, Frame
from flows.source.header import Called, Header, match
from flows.source.json_array import JsonArray
from flows.source.json_lines import JsonLines
from flows.source.kind import kind_of
from flows.source.parquet import Parquet
from flows.source.quoting import Batch
from flows.source.rawfile import OnRead, RawFile, nothing
from flows.source.spelling import canonical, shouted, spellings
from flows.source.table import Table
from flows.source.text import Text
from flows.source.workbook.ods import Ods
from flows.source.workbook.xls import Xls
from flows.source.workbook.xlsx import Xlsx

MAX_BYTES = 10 * 2**30

READERS: Mapping[str, Callable[[Body, FileForm, Iterable[str], Noticed], Table]] = {
    "csv": Text,
    "xlsx": Xlsx,
    "xls": Xls,
    "ods": Ods,
    "json": JsonArray,
    "jsonl": JsonLines,
    "parquet": Parquet,
}


class Source:
    """An open file of rows whose header fits. Use as a context manager; walk through `frames` once.

    `place` says where a row stands, or its cell in a column that was asked for.

    Rows without content at the end are passed over; in between they are rejections. A file that was given out for
    correction has its neutralised cells (flows.sheet) restored.
    """

    def __init__(
        self,
        raw: RawFile,
        wanted: Mapping[str, bool] | None,
        form: FileForm,
        called: Called,
        scratch: Path | None = None,
    ) -> None:
        self._raw, self._form, self._called = raw, form, called
        self._noticed = Noticed()
        self._body = Body(raw, scratch)
        if REASON.encode() in self._body.head.split(b"\n", 1)[0]:
            self._form = form = form.of_ours
        try:
            kind = kind_of(self._body, form.kind)
            self._table = READERS[kind](self._body, form, called.names(wanted or ()), self._noticed)
        except BaseException:
            self._body.close()
            raise
        names = self._table.names
        self._form = form = self._table.form
        self._table.expect(called.unseen(wanted or {}, names))
        people = kind in ("csv", *SHEETS)
        bare = restored if is_ours(names, wanted or ()) else unguarded if form.apostrophes == "remove" else None
        self._bare = bare if people else None
        self._asks = people and form.apostrophes == "ask" and not bare and wanted is not None
        if self._bare:
            names = [self._bare(name) for name in names]
        delimiter, samples = self._table.delimiter, self._table.samples
        try:
            self._header: Header = match(names, wanted, delimiter, raw.error, called, samples)
        except ColumnsDiffer as exc:
            if (path := self._table.origin.path) and not form.path:
                exc.hint += (
                    f"\nThese are those of the list {path}. If the object around it is a row, write it in a list."
                )
            raise
        self.place = self._noticed.place = self.origin.placing(self.called, self.columns)

    @property
    def columns(self) -> tuple[str, ...]:
        """The file's own column names, in its order."""
        return self._header.names

    @property
    def called(self) -> dict[str, str]:
        """What the file calls the columns that were asked for, as far as it has them."""
        positions = self._header.positions
        return {name: self._header.names[at] for name, at in positions.items() if at is not None}

    @property
    def ignored(self) -> tuple[str, ...]:
        """Columns of the file that nobody asked for, without the one of reasons that Rowrelay itself put there.

        An object of which a field was asked for is none of them.
        """
        inside = tuple(self.called.values()) if self.kind in NESTED else ()
        return tuple(
            name
            for name in self._header.ignored
            if not is_reason(name) and not any(each.startswith(f"{name}.") for each in inside)
        )

    @property
    def unused(self) -> tuple[int, ...]:
        """The positions of the file's columns that nobody asked for."""
        return self._header.unused

    @property
    def notices(self) -> tuple[str, ...]:
        """What was met in the file as a whole, in sentences; complete after the last frame."""
        keys = self._form.beside(self._table.kind)
        says, was = ("say", "were") if len(keys) > 1 else ("says", "was")
        said = f"{' and '.join(keys)} of `source` {says} nothing of {WORDS[self._table.kind]}, and {was} passed over"
        return (*([said] if keys else []), *self._noticed.words())

    @property
    def absent(self) -> tuple[str, ...]:
        """Columns that were asked for, may be missing, and are."""
        unmet = self._table.unmet
        return tuple(name for name, at in self._header.positions.items() if at is None or name in unmet)

    @property
    def kind(self) -> str:
        """What kind of file it is."""
        return self._table.kind

    @property
    def encoding(self) -> str:
        """What a text file is written in; "" of other kinds."""
        return self._table.encoding

    @property
    def delimiter(self) -> str:
        """What separates the cells of a text file; "" of other kinds."""
        return self._table.delimiter

    @property
    def origin(self) -> Origin:
        """Where the rows stand, for those who name a place."""
        return self._table.origin

    @property
    def form(self) -> FileForm:
        """How the file is read, with what was found: whoever reads it so again gets the same rows."""
        table = self._table
        found: dict[str, Any] = {"kind": table.kind, "encoding": table.encoding, "delimiter": table.delimiter}
        found |= {"sheet": table.origin.sheet, "header_row": table.header_row}
        return self._form.model_copy(update={key: value for key, value in found.items() if value})

    @property
    def bytes_done(self) -> int:
        """Bytes read so far, as they lie on disk."""
        return max(self._raw.bytes_done, self._raw.bytes_seen)

    @property
    def bytes_total(self) -> int:
        """Size of the file on disk."""
        return self._raw.bytes_total

    def digest(self) -> str:
        """SHA-256 (hex) of the file as it lies on disk; complete after the last frame."""
        return self._raw.digest()

    def frames(self, size: int | None = None) -> Iterator[Frame]:
        """The rows, `size` records at a time (the last frame may be smaller).

        Raises FileError for whatever makes the rest of the file uncertain (invalid bytes, an unclosed quote, a file
        that changed or is cut off), and for a file without a row.
        """
        size = size or (FRAME_ROWS // 2 if self.kind in SHEETS else FRAME_ROWS)  # they hold more beside the rows
        assembly = Assembly(self._header, size, self._noticed, self._raw.error, asks=self._asks)
        for batch in self._batches():
            yield from assembly.add(_without_guards(batch, self._bare) if self._bare else batch)
        self._body.finish()
        if not assembly.row:
            raise self._raw.error("has a header but no rows", hint="Put the rows below the first line.")
        yield from assembly.end()

    def _batches(self) -> Iterator[Batch]:
        header = self._header
        shown, nested = shouted if self.kind in SHEETS else canonical, self.kind in ("json", "jsonl")
        spelled = spellings(header.names, header.positions, self._called.columns, shown=shown, nested=nested)
        batches = self._table.batches(spelled)
        return without_footer(batches, self._form.skip_footer) if self._form.skip_footer else batches

    def close(self) -> None:
        """Let go of the file."""
        self._table.close()
        self._body.close()
        self._raw.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _without_guards(batch: Batch, bare: Callable[[str], str]) -> Batch:
    """The records of a file that was given out (flows.export), as they were."""
    cells = [[bare(cell) if cell.startswith("'") else cell for cell in record] for record in batch.rows()]
    return replace(batch, cells=cells, columns=None)


def open_file(
    path: str | Path,
    wanted: Mapping[str, bool] | None = None,
    *,
    called: Called | None = None,
    form: FileForm = AS_FOUND,
    max_bytes: int = MAX_BYTES,
    scratch: Path | None = None,
    on_read: OnRead = nothing,
) -> Source:
    """Open a file of rows and match its header.

    `wanted` says which columns are needed and which of them (True) may be missing; None takes every column as it
    is. `called`: what else they may be called, and their rules. `form`: how the file is to be read, where it is not to
    be found. An apostrophe that stands before a formula, a number or a date in a file that is not one of ours is part
    of the text (keep), or a guard to be taken away (remove); if neither is said, such cells are rejected. `max_bytes`
    counts unpacked; `scratch` is the folder for what has to lie on a disk meanwhile, as a packed workbook has (default:
    the system's folder for temporary files); `on_read` is called after each MiB but the first with the bytes read and
    the bytes of the file, whether rows come of it or not, and may raise. Raises FileError.
    """
    raw = RawFile(path, max_bytes=max_bytes, on_read=on_read)
    try:
        return Source(raw, wanted, form, called or Called(), scratch)
    except BaseException:
        raw.close()
        raise
