"""Workbooks of every kind, made by programs of others: openpyxl, xlwt, odfpy."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import xlwt
from odf.opendocument import OpenDocumentSpreadsheet
from odf.table import CoveredTableCell, Table, TableCell, TableRow
from odf.text import P

Rows = Sequence[Sequence[Any]]


def xlsx(path: Path, sheets: Mapping[str, Rows], **more: Any) -> Path:
    """`more`: formats by cell (A1), `hidden` sheets, `merged` ranges of the first sheet, `hidden_rows` of it."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for at, row in enumerate(rows, start=1):
            for column, value in enumerate(row, start=1):
                if value is not None:
                    sheet.cell(at, column, value)
        if name in more.get("hidden", ()):
            sheet.sheet_state = "hidden"
    first = book.worksheets[0]
    for cell, code in more.get("formats", {}).items():
        first[cell].number_format = code
    for each in more.get("merged", ()):
        first.merge_cells(each)
    for row in more.get("hidden_rows", ()):
        first.row_dimensions[row].hidden = True
    for column in more.get("hidden_columns", ()):
        first.column_dimensions[column].hidden = True
    book.save(path)
    return path


def xls(path: Path, sheets: Mapping[str, Rows], **more: Any) -> Path:
    book = xlwt.Workbook()
    for at, (name, rows) in enumerate(sheets.items()):
        sheet = book.add_sheet(name)
        merged = {each[0]: each for each in more.get("merged", ())} if at == 0 else {}
        for top, row in enumerate(rows):
            for left, value in enumerate(row):
                style = xlwt.easyxf(num_format_str=_format(value))
                if (top, left) in merged:
                    _, (bottom, right) = merged[top, left]
                    sheet.write_merge(top, bottom, left, right, value, style)
                elif value is not None:
                    sheet.write(top, left, value, style)
        if name in more.get("hidden", ()):
            sheet.visibility = 1
        for number in more.get("hidden_rows", ()) if at == 0 else ():
            sheet.row(number - 1).hidden = True
    book.save(str(path))
    return path


def ods(path: Path, sheets: Mapping[str, Rows], **more: Any) -> Path:
    document = OpenDocumentSpreadsheet()
    for at, (name, rows) in enumerate(sheets.items()):
        table = Table(name=name)
        merged = dict(more.get("merged", ())) if at == 0 else {}
        hidden = more.get("hidden_rows", ()) if at == 0 else ()
        for top, row in enumerate(rows):
            line = TableRow(visibility="collapse") if top + 1 in hidden else TableRow()
            for left, value in enumerate(row):
                covered = any(
                    a <= top <= c and b <= left <= d and (top, left) != (a, b) for (a, b), (c, d) in merged.items()
                )
                span = {}
                if (end := merged.get((top, left))) is not None:
                    span = {"numberrowsspanned": end[0] - top + 1, "numbercolumnsspanned": end[1] - left + 1}
                line.addElement(CoveredTableCell() if covered else _ods_cell(value, span))
            table.addElement(line)
        document.spreadsheet.addElement(table)
    document.save(str(path))
    return path


def _ods_cell(value: Any, span: Mapping[str, int]) -> Any:
    if value is None:
        return TableCell(**span)
    if isinstance(value, bool):
        return TableCell(valuetype="boolean", booleanvalue=str(value).lower(), **span)
    if isinstance(value, int | float):
        return TableCell(valuetype="float", value=repr(value), **span)
    if isinstance(value, date):
        return TableCell(valuetype="date", datevalue=value.isoformat(), **span)
    cell = TableCell(valuetype="string", **span)
    cell.addElement(P(text=value))
    return cell


def _format(value: Any) -> str:
    if isinstance(value, datetime):
        return "yyyy-mm-dd hh:mm:ss"
    return "dd.mm.yyyy" if isinstance(value, date) else "General"


MAKERS = {"xlsx": xlsx, "xls": xls, "ods": ods}

_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def raw_xlsx(
    rows: str, *, strings: str = "", styles: str = "", head: str = "", tail: str = "", book: str = ""
) -> bytes:
    """A workbook of one sheet, S, from the XML of its rows, of its texts (`<si>…`) and of its cell styles.

    `book`: what else its workbook.xml says.
    """
    parts = {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": f'<Relationships><Relationship Id="r1" Type="{_RELATIONS}/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELATIONS}"><sheets>'
        f'<sheet name="S" sheetId="1" r:id="r1"/></sheets>{book}</workbook>',
        "xl/_rels/workbook.xml.rels": "<Relationships>"
        + "".join(
            f'<Relationship Id="{name}" Type="{_RELATIONS}/{kind}" Target="{target}"/>'
            for name, kind, target in (
                ("r1", "worksheet", "sheet.xml"),
                ("r2", "sharedStrings", "strings.xml"),
                ("r3", "styles", "styles.xml"),
            )
        )
        + "</Relationships>",
        "xl/sheet.xml": f'<worksheet xmlns="{_MAIN}">{head}<sheetData>{rows}</sheetData>{tail}</worksheet>',
        "xl/strings.xml": f'<sst xmlns="{_MAIN}">{strings}</sst>',
        "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}">{styles}</styleSheet>',
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return packed.getvalue()
