"""The first rows of a file under given options: what a person looks at to say how it is read."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.errors import FileError
from flows.pipeline.file_form import AS_FOUND, FileForm
from flows.source.preview import CELLS, CHARS, ROWS, Line, look
from tests.harness.workbooks import ods, xls, xlsx

Make = Callable[..., Path]
REPORT = "Отчёт за май\r\n\r\nНомер;Сумма\r\n1;2,5\r\n2;3\r\n"


def written(folder: Path, content: str | bytes, name: str = "f.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_file_is_shown_with_what_was_found(tmp_path: Path) -> None:
    found = look(written(tmp_path, "a;b\n1;x,y\n2;\n"))

    assert (found.form.kind, found.form.encoding, found.form.delimiter, found.form.header_row) == (
        "csv",
        "utf-8",
        ";",
        1,
    )
    assert found.columns == ("a", "b")
    assert found.rows == (("1", "x,y"), ("2", ""))
    assert found.top[0] == Line(1, ("a", "b"))
    assert found.problem == ""


def test_an_encoding_that_nobody_knows_comes_with_the_readings_that_fit(tmp_path: Path) -> None:
    found = look(written(tmp_path, REPORT.encode("cp1251")))

    assert "is not valid utf-8" in found.problem
    assert found.readings[0].encoding == "cp1251"
    assert (found.columns, found.top) == ((), ())


def test_the_rows_above_a_header_are_shown_as_they_stand_with_their_numbers(tmp_path: Path) -> None:
    file = written(tmp_path, REPORT.encode("cp1251"))

    found = look(file, FileForm(encoding="cp1251", header_row=3))

    assert found.columns == ("Номер", "Сумма")
    assert found.rows == (("1", "2,5"), ("2", "3"))
    assert [line.number for line in found.top] == [1, 2, 3, 4, 5]
    assert found.top[2].cells == ("Номер", "Сумма")


def test_names_that_a_pipeline_wants_tell_the_delimiter(tmp_path: Path) -> None:
    file = written(tmp_path, "a|b,c,d\n1|2,3,4\n")

    assert look(file).form.delimiter == ","
    assert look(file, wanted=("a", "b,c,d")).form.delimiter == "|"


@pytest.mark.parametrize(
    ("content", "form", "said"),
    [
        ("a,b\n", FileForm(kind="xlsx"), "is a text file, and was said to be an Excel workbook"),
        ("a,b\n1,2\n", FileForm(header_row=9), "its header was said to stand in line 9"),
        ("a,b\n1,2\n", FileForm(encoding="utf-99"), "is no encoding that is known here"),
        (b"%PDF-1.7 ...", AS_FOUND, "is a PDF document"),
        ('"a,b\n1,2\n', AS_FOUND, "the column names cannot be read"),
        ("", AS_FOUND, "is empty"),
    ],
)
def test_what_is_wrong_is_told_and_not_raised(tmp_path: Path, content: str | bytes, form: FileForm, said: str) -> None:
    assert said in look(written(tmp_path, content), form).problem


@pytest.mark.parametrize("make", [xlsx, xls, ods])
def test_of_a_workbook_every_visible_sheet_is_shown_until_one_is_chosen(tmp_path: Path, make: Make) -> None:
    sheets = {"May": [["Orders of May"], [None], ["number", "city"], [1, "Bonn"]], "June": [["number"], [2]]}
    hidden = {} if make is ods else {"Secret": [["x"]]}  # the maker of .ods hides none
    file = make(tmp_path / f"f.{make.__name__}", sheets | hidden, hidden=list(hidden))

    found = look(file)
    assert "has several sheets with content: May, June" in found.problem
    assert [tab.name for tab in found.sheets] == ["May", "June"]
    assert found.sheets[0].top[0] == Line(1, ("Orders of May",))
    assert found.top == ()
    chosen = look(file, FileForm(sheet="May"), wanted=("number", "city"))

    assert (chosen.problem, chosen.columns, chosen.form.sheet) == ("", ("number", "city"), "May")
    assert (chosen.form.header_row, chosen.rows) == (3, (("1", "Bonn"),))
    assert [line.cells[0] for line in chosen.top if any(line.cells)] == ["Orders of May", "number", "1"]


def test_what_a_packed_workbook_unpacks_to_lies_in_the_folder_for_it(tmp_path: Path) -> None:
    book = xlsx(tmp_path / "f.xlsx", {"May": [["number"], [1]]})
    packed = written(tmp_path, gzip.compress(book.read_bytes()))
    missing = tmp_path / "missing"

    assert look(packed, scratch=missing).rows == ()  # so it is there that the file would lie
    missing.mkdir()

    assert look(packed, scratch=missing).rows == (("1",),)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="there is no such file"):
        look(tmp_path / "gone.csv")


def test_what_is_long_is_cut(tmp_path: Path) -> None:
    wide = ",".join(f"c{n}" for n in range(200))
    found = look(written(tmp_path, f"{wide}\n" + (",".join(["x" * 500] * 200) + "\n") * 60))

    assert len(found.columns) == CELLS
    assert (len(found.rows), len(found.top)) == (ROWS, ROWS)
    assert {len(cell) for row in found.rows for cell in row} == {CHARS}
