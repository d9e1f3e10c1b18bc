"""Cells that are written in a column's own way arrive as they were meant, or their rows are rejected."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from babel.dates import format_date
from babel.numbers import format_decimal
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.delivery.check import CheckResult, check_file
from flows.errors import FileError
from flows.pipeline.column import Column
from flows.pipeline.date_form import DateForm
from flows.pipeline.definition import Definition
from flows.pipeline.number_form import NumberForm
from flows.pipeline.reader import form_of, writer
from flows.pipeline.reading import from_resolved, load
from flows.pipeline.rendering import Rendering
from flows.schema.schema import Checker
from flows.spool.stored import to_rows, to_table
from tests.harness.examples import examples

Check = Callable[..., CheckResult]


def defined(folder: Path, *columns: str) -> Definition:
    path = folder / "own.yaml"
    text = "".join(f"  {column}\n" for column in columns)
    path.write_text(
        f"name: own\ncolumns:\n{text}request: {{url: 'https://api.example.com/'}}\n"
        "limit: {name: own, requests: 7, window_seconds: 1}\n"
    )
    return load(path)


def values(folder: Path, column: str, *cells: str) -> list[Any]:
    """What becomes of each cell, through the check and the spool: its value, or the reasons of its row."""
    with Checker(defined(folder, f"c: {column}"), folder=folder) as checker:
        text = pd.DataFrame({"c": list(cells)}, dtype="str")
        checked = checker.check(text, np.arange(len(cells)) + 2)
    at = checked.values.index.to_numpy()
    rows = {row.row: row.values["c"] for row in to_rows(to_table(checked.values, at, at))}
    return [rows[each] if each in rows else checked.reasons[each] for each in range(len(cells))]


D = Decimal
READINGS: list[tuple[str, list[str], list[Any]]] = [
    ('{type: decimal, decimal: ","}', ["1,50", "-,5", "+1,", " 12 "], [D("1.50"), D("-.5"), D("1"), D(12)]),
    ('{type: decimal, decimal: ",", group: "."}', ["1.234.567,890", "1234,5", "-12.000"],
     [D("1234567.890"), D("1234.5"), D(-12000)]),
    ('{type: decimal, decimal: ",", group: " "}', ["1 234,50", "1\u00a0234,50", "1\u202f234\u00a0567", "0,435"],
     [D("1234.50"), D("1234.50"), D(1234567), D("0.435")]),
    ('{type: decimal, group: ","}', ["1,234.50", "0.435"], [D("1234.50"), D("0.435")]),
    ("{type: decimal, group: \"'\"}", ["1'234.50", "1’234.50"], [D("1234.50")] * 2),
    ('{type: int, group: "."}', ["1.234", "-12.345.678", "7"], [1234, -12345678, 7]),
    ('{type: float, decimal: ","}', ["1,5", "-0,25"], [1.5, -0.25]),
    ("{type: date, format: DD.MM.YYYY}", ["01.02.2026", " 31.12.1999 "], [date(2026, 2, 1), date(1999, 12, 31)]),
    ("{type: date, format: M/D/YYYY}", ["1/2/2026", "01/02/2026", "12/31/2026"],
     [date(2026, 1, 2), date(2026, 1, 2), date(2026, 12, 31)]),
    ("{type: date, format: YYYYMMDD}", ["20260131"], [date(2026, 1, 31)]),
    ("{type: date, format: DD.MM.YY, first_year: 1950}", ["01.02.49", "01.02.50", "01.02.99", "01.02.00"],
     [date(2049, 2, 1), date(1950, 2, 1), date(1999, 2, 1), date(2000, 2, 1)]),
    ("{type: datetime, format: 'M/D/YYYY h:mm A'}", ["1/31/2026 12:05 AM", "1/31/2026 12:05 pm", "1/31/2026 1:45 PM"],
     [datetime(2026, 1, 31, 0, 5), datetime(2026, 1, 31, 12, 5), datetime(2026, 1, 31, 13, 45)]),
    ("{type: datetime, format: 'DD.MM.YYYY HH:mm:ss Z'}", ["31.01.2026 13:45:09 +05:30", "31.01.2026 13:45:09 Z"],
     [datetime(2026, 1, 31, 13, 45, 9, tzinfo=timezone(timedelta(hours=5, minutes=30))),
      datetime(2026, 1, 31, 13, 45, 9, tzinfo=UTC)]),
    ("{type: bool, map: {yes: true, no: false, on: true, off: false, '1': true, '': false}}",
     ["yes", "no", "on", "off", "1", "", " yes "], [True, False, True, False, True, False, True]),
    ("{type: str, map: {Germany: DE, Österreich: AT}, other: keep}", ["Germany", "Österreich", "FR"],
     ["DE", "AT", "FR"]),
    ("{type: str, map: {Germany: DE}, other: XX}", ["Germany", "Gemrany"], ["DE", "XX"]),
    ("{type: int, map: {n/a: null, none: 0}, other: keep, optional: true}", ["n/a", "none", "7", ""],
     [None, 0, 7, None]),
    ("{type: int, map: {n/a: null}, other: keep, default: 5}", ["n/a", "", "7"], [5, 5, 7]),
    ('{type: list, split: ";"}', ["a;b", "a ; b", "a"], [["a", "b"], ["a", "b"], ["a"]]),
    ("{type: list}", ['["a", 1.10, null]', "[]"], [["a", D("1.10"), None], []]),
    ("{type: json}", ['{"a": [1.10, 12345678901234567890123]}', '"x"', "1.10", "true", "123456789012345678901"],
     [{"a": [D("1.10"), 12345678901234567890123]}, "x", D("1.10"), True, 123456789012345678901]),
    ("{type: json}", ["1", "18446744073709551616"], [1, 2**64]),
    ("{type: phone}", ["+49 30 123456", "+49 (0)30 123456"], ["+4930123456"] * 2),
    ("{type: phone, region: DE}", ["030/123456", "0049 30 123456", "+44 20 7946 0958", "030 12 34\u00a056"],
     ["+4930123456", "+4930123456", "+442079460958", "+4930123456"]),
    ("{type: phone, region: US}", ["(201) 555-0123", "1 201 555 0123"], ["+12015550123"] * 2),
    ("{type: str, trim: true}", [" a\u00a0", "\u200ba\u3000", "a b"], ["a", "a", "a b"]),
    ("{type: int, trim: true}", ["\u00a07\u200b"], [7]),
    ("{type: str, trim: true, optional: true}", ["\u00a0"], [None]),
    ("{type: int, default: 0}", ["", " ", "7"], [0, 0, 7]),
    ("{type: str, default: DE}", ["", "AT"], ["DE", "AT"]),
    ("{type: bool, default: false, optional: true}", ["", "true"], [False, True]),
    ("{type: date, default: 2026-01-31}", [""], [date(2026, 1, 31)]),
    ("{type: decimal, default: 0.10}", [""], [D("0.1")]),
    ("{type: list, split: ',', default: []}", ["", "a"], [[], ["a"]]),
    ("{type: json, default: {a: 1}}", [""], [{"a": 1}]),
    ("{type: str, as_written: true}", ["#N/A", "1.2E+11"], ["#N/A", "1.2E+11"]),
    ("{type: str, one_of: ['#N/A', x]}", ["#N/A"], ["#N/A"]),
    ("{type: float}", ["1.2E+11"], [1.2e11]),
]  # fmt: skip


@pytest.mark.parametrize(("column", "cells", "wanted"), READINGS, ids=[column for column, *_ in READINGS])
def test_cells_become_what_they_mean(tmp_path: Path, column: str, cells: list[str], wanted: list[Any]) -> None:
    made = values(tmp_path, column, *cells)

    assert made == wanted
    assert [type(value) for value in made] == [type(value) for value in wanted]
    assert [str(value) for value in made] == [str(value) for value in wanted]


@pytest.mark.parametrize(("column", "cells", "wanted"), READINGS, ids=[column for column, *_ in READINGS])
def test_a_stored_definition_reads_cells_as_its_file_did(
    tmp_path: Path, column: str, cells: list[str], wanted: list[Any]
) -> None:
    definition = defined(tmp_path, f"c: {column}")
    stored = from_resolved(json.loads(json.dumps(definition.resolved())))

    assert stored == definition
    assert stored.digest() == definition.digest()


@pytest.mark.parametrize(("column", "cells", "wanted"), READINGS, ids=[column for column, *_ in READINGS])
def test_a_value_is_written_so_that_it_is_read_as_the_same_again(
    tmp_path: Path, column: str, cells: list[str], wanted: list[Any]
) -> None:
    write = writer(defined(tmp_path, f"c: {column}").columns["c"])

    assert values(tmp_path, column, *map(write, wanted)) == wanted


def test_a_definition_without_such_keys_is_stored_as_it_always_was(tmp_path: Path) -> None:
    stored = defined(tmp_path, "c: {type: int}").resolved()["columns"]["c"]

    assert stored.keys() == {"type", "min", "max", "min_length", "max_length", "pattern", "one_of", "blank", "optional",
                             "unique"}  # fmt: skip


def test_what_a_json_cell_says_goes_out_digit_by_digit(tmp_path: Path) -> None:
    (value,) = values(tmp_path, "{type: json}", '{"a": 0.1, "b": [1.10, 1e3, 12345678901234567890123.5]}')
    rendering = Rendering.of(defined(tmp_path, "c: {type: json}"))

    assert rendering.make_content({"c": value}) == b'{"c":{"a":0.1,"b":[1.10,1E+3,12345678901234567890123.5]}}'


# A number or a date that another program wrote is the same again, or it is refused: never another one.

LOCALES = {
    "de": (",", "."), "en": (".", ","), "fr": (",", " "), "de_CH": (".", "'"), "ru": (",", " "), "pl": (",", " "),
    "es": (",", "."), "en_IN": (".", ","), "sv": (",", " "), "pt_PT": (",", " "),
}  # fmt: skip
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=3)
FORMS = st.tuples(st.sampled_from(".,"), st.sampled_from(["", ".", ",", " ", "'", "_"])).filter(
    lambda form: form[0] != form[1]
)


@settings(max_examples=examples(400))
@given(NUMBERS, st.sampled_from(sorted(LOCALES)), st.booleans())
def test_a_number_that_a_locale_prints_is_read_as_that_number(number: Decimal, locale: str, grouped: bool) -> None:
    text = format_decimal(number, locale=locale, decimal_quantization=False, group_separator=grouped)
    try:
        read = NumberForm("decimal", *LOCALES[locale]).read(text)
    except ValueError:
        assert locale not in ("de", "en", "fr", "ru")  # others have another minus, or other groups
    else:
        assert read == number


@settings(max_examples=examples(600))
@given(NUMBERS | st.integers(-(10**9), 10**9).map(Decimal), FORMS, FORMS)
def test_a_number_in_a_form_is_never_another_number_in_the_same_form(
    number: Decimal, form: tuple[str, str], other: tuple[str, str]
) -> None:
    text = f"{number:,f}".replace(".", "\0").replace(",", form[1]).replace("\0", form[0])
    assert NumberForm("decimal", *form).read(text) == number
    try:
        read = NumberForm("decimal", *other).read(text)
    except ValueError:
        return
    # Whoever states another form means another number only where the text is one of that form, sign by sign.
    again = f"{read:,f}".replace(".", "\0").replace(",", other[1]).replace("\0", other[0])
    plain = f"{read:f}".replace(".", other[0])
    assert text.removesuffix(other[0]) in (again, plain)


@settings(max_examples=examples(400))
@given(st.dates(min_value=date(1000, 1, 1)), st.sampled_from(["DD.MM.YYYY", "MM/DD/YYYY", "D.M.YYYY", "YYYY-DD-MM"]))
def test_a_date_that_another_program_prints_is_read_as_that_date(day: date, form: str) -> None:
    text = format_date(day, form.replace("DD", "dd").replace("D", "d").replace("YYYY", "yyyy"), locale="en")

    assert DateForm.of("date", form).read(text) == day
    assert DateForm.of("date", form).write(day) == text


@settings(max_examples=examples(300))
@given(st.dates(min_value=date(1000, 1, 1)), st.sampled_from(["de", "en_GB", "ru", "fr", "nl"]))
def test_day_and_month_are_never_swapped(day: date, locale: str) -> None:
    text = format_date(day, "short", locale=locale)  # 31.01.26, 31/01/2026, 31-01-2026 …
    for form in ("DD.MM.YYYY", "DD/MM/YYYY", "DD-MM-YYYY"):
        try:
            read = DateForm.of("date", form).read(text)
        except ValueError:
            continue
        assert read == day


@settings(max_examples=examples(200))
@given(st.dates(min_value=date(1930, 1, 1), max_value=date(2029, 12, 31)))
def test_two_digits_mean_the_hundred_years_that_were_stated(day: date) -> None:
    assert DateForm.of("date", "DD.MM.YY", 1930).read(day.strftime("%d.%m.%y")) == day


@settings(max_examples=examples(300))
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
                    max_leaves=6))  # fmt: skip
def test_json_is_read_as_the_json_that_it_is(made: Any) -> None:
    form = form_of(Column(type="json"))
    assert form is not None

    assert form.read(json.dumps(made)) == made


# Names.

NAMED = ("email: {type: str, from: [E-mail, 'Адрес почты']}", "id: {type: int}")


@pytest.mark.parametrize("header", ["email,id", "E-mail,id", "адрес почты ,ID", "id,e-MAIL"])
def test_a_column_is_found_by_any_of_its_names(tmp_path: Path, header: str) -> None:
    (tmp_path / "f.csv").write_text(f"{header}\n1,1\n", encoding="utf-8")

    result = check_file(tmp_path / "f.csv", defined(tmp_path, *NAMED))

    assert (result.accepted, result.ignored) == (1, ())
    assert result.first[0].values == {"email": "1", "id": 1}


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("email,E-mail,id", "more than once: email (as 'email' and as 'E-mail')"),
        ("Адрес почты,id,E-mail", "more than once: email (as 'Адрес почты' and as 'E-mail')"),
        ("E-mail,id,E-mail", "more than once: email\n"),
    ],
)
def test_two_columns_of_the_file_that_are_one_are_refused_by_name(tmp_path: Path, header: str, said: str) -> None:
    (tmp_path / "f.csv").write_text(f"{header}\n1,1,1\n", encoding="utf-8")

    with pytest.raises(FileError, match="its columns are not those") as refused:
        check_file(tmp_path / "f.csv", defined(tmp_path, *NAMED))

    assert said in str(refused.value) + "\n"


def test_another_name_decides_what_separates_the_cells(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("a,b,c;E-mail;id\nx;y;1\n", encoding="utf-8")

    assert check_file(tmp_path / "f.csv", defined(tmp_path, *NAMED)).delimiter == ";"
