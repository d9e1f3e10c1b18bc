"""Workbooks: what people and programs put into the sheets of Excel and LibreOffice."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal as D
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import xlwt
from openpyxl import Workbook
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from openpyxl.worksheet.worksheet import Worksheet

from tests.files.corpus.shape import Shape
from tests.files.corpus.texts import COMMA, DATE, DECIMAL, DOTTED, GERMAN, INT, TEXT, YES_NO_RU

Rows = Sequence[Sequence[Any]]


def workbook(*rows: Sequence[Any], then: Callable[[Workbook, Worksheet], None] | None = None) -> bytes:
    """A workbook with one sheet; `then` does the rest to it."""
    made = Workbook()
    sheet = made.active
    assert isinstance(sheet, Worksheet)
    for row in rows:
        sheet.append(list(row))
    if then:
        then(made, sheet)
    stream = io.BytesIO()
    made.save(stream)
    return stream.getvalue()


def patched(content: bytes, pattern: str, by: str) -> bytes:
    """A workbook with its first sheet's text changed, as programs write what no library does."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "xl/worksheets/sheet1.xml":
                changed = re.sub(pattern, by, data.decode())
                assert changed != data.decode()
                data = changed.encode()
            new.writestr(name, data)
    return stream.getvalue()


def formatted(column: str, code: str) -> Callable[[Workbook, Worksheet], None]:
    """Gives the cells of a column below the header this number format."""

    def then(_: Workbook, sheet: Worksheet) -> None:
        for cell in sheet[column][1:]:
            cell.number_format = code

    return then


def _two_sheets(made: Workbook, sheet: Worksheet) -> None:
    sheet.title = "Januar"
    other = made.create_sheet("Februar")
    for row in (["id", "name"], [3, "Cid"]):
        other.append(row)


def _hidden_sheet(made: Workbook, sheet: Worksheet) -> None:
    sheet.title = "Daten"
    other = made.create_sheet("Listen")
    other.append(["DE"])
    other.sheet_state = "hidden"


def _hidden_row(_: Workbook, sheet: Worksheet) -> None:
    sheet.row_dimensions[3].hidden = True


def _merged(_: Workbook, sheet: Worksheet) -> None:
    sheet.merge_cells("A2:A3")


def _title_merged(_: Workbook, sheet: Worksheet) -> None:
    sheet.merge_cells("A1:C1")


def _since_1904(made: Workbook, _: Worksheet) -> None:
    made.epoch = CALENDAR_MAC_1904


def ods(*rows: Sequence[Any]) -> bytes:
    """A sheet as LibreOffice writes it. A cell is a text, a number, or (type, value, what is shown)."""
    office = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
    table = "urn:oasis:names:tc:opendocument:xmlns:table:1.0"
    words = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
    lines = "".join(f"<table:table-row>{''.join(map(_ods_cell, row))}</table:table-row>" for row in rows)
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content xmlns:office="{office}" xmlns:table="{table}" '
        f'xmlns:text="{words}" office:version="1.3"><office:body><office:spreadsheet><table:table '
        f'table:name="Tabelle1">{lines}<table:table-row table:number-rows-repeated="1048000"><table:table-cell '
        'table:number-columns-repeated="1024"/></table:table-row></table:table></office:spreadsheet></office:body>'
        "</office:document-content>"
    )
    kind, names = "application/vnd.oasis.opendocument.spreadsheet", "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"
    manifest = (
        f'<?xml version="1.0" encoding="UTF-8"?><manifest:manifest xmlns:manifest="{names}">'
        f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{kind}"/>'
        '<manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml"/></manifest:manifest>'
    )
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(zipfile.ZipInfo("mimetype"), kind, compress_type=zipfile.ZIP_STORED)
        packed.writestr("content.xml", content)
        packed.writestr("META-INF/manifest.xml", manifest)
    return stream.getvalue()


def _ods_cell(cell: Any) -> str:
    if cell is None:
        return "<table:table-cell/>"
    kind, value, shown = cell if isinstance(cell, tuple) else ("", cell, str(cell))
    kind = kind or ("string" if isinstance(value, str) else "float")
    key = {"date": "date-value", "boolean": "boolean-value"}.get(kind, "value")
    stated = "" if kind == "string" else f" office:{key}={quoteattr(str(value))}"
    return f'<table:table-cell office:value-type="{kind}"{stated}><text:p>{escape(shown)}</text:p></table:table-cell>'


def xls(*rows: Sequence[Any]) -> bytes:
    """A workbook of Excel before 2007."""
    made = xlwt.Workbook()
    sheet = made.add_sheet("Tabelle1")
    day = xlwt.easyxf(num_format_str="DD.MM.YYYY")
    for at, row in enumerate(rows):
        for column, cell in enumerate(row):
            sheet.write(at, column, cell, *([day] if isinstance(cell, date) else []))
    stream = io.BytesIO()
    made.save(stream)
    return stream.getvalue()


def book(
    what: str,
    content: bytes,
    columns: dict[str, str],
    rows: Sequence[Sequence[Any] | str],
    *,
    file: str = "rows.xlsx",
    **more: Any,
) -> Shape:
    """A workbook and what it means."""
    return Shape(what, file, content, columns, rows, **more)


PEOPLE = [["id", "name"], [1, "Ann"], [2, "Bob"]]
ANN_BOB = [[1, "Ann"], [2, "Bob"]]
ID_NAME = {"id": INT, "name": TEXT}

BOOKS: list[Shape] = [
    book(
        "Excel, German: numbers, days and truth values are such, though the pipeline reads texts",
        workbook(["Kunde", "Umsatz", "Eintritt", "Aktiv"], ["Müller", 1234.56, date(2025, 12, 31), True],
                 ["Groß", 0.1, date(2026, 2, 1), False]),
        {"kunde": TEXT, "umsatz": GERMAN, "eintritt": DOTTED, "aktiv": "{type: bool}"},
        [["Müller", D("1234.56"), date(2025, 12, 31), True], ["Groß", D("0.1"), date(2026, 2, 1), False]],
    ),
    book(
        "Excel, German: all cells are texts",
        workbook(["Kundennummer", "Umsatz", "Eintritt"], ["00123", "1.234,56", "31.12.2025"],
                 ["00124", "12,00", "01.02.2026"]),
        {"kundennummer": TEXT, "umsatz": GERMAN, "eintritt": DOTTED},
        [["00123", D("1234.56"), date(2025, 12, 31)], ["00124", D("12.00"), date(2026, 2, 1)]],
    ),
    book(
        "Excel: sums with a binary tail",
        workbook(["item", "price"], ["a", 0.1 + 0.2], ["b", 1.1 * 3], ["c", 19.99]),
        {"item": TEXT, "price": DECIMAL},
        [["a", D("0.3")], ["b", D("3.3")], ["c", D("19.99")]],
    ),
    book(
        "Excel: ids of 15 digits, and numbers of telephones",
        workbook(["id", "phone"], [123456789012345, 79161234567], [400638133393123, 74951234567]),
        {"id": TEXT, "phone": "{type: phone, region: RU}"},
        [["123456789012345", "+79161234567"], ["400638133393123", "+74951234567"]],
    ),
    book(
        "Excel: an id of 18 digits, of which it has lost the last three",
        workbook(["id", "name"], [123456789012345680000, "Ann"], [7, "Bob"]),
        {"id": TEXT, "name": TEXT},
        ["!E+20", ["7", "Bob"]],
    ),
    book(
        "Excel: postcodes that are numbers with a format of zeros",
        workbook(["plz", "ort"], [1067, "Dresden"], [80331, "München"], then=formatted("A", "00000")),
        {"plz": TEXT, "ort": TEXT},
        [["01067", "Dresden"], ["80331", "München"]],
    ),
    book(
        "Excel: shares shown in per cent, prices with a currency",
        workbook(["item", "share"], ["a", 0.15], ["b", 1], then=formatted("B", "0%")),
        {"item": TEXT, "share": DECIMAL},
        [["a", D("0.15")], ["b", D("1")]],
    ),
    book(
        "Excel: days as numbers without a date's format",
        workbook(["name", "born"], ["Ann", 45356], ["Bob", date(2024, 2, 29)]),
        {"name": TEXT, "born": DATE},
        ["!45356", ["Bob", date(2024, 2, 29)]],
    ),
    book(
        "Excel: a time of day where the pipeline wants a day",
        workbook(["name", "day"], ["Ann", datetime(2026, 1, 31, 13, 45)], ["Bob", date(2026, 2, 1)]),
        {"name": TEXT, "day": DOTTED},
        ["!13:45", ["Bob", date(2026, 2, 1)]],
    ),
    book(
        "Excel for the Mac: days counted from 1904",
        workbook(["name", "born"], ["Ann", date(2026, 1, 31)], ["Bob", date(1980, 12, 24)], then=_since_1904),
        {"name": TEXT, "born": DATE},
        [["Ann", date(2026, 1, 31)], ["Bob", date(1980, 12, 24)]],
    ),
    book(
        "Excel: a title and an empty row above the header",
        workbook(["Kundenliste 2026"], [], ["id", "name"], [1, "Ann"], [2, "Bob"]),
        ID_NAME, ANN_BOB,
    ),
    book(
        "Excel: a total below",
        workbook(["artikel", "summe"], ["Stuhl", 12.5], ["Tisch", 7.5], ["Gesamt", 20]),
        {"artikel": TEXT, "summe": DECIMAL},
        [["Stuhl", D("12.5")], ["Tisch", D("7.5")]], says={"skip_footer": 1},
    ),
    book(
        "Excel: a sheet a month",
        workbook(*PEOPLE, then=_two_sheets), ID_NAME, [[3, "Cid"]],
        says={"sheet": "Februar"}, refused="several sheets",
    ),
    book(
        "Excel: lists for its menus on a hidden sheet",
        workbook(*PEOPLE, then=_hidden_sheet), ID_NAME, ANN_BOB,
    ),
    book("Excel: rows that a filter hides", workbook(*PEOPLE, then=_hidden_row), ID_NAME, ANN_BOB),
    book(
        "Excel: a value merged over several rows",
        workbook(["city", "name"], ["Oslo", "Ann"], [None, "Bob"], then=_merged),
        {"city": TEXT, "name": TEXT}, [["Oslo", "Ann"], ["Oslo", "Bob"]],
        says={"merged": "fill"}, refused="merged",
    ),
    book(
        "Excel: formulas, with the values that it keeps",
        patched(workbook(["a", "b"], [1, "=A2*2"], [2, "=A3*2"]), r"<f>A(\d)\*2</f><v\s*/?>(</v>)?",
                r"<f>A\1*2</f><v>4.5</v>"),
        {"a": INT, "b": DECIMAL}, [[1, D("4.5")], [2, D("4.5")]],
    ),
    book(
        "A program: formulas without values",
        workbook(["a", "b"], [1, "=A2*2"], [2, 7]),
        {"a": INT, "b": INT}, ["!formula", [2, 7]],
    ),
    book(
        "Excel: errors of formulas",
        workbook(["name", "city"], ["Ann", "#N/A"], ["Bob", "Oslo"], ["Cid", "#DIV/0!"]),
        {"name": TEXT, "city": TEXT}, ["!#N/A", ["Bob", "Oslo"], "!#DIV/0!"],
    ),
    book(
        "Excel: empty rows in between and formatted ones below",
        workbook(["id", "name"], [1, "Ann"], [None, None], [2, "Bob"], ["", ""], [None, ""]),
        ID_NAME, [[1, "Ann"], "!is a blank line", [2, "Bob"]],
    ),
    book(
        "1C: a title over merged cells, Russian",
        workbook(["Отчёт за декабрь", None, None], ["Контрагент", "Оборот", "Активен"], ["ООО Ромашка", 1234.5, "Да"],
                 ["ИП Ким", 12000, "Нет"], then=_title_merged),
        {"контрагент": TEXT, "оборот": COMMA, "активен": YES_NO_RU},
        [["ООО Ромашка", D("1234.5"), True], ["ИП Ким", D("12000"), False]],
    ),
    book(
        "LibreOffice, German: numbers, days and truth values",
        ods(["Kunde", "Umsatz", "Eintritt", "Aktiv"],
            ["Müller", ("float", "1234.56", "1.234,56"), ("date", "2025-12-31", "31.12.25"),
             ("boolean", "true", "WAHR")],
            ["Groß", ("float", "0.1", "0,10"), ("date", "2026-02-01", "01.02.26"), ("boolean", "false", "FALSCH")]),
        {"kunde": TEXT, "umsatz": GERMAN, "eintritt": DOTTED, "aktiv": "{type: bool}"},
        [["Müller", D("1234.56"), date(2025, 12, 31), True], ["Groß", D("0.1"), date(2026, 2, 1), False]],
        file="rows.ods",
    ),
    book(
        "LibreOffice: texts with zeros in front, an empty cell",
        ods(["id", "name"], ["00123", "Ann"], ["00124", None]),
        {"id": TEXT, "name": "{type: str, optional: true}"}, [["00123", "Ann"], ["00124", None]], file="rows.ods",
    ),
    book(
        "Excel 2003, German",
        xls(["Kunde", "Umsatz", "Eintritt", "Aktiv"], ["Müller", 1234.56, date(2025, 12, 31), True],
            ["Groß", 0.1, date(2026, 2, 1), False]),
        {"kunde": TEXT, "umsatz": GERMAN, "eintritt": DOTTED, "aktiv": "{type: bool}"},
        [["Müller", D("1234.56"), date(2025, 12, 31), True], ["Groß", D("0.1"), date(2026, 2, 1), False]],
        file="rows.xls",
    ),
    book(
        "A workbook that is called CSV",
        workbook(*PEOPLE), ID_NAME, ANN_BOB, file="rows.csv",
    ),
    book(
        "Excel: other names for the columns, from a CRM",
        workbook(["E-Mail", "First name", "Customer since"], ["a@b.de", "Ann", date(2026, 1, 31)],
                 ["c@d.de", "Bob", date(2024, 2, 29)]),
        {"email": r"{type: str, pattern: '[^@\s]+@[^@\s]+'}", "firstName": TEXT, "since": DATE},
        [["a@b.de", "Ann", date(2026, 1, 31)], ["c@d.de", "Bob", date(2024, 2, 29)]],
        called={"email": "E-Mail", "firstName": "First name", "since": "Customer since"},
    ),
]  # fmt: skip
