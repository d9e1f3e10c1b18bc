"""Excel workbooks of before 2007 (.xls), by xlrd: at most 65,536 rows a sheet, and so well in memory."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from flows.errors import RowrelayError
from flows.origin import letters
from flows.pipeline.file_form import FileForm
from flows.source.body import Body
from flows.source.content import Noticed
from flows.source.encoding import Refuse
from flows.source.workbook.grid import Facts, Merge, Row
from flows.source.workbook.sheet import Sheet
from flows.source.workbook.sheet_values import Moments, Percents, Read, error, format_kind

MOST_BYTES = 256 << 20
_TEXT, _NUMBER, _DATE, _BOOL, _ERROR = 1, 2, 3, 4, 5


class Xls(Sheet):
    """A sheet of an old Excel workbook as a flows.source.table.Table."""

    def __init__(self, body: Body, form: FileForm, wanted: Iterable[str], noticed: Noticed) -> None:
        super().__init__(XlsBook(body), form, wanted, noticed, body.refuse)


class XlsBook:
    """An old Excel workbook as a flows.source.workbook.grid.Workbook. Raises FileError for what is damaged."""

    kind = "xls"

    def __init__(self, body: Body) -> None:
        import xlrd  # few files need it

        self._refuse = body.refuse
        file = body.seekable()
        file.seek(0)
        data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise body.refuse(f"holds more than {MOST_BYTES:,} bytes, which no .xls needs", hint="Save it as .xlsx.")
        with _readable(body.refuse):
            self._book: Any = xlrd.open_workbook(
                file_contents=data, logfile=io.StringIO(), formatting_info=True, on_demand=True, ragged_rows=True
            )
            self._moments = Moments(since_1904=bool(self._book.datemode))
            self._names: list[str] = self._book.sheet_names()

    def sheets(self) -> Sequence[tuple[str, bool]]:
        """The names of its sheets, and whether each is visible."""
        found = []
        for at, name in enumerate(self._names):
            with _readable(self._refuse):
                found.append((name, self._book.sheet_by_index(at).visibility == 0))
                if len(self._names) > 1:  # an only one is read next, and would be read twice
                    self._book.unload_sheet(at)
        return found

    def grid(self, at: int) -> XlsGrid:
        """The sheet at a position from 0."""
        return XlsGrid(self._book, at, self._moments, self._refuse)

    def close(self) -> None:
        """Let go of it."""
        self._book.release_resources()


class XlsGrid:
    """One sheet of an old Excel workbook as a flows.source.workbook.grid.Grid."""

    def __init__(self, book: Any, at: int, moments: Moments, refuse: Refuse) -> None:
        self.facts = Facts()
        self._book, self._at, self._moments, self._refuse = book, at, moments, refuse
        self._readers: dict[int, Read] = {}

    def pieces(self) -> Iterator[list[Row]]:
        """Its rows in their order."""
        with _readable(self._refuse):
            sheet = self._book.sheet_by_index(self._at)
            hidden = [at for at, info in sorted(sheet.colinfo_map.items()) if info.hidden]
        self.facts.hidden_columns = [letters(at) for at in hidden]
        for at in range(sheet.nrows):
            with _readable(self._refuse):
                info = sheet.rowinfo_map.get(at)
                if info is not None and info.hidden:
                    self.facts.hidden_rows.at(at + 1)
                row = sheet.row(at)
                cells = [self._value(cell) for cell in row]
            for column, cell in enumerate(row):
                if cell.ctype == _TEXT and not cell.value:  # no cell but a formula's is a text without letters
                    self.facts.empty_formulas.at(at + 1, f"{letters(column)}{at + 1}")
            yield [(at + 1, cells)]
        self.facts.percents = any(read.met for read in self._readers.values() if isinstance(read, Percents))

    def merges(self) -> list[Merge]:
        """Its merged cells."""
        with _readable(self._refuse):
            ranges = self._book.sheet_by_index(self._at).merged_cells
            return [Merge(top, left, bottom - 1, right - 1) for top, bottom, left, right in ranges]

    def _value(self, cell: Any) -> object:
        from xlrd.biffh import error_text_from_code

        if cell.ctype == _TEXT:
            return cell.value or None
        if cell.ctype in (_NUMBER, _DATE):
            return self._reader(cell.xf_index)(repr(cell.value))
        if cell.ctype == _BOOL:
            return bool(cell.value)
        if cell.ctype == _ERROR:
            return error(error_text_from_code.get(cell.value, "#N/A"))
        return None

    def _reader(self, style: int) -> Read:
        if style not in self._readers:
            key = self._book.xf_list[style].format_key
            found = self._book.format_map.get(key)
            kind = format_kind(key, found.format_str if found is not None and key >= _OWN else None)
            self._readers[style] = self._moments.reader(kind)
        return self._readers[style]


_OWN = 164  # the number of the first format that a workbook defines itself


@contextmanager
def _readable(refuse: Refuse) -> Iterator[None]:
    """xlrd meets what is damaged with whatever exception comes of it."""
    try:
        yield
    except RowrelayError:
        raise
    except Exception as exc:
        if "encrypted" in str(exc).lower() or "password" in str(exc).lower():
            raise refuse(
                "is protected by a password", hint="Take the password away in Excel, and save it again."
            ) from exc
        raise refuse("is damaged, or no workbook of Excel", hint="Open it in Excel, and save it as .xlsx.") from exc
