"""Workbooks of every kind: which sheet, which row is the header, and what stands in the cells."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import random
import zipfile
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import python_calamine
import xlwt

from flows.delivery.check import CheckResult, check_file
from flows.errors import BadFile, FileError
from flows.origin import Origin, letters
from flows.pipeline.definition import Definition
from flows.pipeline.file_form import said
from flows.pipeline.reading import from_resolved
from flows.records import Rejection
from flows.source.source import open_file
from flows.source.workbook.sheet_values import format_kind
from tests.harness.frames import readable, rejections
from tests.harness.workbooks import MAKERS, raw_xlsx, xlsx

KINDS = pytest.mark.parametrize("kind", list(MAKERS))
HEAD = ["id", "name", "price", "born", "active"]
ROWS = [
    HEAD,
    [1, "Anna", 0.1, date(2024, 3, 1), True],
    [2, "Zoë & <b>", 1234.5, date(1999, 12, 31), False],
    [123456789012345, "00123", -7, date(2000, 2, 29), True],
]
COLUMNS: dict[str, Any] = {
    "id": {"type": "int"},
    "name": {"type": "str"},
    "price": {"type": "decimal", "decimal": ",", "group": "."},
    "born": {"type": "date", "format": "DD.MM.YYYY"},
    "active": {"type": "bool", "map": {"TRUE": True, "FALSE": False}},
}


def defined(columns: dict[str, Any] = COLUMNS, **more: Any) -> Definition:
    request = {"url": "https://api.example.com/rows"}
    data = {"name": "x", "columns": columns, "request": request, "limit": {"name": "x", "in_flight": 1}}
    return from_resolved(data | more)


def read(path: Path, **keys: Any) -> tuple[list[tuple[int, list[str]]], list[tuple[int, str]], tuple[str, ...]]:
    """(line and cells of each row, line and reason of each rejected one, notices)."""
    rows: list[tuple[int, list[str]]] = []
    rejected: list[tuple[int, str]] = []
    with open_file(path, form=said(**keys)) as source:
        for frame in source.frames():
            rows += [(int(frame.lines[at]), frame.cells[at]) for at in readable(frame)]
            rejected += [(each.line, str(each.reasons[0])) for each in rejections(frame)]
        return rows, rejected, source.notices


def cells(path: Path, **keys: Any) -> list[list[str]]:
    return [row for _, row in read(path, **keys)[0]]


def checked(path: Path, definition: Definition, **keys: Any) -> CheckResult:
    return check_file(path, definition, said=said(**keys))


def refusal(path: Path, **keys: Any) -> str:
    with pytest.raises(FileError) as caught:
        read(path, **keys)
    return str(caught.value).removeprefix(f"{path}: ")


@KINDS
def test_typed_cells_are_the_values_that_the_rules_of_their_columns_ask_for(kind: str, tmp_path: Path) -> None:
    path = MAKERS[kind](tmp_path / f"a.{kind}", {"Data": ROWS})

    result = checked(path, defined())

    assert result.rejected == 0, result.samples
    assert [list(row.values.values()) for row in result.first] == [
        [1, "Anna", Decimal("0.1"), date(2024, 3, 1), True],
        [2, "Zoë & <b>", 1234.5, date(1999, 12, 31), False],
        [123456789012345, "00123", -7, date(2000, 2, 29), True],
    ]
    assert (result.kind, result.sheet, result.encoding, result.delimiter) == (kind, "Data", "", "")
    assert [row.line for row in result.first] == [2, 3, 4]


@KINDS
def test_typed_cells_without_rules_are_what_a_person_sees(kind: str, tmp_path: Path) -> None:
    path = MAKERS[kind](tmp_path / f"a.{kind}", {"Data": [["a", "b", "c", "d"], [5.0, 0.1 + 0.2, True, 1e-7]]})

    assert cells(path) == [["5", "0.3", "TRUE", "0.0000001"]]


@KINDS
def test_the_header_is_found_below_a_title_and_said(kind: str, tmp_path: Path) -> None:
    rows = [["Report of March"], [], [None, "id", "name"], [None, 1, "a"], [None, 2, "b"]]
    path = MAKERS[kind](tmp_path / f"a.{kind}", {"Data": rows})

    rows_read, _, notices = read(path)

    assert rows_read == [(4, ["1", "a"]), (5, ["2", "b"])]
    assert notices == ("the header is row 3; what stands above it was passed over",)


def test_the_header_is_the_row_with_the_most_names_of_the_pipeline(tmp_path: Path) -> None:
    rows = [["name", "of the report"], ["made", "by", "us", "all", "!"], HEAD, *ROWS[1:]]
    path = xlsx(tmp_path / "a.xlsx", {"Data": rows})

    result = checked(path, defined())

    assert (result.accepted, result.first[0].line, result.columns) == (3, 4, tuple(HEAD))


@KINDS
def test_the_header_row_rows_above_and_a_footer_may_be_stated(kind: str, tmp_path: Path) -> None:
    rows = [["id", "name"], ["ID", "NAME"], [1, "a"], [2, "b"], [None, None], ["Total", 2], ["signed", "us"]]
    path = MAKERS[kind](tmp_path / f"a.{kind}", {"Data": rows})

    rows_read, rejected, _ = read(path, header_row=2, skip_footer=2)

    assert rows_read == [(3, ["1", "a"]), (4, ["2", "b"])]
    assert rejected == []
    assert cells(path, skip_rows=1, skip_footer=2) == [["1", "a"], ["2", "b"]]


def test_the_same_is_said_of_a_text_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("Report;of;March\n\nid;name\n1;a\n2;b\n\nTotal;2\n\n")

    assert read(path, header_row=3, skip_footer=1)[:2] == ([(4, ["1", "a"]), (5, ["2", "b"])], [])
    assert cells(path, skip_rows=1, skip_footer=1) == [["1", "a"], ["2", "b"]]
    assert refusal(path, header_row=30) == "has 9 lines, and its header was said to stand in line 30"


def test_rows_without_content_are_no_part_of_a_footer(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id;name\n1;a\n2;b\n;\nTotal;2\n; \n")

    assert cells(path, skip_footer=1) == [["1", "a"], ["2", "b"]]


@pytest.mark.parametrize("code", ['0 "days"', "[Red]0.00", "0\\d", "0_d"])
def test_what_a_format_only_shows_beside_a_number_makes_no_date_of_it(code: str) -> None:
    assert format_kind(164, code) == ""


@KINDS
def test_a_blank_row_is_rejected_in_between_and_passed_over_at_the_end(kind: str, tmp_path: Path) -> None:
    rows = [["id", "name"], [1, "a"], [None, None], [2, "b"], [None, None]]
    path = MAKERS[kind](tmp_path / f"a.{kind}", {"Data": rows})

    rows_read, rejected, notices = read(path)

    assert (rows_read, rejected, notices) == ([(2, ["1", "a"]), (4, ["2", "b"])], [(3, "is a blank line")], ())


@KINDS
def test_of_several_sheets_one_must_be_named_by_name_or_position(kind: str, tmp_path: Path) -> None:
    sheets = {"First one": [["a", "b"], [1, 2]], "2": [["a", "b"], [3, 4]], "Empty": [[None]]}
    path = MAKERS[kind](tmp_path / f"a.{kind}", sheets)

    assert refusal(path) == (
        "has several sheets with content: First one, 2\n"
        "Say which one: --sheet 'First one' (in a definition source: {sheet: \"First one\"})."
    )
    assert cells(path, sheet="first one") == [["1", "2"]]
    assert cells(path, sheet="2") == [["3", "4"]]
    assert cells(path, sheet=1) == [["1", "2"]]
    assert refusal(path, sheet="Third") == "has no sheet 'Third'\nIts sheets: First one, 2, Empty."
    assert refusal(path, sheet=4).startswith("has no sheet 4\n")
    assert refusal(path, sheet="Empty").startswith("has nothing in its rows of sheet 'Empty'")


@pytest.mark.parametrize("kind", ["xlsx", "xls"])
def test_hidden_sheets_are_left_out_and_said_and_may_be_named(kind: str, tmp_path: Path) -> None:
    sheets = {"Seen": [["a", "b"], [1, 2]], "Prices": [["a", "b"], [3, 4]]}
    path = MAKERS[kind](tmp_path / f"a.{kind}", sheets, hidden=["Prices"])

    rows, _, notices = read(path)

    assert ([row for _, row in rows], notices) == ([["1", "2"]], ("1 hidden sheet was left out: Prices",))
    assert cells(path, sheet="Prices") == [["3", "4"]]


@KINDS
def test_hidden_rows_are_read_and_said(kind: str, tmp_path: Path) -> None:
    path = MAKERS[kind](tmp_path / f"a.{kind}", {"Data": [["a"], ["1"], ["2"], ["3"]]}, hidden_rows=[3, 4])

    rows, _, notices = read(path)

    assert [row for _, row in rows] == [["1"], ["2"], ["3"]]
    assert notices == ("2 rows of the sheet are hidden (the first is row 3), and read like the others",)


def test_hidden_columns_are_read_and_said(tmp_path: Path) -> None:
    path = xlsx(tmp_path / "a.xlsx", {"Data": [["a", "b"], [1, 2]]}, hidden_columns=["B"])

    rows, _, notices = read(path)

    assert ([row for _, row in rows], notices) == ([["1", "2"]], ("1 column is hidden (B), and read like the others",))


MERGED = {"xlsx": ["A2:A3", "B4:C4"], "xls": [((1, 0), (2, 0)), ((3, 1), (3, 2))]}
MERGED["ods"] = MERGED["xls"]


@KINDS
def test_merged_cells_are_named_and_refused_or_filled(kind: str, tmp_path: Path) -> None:
    rows = [["a", "b", "c"], ["x", 1, 2], [None, 3, 4], ["y", 5, None]]
    path = MAKERS[kind](tmp_path / f"a.{kind}", {"Data": rows}, merged=MERGED[kind])

    assert refusal(path) == (
        "has merged cells in sheet 'Data': A2:A3, B4:C4\n"
        "Unmerge them, or say --merged fill (in a definition source: {merged: fill}): each of them gets the value that "
        "they show."
    )
    assert cells(path, merged="fill") == [["x", "1", "2"], ["x", "3", "4"], ["y", "5", "5"]]


def test_merged_cells_above_the_header_beside_the_table_and_in_its_footer_do_not_matter(tmp_path: Path) -> None:
    rows = [["Title", None], ["a", "b"], [1, 2], ["Total", None]]
    path = xlsx(tmp_path / "a.xlsx", {"Data": rows}, merged=["A1:B1", "A4:B4", "E2:F3"])

    assert cells(path, header_row=2, skip_footer=1) == [["1", "2"]]
    assert refusal(path, header_row=2).startswith("has merged cells in sheet 'Data': A4:B4")


@KINDS
def test_a_value_beside_the_table_rejects_its_row(kind: str, tmp_path: Path) -> None:
    path = MAKERS[kind](tmp_path / f"a.{kind}", {"Data": [["a", "b"], [1, 2], [3, 4, None, "note"]]})

    assert read(path)[1] == [(3, "has a value in D3, where the header names no column")]


FORMULA = '<row r="1"><c r="A1" t="inlineStr"><is><t>a</t></is></c></row><row r="2"><c r="A2"{0}</c></row>'
ODD_CELLS = {
    "a kept value": ("><f>1+1</f><v>2</v>", ["2"], ""),
    "a kept text": (' t="str"><f>A1</f><v>x &amp; y</v>', ["x & y"], ""),
    "no kept value": ("><f>1+1</f>", None, "is a formula without a kept value"),
    "an empty kept value": ("><f>1+1</f><v></v>", None, "is a formula without a kept value"),
    "an error": (' t="e"><f>1/0</f><v>#DIV/0!</v>', None, "is an error of a spreadsheet"),
    "not available": (' t="e"><v>#N/A</v>', None, "is an error of a spreadsheet"),
    "a binary tail": ("><v>0.30000000000000004</v>", ["0.3"], ""),
    "what Excel writes of 0.1": ("><v>0.10000000000000001</v>", ["0.1"], ""),
    "fifteen digits": ("><v>123456789012345</v>", ["123456789012345"], ""),
    "an exponent": ("><v>1.5E+3</v>", ["1500"], ""),
    "a small number": ("><v>1.5E-5</v>", ["0.000015"], ""),
    "seventeen digits of another program": ("><v>12345678901234567</v>", ["12345678901234567"], ""),
    "no number": ("><v>x1</v>", None, "is an error of a spreadsheet"),
    "a boolean": (' t="b"><v>1</v>', ["TRUE"], ""),
    "a carriage return of Excel": (' t="str"><v>a_x000D_b_x005F_</v>', ["a\rb_"], ""),
    "a date as text": (' t="d"><v>2024-03-01</v>', ["2024-03-01"], ""),
    "a rich text": (' t="inlineStr"><is><r><t>a</t></r><r><t>b</t></r><rPh><t>x</t></rPh></is>', ["ab"], ""),
    "CDATA": (' t="str"><v><![CDATA[a<b]]></v>', ["a<b"], ""),
    "a day": (' s="1"><v>45352</v>', ["2024-03-01"], ""),
    "a day with its time": (' s="1"><v>45352.5</v>', ["2024-03-01T12:00:00"], ""),
    "a moment": (' s="2"><v>45352.75</v>', ["2024-03-01T18:00:00"], ""),
    "a time": (' s="3"><v>0.5</v>', ["12:00:00"], ""),
    "a duration": (' s="4"><v>1.5</v>', ["36:00:00"], ""),
    "zeros in front": (' s="5"><v>123</v>', ["00123"], ""),
    "a text before them": (' s="7"><v>17</v>', ["INV-0017"], ""),
    "a text before a number below zero": (' s="7"><v>-17</v>', ["-INV-0017"], ""),
    "a day before days": (' s="1"><v>-1</v>', None, "is a date that a spreadsheet cannot show"),
    "the day that never was": (' s="1"><v>60</v>', None, "is a date that a spreadsheet cannot show"),
    "the first day": (' s="1"><v>1</v>', ["1900-01-01"], ""),
    "the day after the one that never was": (' s="1"><v>61</v>', ["1900-03-01"], ""),
}
STYLES = (
    '<numFmts><numFmt numFmtId="164" formatCode="dd\\.mm\\.yyyy"/><numFmt numFmtId="165" formatCode="[h]:mm:ss"/>'
    '<numFmt numFmtId="166" formatCode="00000"/><numFmt numFmtId="167" formatCode="yyyy/m/d hh:mm"/>'
    '<numFmt numFmtId="168" formatCode="&quot;INV&quot;\\-0000"/></numFmts>'
    '<cellXfs><xf numFmtId="0"/><xf numFmtId="164"/><xf numFmtId="167"/><xf numFmtId="20"/><xf numFmtId="165"/>'
    '<xf numFmtId="166"/><xf numFmtId="0"/><xf numFmtId="168"/></cellXfs>'
)


@pytest.mark.parametrize(("xml", "row", "why"), ODD_CELLS.values(), ids=ODD_CELLS)
def test_what_a_cell_of_an_excel_workbook_holds(xml: str, row: list[str] | None, why: str, tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(raw_xlsx(FORMULA.format(xml), styles=STYLES))

    rows, rejected, _ = read(path)

    assert [found for _, found in rows] == ([row] if row else [])
    assert [reason.startswith(f"a: {why}") for _, reason in rejected] == ([] if row else [True])


@pytest.mark.parametrize("cell", ["><f>1+1</f><v>2</v>", ' t="str"><f>B2</f><v>x</v>'])
def test_values_of_formulas_that_nobody_calculated_are_told_of(cell: str, tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(raw_xlsx(FORMULA.format(cell), book='<calcPr fullCalcOnLoad="1"/>'))

    rows, _, notices = read(path)

    assert len(rows) == 1
    assert ["values of formulas may be old" in each for each in notices] == [True]


@pytest.mark.parametrize("alike", [1, 30_000])
def test_a_zero_of_a_program_that_left_the_calculating_to_excel_is_no_value(alike: int, tmp_path: Path) -> None:
    rows = '<row r="1"><c r="A1" t="inlineStr"><is><t>a</t></is></c></row>'
    for at in range(2, 2 + alike):
        rows += f'<row r="{at}"><c r="A{at}"><f>1+1</f><v>{at % 2 * 2}</v></c></row>'
    counted, uncounted = tmp_path / "a.xlsx", tmp_path / "b.xlsx"
    counted.write_bytes(raw_xlsx(rows))
    uncounted.write_bytes(raw_xlsx(rows, book='<calcPr calcId="124519" fullCalcOnLoad="1"/>'))

    assert len(read(counted)[0]) == alike
    assert read(counted)[2] == ()
    kept, rejected, notices = read(uncounted)
    assert ["values of formulas may be old" in each for each in notices] == ([True] if kept else [])
    assert {tuple(cells) for _, cells in kept} <= {("2",)}
    assert len(rejected) == (alike + 1) // 2
    assert rejected[0][1].startswith("a: is a formula without a kept value")


def test_a_row_whose_formula_has_no_value_is_refused_as_text_too(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(raw_xlsx(FORMULA.format("><f>1+1</f>")))
    refused: list[Rejection] = []
    check_file(path, defined({"a": {"type": "str"}}), on_rejections=refused.extend)
    (tmp_path / "a.csv").write_text("a\n" + "".join(f"{row.cells[0]}\n" for row in refused))

    assert len(refused) == 1
    assert check_file(tmp_path / "a.csv", defined({"a": {"type": "str"}})).accepted == 0


def test_an_error_in_a_column_that_nobody_wants_rejects_nothing(tmp_path: Path) -> None:
    rows = '<row r="1"><c r="A1" t="inlineStr"><is><t>a</t></is></c><c r="B1" t="inlineStr"><is><t>b</t></is></c></row>'
    rows += '<row r="2"><c r="A2"><v>1</v></c><c r="B2" t="e"><v>#N/A</v></c></row>'
    path = tmp_path / "a.xlsx"
    path.write_bytes(raw_xlsx(rows))

    result = check_file(path, defined({"a": {"type": "int"}}))

    assert (result.accepted, result.ignored) == (1, ("b",))


def test_all_cells_of_a_row_that_are_wrong_are_told_at_once_by_the_names_of_the_pipeline(tmp_path: Path) -> None:
    names = "".join(
        f'<c r="{at}1" t="inlineStr"><is><t>{name}</t></is></c>' for at, name in zip("ABC", "pqr", strict=True)
    )
    cells = '<c r="A2" t="e"><v>#N/A</v></c><c r="B2"><f>1+1</f></c><c r="C2"><v>-5</v></c>'
    path = tmp_path / "a.xlsx"
    path.write_bytes(raw_xlsx(f'<row r="1">{names}</row><row r="2">{cells}</row>'))
    columns: dict[str, Any] = {"a": {"type": "str"}, "b": {"type": "int"}, "c": {"type": "int", "min": 0}}
    for column, name in zip(columns.values(), "pqr", strict=True):
        column["from"] = [name]

    (refused,) = checked(path, defined(columns)).samples

    assert [(each.column, each.value) for each in refused.reasons] == [("a", "#N/A"), ("b", "#FORMULA!"), ("c", "-5")]
    assert refused.reasons[1].check.startswith("is a formula without a kept value: ")


@KINDS
def test_notices_and_reasons_say_a_place_as_people_of_sheets_do(kind: str, tmp_path: Path) -> None:
    rows = [["id", "name"], ["1", "NULL"], ["2", "'=1+1"], ["3", "b"], ["3", "c"], ["Total", "d"]]
    path = MAKERS[kind](tmp_path / "rows", {"My orders": rows})

    result = checked(path, defined({"id": {"type": "str", "unique": True}, "name": {"type": "str"}}))

    told = "\n".join([*result.notices, *(str(reason) for each in result.samples for reason in each.reasons)])
    assert "the last row ('My orders'!A6) begins with 'Total'" in told
    assert "(NULL, at 'My orders'!B2)" in told
    assert "guard it against spreadsheets ('My orders'!B3): '=1+1" in told
    assert "must be unique, but 'My orders'!A4 holds it already" in told
    assert " line " not in told


def test_of_several_sheets_the_one_with_the_columns_is_proposed(tmp_path: Path) -> None:
    path = xlsx(
        tmp_path / "a.xlsx", {"Info": [["Made by", "Ada"]], "Data": [["Orders"], HEAD, ROWS[1]], "More": [["id"]]}
    )

    with pytest.raises(FileError, match="Say which one: --sheet Data "):
        checked(path, defined())


SILENT = {
    "digits that are gone": ("><v>4111111111111110</v>", {"type": "str"}),
    "digits that are gone, as a number": ("><v>1.2345678901234567E+19</v>", {"type": "int"}),
    "a bare number for a day": ("><v>45356</v>", {"type": "date"}),
    "a time in a column of days": (' s="1"><v>45352.5</v>', {"type": "date", "format": "DD.MM.YYYY"}),
    "a fraction where thousands have points": ("><v>1.234</v>", {"type": "int", "group": "."}),
    "seconds that the format does not have": (
        ' s="2"><v>45352.00001</v>',
        {"type": "datetime", "format": "DD.MM.YYYY HH:mm"},
    ),
}


@pytest.mark.parametrize(("xml", "column"), SILENT.values(), ids=SILENT)
def test_what_a_column_cannot_say_is_rejected_and_never_another_value(
    xml: str, column: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(raw_xlsx(FORMULA.format(xml), styles=STYLES))

    result = check_file(path, defined({"a": column}))

    assert (result.accepted, result.rejected) == (0, 1)


@KINDS
def test_a_rejected_row_that_is_given_out_as_text_reads_back_as_the_same_values(kind: str, tmp_path: Path) -> None:
    rows = [*ROWS, [4, "x", 0.5, date(2024, 3, 1), "perhaps"]]
    path = MAKERS[kind](tmp_path / f"a.{kind}", {"Data": rows})

    found = checked(path, defined())
    (rejected,) = found.samples
    text = tmp_path / "again.csv"
    text.write_text(";".join(HEAD) + "\n" + ";".join(rejected.cells).replace("perhaps", "TRUE") + "\n")

    assert list(check_file(text, defined()).first[0].values.values()) == [
        4,
        "x",
        Decimal("0.5"),
        date(2024, 3, 1),
        True,
    ]
    assert found.origin.place(rejected.line, "active", found.columns) == "Data!E5"


def test_the_quick_way_and_the_parser_of_xml_read_the_same(tmp_path: Path) -> None:
    strings = '<si><t>a</t></si><si><t xml:space="preserve"> b &#38; c</t></si><si/><si><t>d_x000D_</t></si>'
    plain = '<row r="1" spans="1:3"><c r="A1" t="s"><v>0</v></c><c r="B1" t="inlineStr"><is><t>h</t></is></c></row>'
    for at in range(2, 60):
        hidden = ' hidden="1"' if at % 7 == 0 else ""
        cells_of = f'<c r="A{at}" t="s"><v>{at % 4}</v></c><c r="B{at}" s="{at % 6}"><v>{at}</v></c>'
        plain += f'<row r="{at * 2}"{hidden}>{cells_of}</row><row r="{at * 2 + 1}"/>'
    both = []
    for name, rows in (("quick", plain), ("slow", plain.replace("</c></row>", "</c><!-- odd --></row>"))):
        path = tmp_path / f"{name}.xlsx"
        path.write_bytes(raw_xlsx(rows, strings=strings if name == "quick" else strings + "<!-- -->", styles=STYLES))
        both.append(read(path))

    assert both[0] == both[1]
    assert len(both[0][0]) == 58


def test_rows_that_are_alike_are_read_like_single_cells(tmp_path: Path) -> None:
    """Enough rows for more than one stretch, with holes, other kinds of cells and blank rows here and there."""
    chance = random.Random(7)
    rows = '<row r="1">' + "".join(f'<c r="{name}1" t="str"><v>{name}</v></c>' for name in "ABCD") + "</row>"
    wanted: list[tuple[int, list[str]]] = []
    blank: list[int] = []
    for line in range(2, 30_000):
        dice = chance.random()
        if dice < 0.002:
            blank.append(line)
            continue
        day, share = 45_000 + line % 900, line % 97 / 8
        found = [f"{line}", f"t{line} & <", f"{share:g}", (date(1899, 12, 30) + timedelta(day)).isoformat()]
        made = [
            f'<c r="A{line}"><v>{line}</v></c>',
            f'<c r="B{line}" t="inlineStr"><is><t>t{line} &amp; &lt;</t></is></c>',
            f'<c r="C{line}"><f>A{line}/8</f><v>{share!r}</v></c>',
            f'<c r="D{line}" s="1"><v>{day}</v></c>',
        ]
        if dice < 0.02:
            hole = chance.randrange(1, 4)
            made[hole], found[hole] = "", ""
        elif dice < 0.04:
            made[2], found[2] = f'<c r="C{line}" t="b"><v>1</v></c>', "TRUE"
        rows += f'<row r="{line}" spans="1:4">{"".join(made)}</row>'
        wanted.append((line, found))
    path = tmp_path / "a.xlsx"
    path.write_bytes(raw_xlsx(rows, styles=STYLES))

    rows_read, rejected, _ = read(path)

    assert rows_read == wanted
    assert rejected == [(line, "is a blank line") for line in blank if line < wanted[-1][0]]


def test_prefixes_before_the_names_are_read(tmp_path: Path) -> None:
    made = raw_xlsx(FORMULA.format("><v>1</v>"))
    path = tmp_path / "a.xlsx"
    path.write_bytes(made)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = parts["xl/sheet.xml"].replace(b"</", b"</x:")
    for name in (b"worksheet", b"sheetData", b"row", b"c", b"v", b"is", b"t"):
        sheet = sheet.replace(b"<" + name + b" ", b"<x:" + name + b" ").replace(
            b"<" + name + b">", b"<x:" + name + b">"
        )
    parts["xl/sheet.xml"] = sheet.replace(b"xmlns=", b"xmlns:x=")
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)

    assert cells(path) == [["1"]]


def test_many_texts_are_kept_beside_the_workbook(tmp_path: Path) -> None:
    count = 5000
    strings = "".join(f"<si><t>{at:05} {'x' * 4000}</t></si>" for at in range(count))
    rows = "".join(f'<row r="{at + 1}"><c r="A{at + 1}" t="s"><v>{at}</v></c></row>' for at in range(count))
    path = tmp_path / "a.xlsx"
    path.write_bytes(raw_xlsx(rows, strings=strings))

    assert [row[0][:5] for row in cells(path)] == [f"{at:05}" for at in range(1, count)]


def test_a_packed_workbook_is_read(tmp_path: Path) -> None:
    plain = xlsx(tmp_path / "a.xlsx", {"Data": ROWS})
    packed = tmp_path / "a.xlsx.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))

    assert cells(packed) == cells(plain)


def test_a_workbook_of_before_1904_counts_from_there(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    book = openpyxl.Workbook()
    book.epoch = datetime(1904, 1, 1)
    book.active.append(["a"])
    book.active.append([date(2024, 3, 1)])
    book.save(path)

    assert cells(path) == [["2024-03-01T00:00:00"]] or cells(path) == [["2024-03-01"]]


def test_what_is_said_of_other_kinds_is_passed_over_and_said(tmp_path: Path) -> None:
    path = xlsx(tmp_path / "a.xlsx", {"Data": ROWS})

    assert (
        "encoding and delimiter of `source` say nothing of an Excel workbook, and were passed over"
        in read(path, encoding="cp1252", delimiter=";")[2]
    )
    with pytest.raises(BadFile, match="is an Excel workbook, and was said to be a text file"):
        read(path, kind="csv")


def test_a_file_is_read_again_as_it_was_read(tmp_path: Path) -> None:
    sheets = {"A": [["x"], ["Title"], HEAD, *ROWS[1:]], "B": ROWS}
    path = xlsx(tmp_path / "a.xlsx", sheets)
    first = checked(path, defined(), sheet="A")

    again = check_file(path, defined(), said=first.form)

    assert again.first == first.first
    assert first.form.stated == {
        "kind": "xlsx", "encoding": first.form.encoding, "apostrophes": "ask", "sheet": "A", "header_row": 3
    } or first.form.stated.items() >= {"kind": "xlsx", "sheet": "A", "header_row": 3}.items()  # fmt: skip


VALUES = [
    [1, 0.1, "text", date(2024, 3, 1), True],
    [-3, 1e10, "ünï 😀", date(1950, 1, 1), False],
    [0, 123.456, "  blanks  ", date(9999, 12, 31), None],
    [999999999999999, 1e-6, "line\nfeed", None, True],
]


@KINDS
def test_another_reader_finds_the_same(kind: str, tmp_path: Path) -> None:
    path = MAKERS[kind](tmp_path / f"a.{kind}", {"Data": [HEAD, *VALUES]})
    other = python_calamine.CalamineWorkbook.from_path(str(path)).get_sheet_by_name("Data").to_python()

    with open_file(path) as source:
        found = [row for frame in source.frames() for row in frame.cells]

    def seen(value: Any) -> str:
        if isinstance(value, bool):
            return str(value).upper()
        return f"{value:.15g}" if isinstance(value, float | int) else str(value)

    for row, theirs in itertools.zip_longest(found, other[1:]):
        ours = [f"{float(cell):.15g}" if at in (0, 1) else cell for at, cell in enumerate(row)]
        assert ours == [seen(value) for value in theirs]


def test_a_file_that_was_given_out_is_read_from_its_first_row_whatever_the_definition_says(tmp_path: Path) -> None:
    definition = defined({"a": {"type": "int"}, "b": {"type": "str"}}, source={"kind": "xlsx", "header_row": 3})
    rows = [["reason (rowrelay)", "a", "b"], ["wrong", 1, "'=x"], ["wrong", 2, "y"]]
    book = xlsx(tmp_path / "a.xlsx", {"Corrected": rows})
    text = tmp_path / "a.csv"
    text.write_text("\ufeffreason (rowrelay),a,b\r\nwrong,1,'=x\r\nwrong,2,y\r\n", encoding="utf-8")

    both = [check_file(path, definition) for path in (book, text)]

    assert [[row.values for row in each.first] for each in both] == [[{"a": 1, "b": "=x"}, {"a": 2, "b": "y"}]] * 2


def test_every_cell_has_a_place(tmp_path: Path) -> None:
    rows = [[None, "Nr", "Wert"], [None, 1, "x"]]
    path = xlsx(tmp_path / "a.xlsx", {"Über uns": rows})
    definition = defined({"value": {"type": "int", "from": ["Wert"]}, "Nr": {"type": "int"}})

    found = check_file(path, definition)
    (rejected,) = found.samples

    assert found.place(rejected.line, "value") == "'Über uns'!C2"
    assert found.place(rejected.line, "") == "'Über uns'!B2"
    assert Origin().place(17, "value") == "line 17"
    assert Origin("json", path="data").place(17, "price") == "data[16].price"
    assert [letters(at) for at in (0, 25, 26, 701, 702)] == ["A", "Z", "AA", "ZZ", "AAA"]


def test_a_row_that_holds_a_value_already_is_named_by_its_place(tmp_path: Path) -> None:
    path = xlsx(tmp_path / "a.xlsx", {"Data": [["a"], [1], [2], [1]]})

    (rejected,) = check_file(path, defined({"a": {"type": "int", "unique": True}})).samples

    assert str(rejected.reasons[0]) == "a: must be unique, but Data!A2 holds it already (found '1')"


def test_formulas_of_an_old_workbook_that_show_nothing_are_told_of(tmp_path: Path) -> None:
    book = xlwt.Workbook()
    sheet = book.add_sheet("Data")
    for at, cells in enumerate([["a", "b"], [1, xlwt.Formula("A2*2")], [2, "x"]]):
        for column, cell in enumerate(cells):
            sheet.write(at, column, cell)
    book.save(str(tmp_path / "a.xls"))

    found = check_file(tmp_path / "a.xls", defined({"a": {"type": "int"}, "b": {"type": "str", "optional": True}}))

    assert [row.values for row in found.first] == [{"a": 1, "b": None}, {"a": 2, "b": "x"}]
    assert "1 formula shows nothing (the first is B2), which is read as an empty cell" in found.notices


def test_a_number_that_is_shown_with_more_is_the_number_in_a_column_of_numbers(tmp_path: Path) -> None:
    rules: dict[str, dict[str, Any]] = {
        "int": {"type": "int"}, "grouped": {"type": "int", "group": "."},
        "decimal": {"type": "decimal", "decimal": ","}, "float": {"type": "float"},
        "json": {"type": "json"}, "str": {"type": "str"},
        "mapped": {"type": "int", "map": {"INV-0017": 1}, "other": "keep"},
    }  # fmt: skip
    path = xlsx(tmp_path / "a.xlsx", {"Data": [list(rules), [17] * len(rules), [1018] * len(rules)]})
    book = openpyxl.load_workbook(path)
    for row in book["Data"].iter_rows(min_row=2):
        for cell in row:
            cell.number_format = '"INV-"0000'
    book.save(path)

    found = check_file(path, defined(rules))

    assert found.rejected == 0
    assert [list(row.values.values()) for row in found.first] == [
        [17, 17, Decimal(17), 17.0, 17, "INV-0017", 1],
        [1018, 1018, Decimal(1018), 1018.0, 1018, "INV-1018", 1018],
    ]


def test_what_a_packed_workbook_unpacks_to_lies_in_the_folder_for_it(tmp_path: Path) -> None:
    """The system's folder may be one in memory, as in the containers."""
    path, scratch = xlsx(tmp_path / "a.xlsx", {"Data": [["a"], *([row] for row in range(300))]}), tmp_path / "scratch"
    packed = tmp_path / "a.xlsx.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    scratch.mkdir()
    held: list[str] = []

    def look(rows: int, done: int, total: int) -> None:
        for each in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # the one by which they are listed
                held.append(str(each.readlink()))

    check_file(packed, defined({"a": {"type": "int"}}), scratch=scratch, on_progress=look)

    assert [name for name in held if name.startswith(str(scratch)) and name.endswith("(deleted)")]
    assert list(scratch.iterdir()) == []
