"""Excel workbooks (.xlsx), read row by row from their XML: memory stays flat however many rows there are."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence

from flows.pipeline.file_form import FileForm
from flows.source.body import Body
from flows.source.content import Noticed
from flows.source.encoding import Refuse
from flows.source.workbook.archive import Archive
from flows.source.workbook.grid import Facts, Merge, Piece
from flows.source.workbook.markup import Element, parsed
from flows.source.workbook.shared_strings import SharedStrings
from flows.source.workbook.sheet import Sheet
from flows.source.workbook.sheet_values import Moments, Percents, Read, format_kind
from flows.source.workbook.sheet_xml import SheetXml

_WORKSHEET = "/worksheet"


class Xlsx(Sheet):
    """A sheet of an Excel workbook as a flows.source.table.Table."""

    def __init__(self, body: Body, form: FileForm, wanted: Iterable[str], noticed: Noticed) -> None:
        super().__init__(XlsxBook(body), form, wanted, noticed, body.refuse)


class XlsxBook:
    """An Excel workbook as a flows.source.workbook.grid.Workbook. Raises FileError for what is damaged."""

    kind = "xlsx"

    def __init__(self, body: Body) -> None:
        self._archive, self._refuse = Archive(body), body.refuse
        parts = self._related("", "_rels/.rels")
        main = next((target for kind, target in parts.values() if kind.endswith("/officeDocument")), "xl/workbook.xml")
        folder, name = posixpath.split(main)
        related = self._related(folder, posixpath.join(folder, "_rels", name + ".rels"))
        self._sheets: list[tuple[str, bool, str]] = []
        since_1904, self._uncounted = False, False
        for each in self._parsed(main):
            if each.name == "sheet":
                kind, target = related.get(each.get("id"), ("", ""))
                if kind.endswith(_WORKSHEET):
                    self._sheets.append((each.get("name"), each.get("state") in ("", "visible"), target))
            elif each.name == "workbookPr":
                since_1904 = each.get("date1904") in ("1", "true")
            elif each.name == "calcPr":
                self._uncounted = each.get("fullCalcOnLoad") in ("1", "true")
        named = {kind.rpartition("/")[2]: target for kind, target in related.values()}
        self._moments = Moments(since_1904=since_1904)
        self._kinds = self._formats(named["styles"]) if named.get("styles") in self._archive.names else [""]
        self._strings = SharedStrings(self._archive, named.get("sharedStrings", ""), self._refuse)

    def sheets(self) -> Sequence[tuple[str, bool]]:
        """The names of its sheets, and whether each is visible."""
        return [(name, visible) for name, visible, _ in self._sheets]

    def grid(self, at: int) -> XlsxGrid:
        """The sheet at a position from 0."""
        part = self._sheets[at][2]
        readers = [self._moments.reader(kind) for kind in self._kinds]
        return XlsxGrid(
            lambda: self._archive.blocks(part), self._strings, readers, self._refuse, uncounted=self._uncounted
        )

    def close(self) -> None:
        """Let go of it."""
        self._strings.close()
        self._archive.close()

    def _parsed(self, part: str) -> Iterator[Element]:
        return parsed(self._archive.blocks(part), self._refuse)

    def _related(self, folder: str, part: str) -> dict[str, tuple[str, str]]:
        """By id the kind and the name of the parts that a part names."""
        if part not in self._archive.names:
            return {}
        found = {}
        for each in self._parsed(part):
            if each.name == "Relationship" and each.get("TargetMode") != "External":
                target = each.get("Target")
                whole = target.lstrip("/") if target.startswith("/") else posixpath.join(folder, target)
                found[each.get("Id")] = (each.get("Type"), posixpath.normpath(whole))
        return found

    def _formats(self, part: str) -> list[str]:
        """What the number of each cell style shows, as flows.source.workbook.sheet_values has it."""
        codes: dict[int, str] = {}
        found: list[str] = []
        for each in self._parsed(part):
            if each.name == "numFmt" and each.within("numFmts"):
                codes[_whole(each.get("numFmtId"))] = each.get("formatCode")
            elif each.name == "xf" and each.within("cellXfs"):
                at = _whole(each.get("numFmtId"))
                found.append(format_kind(at, codes.get(at)))
        return found or [""]


class XlsxGrid:
    """One sheet of an Excel workbook as a flows.source.workbook.grid.Grid."""

    def __init__(
        self,
        opened: Callable[[], Iterator[bytes]],
        strings: SharedStrings,
        readers: Sequence[Read],
        refuse: Refuse,
        *,
        uncounted: bool,
    ) -> None:
        self.facts = Facts()
        self._readers, self._ended = readers, False
        self._sheet = SheetXml(opened, strings, readers, refuse, self.facts, uncounted=uncounted)

    def pieces(self) -> Iterator[Piece]:
        """Its rows in their order."""
        yield from self._sheet.pieces()
        self._ended = True
        self.facts.percents = any(reader.met for reader in self._readers if isinstance(reader, Percents))

    def merges(self) -> list[Merge]:
        """Its merged cells, which stand behind the rows."""
        if not self._ended:
            self._sheet.skip()
        return self.facts.merges


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
