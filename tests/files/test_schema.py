"""Every bad row is found, with every reason in plain words; good rows come out typed."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandera.errors import SchemaErrors

from flows.errors import DefinitionError
from flows.pipeline.definition import Definition
from flows.pipeline.reading import load
from flows.schema import cell
from flows.schema.model_rules import of_model
from flows.schema.schema import Checked, Checker
from flows.spool.stored import to_rows, to_table
from tests.harness.examples import examples

Define = Callable[..., Definition]


@pytest.fixture
def define(tmp_path: Path) -> Define:
    def make(columns: str = "", *, schema: str = "") -> Definition:
        path = tmp_path / "pipeline.yaml"
        what = f"schema: {schema}" if schema else "columns:\n" + "".join(f"  {line}\n" for line in columns.split("\n"))
        path.write_text(
            f"name: test\n{what}\nrequest: {{url: 'http://127.0.0.1:9/', method: GET}}\n"
            "limit: {name: test, in_flight: 1}\n"
        )
        return load(path)

    return make


def check(
    definition: Definition, folder: Path, *rows: list[str], size: int = 20_000
) -> tuple[list[Any], dict[int, list[str]]]:
    """(values of the good rows, reasons of the others by row), rows counted from 0."""
    good, bad = [], {}
    with Checker(definition, folder=folder) as checker:
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            text = pd.DataFrame(part, columns=list(checker.wanted), dtype="str")
            checked: Checked = checker.check(text, np.arange(start, start + len(part)) + 2)
            at = checked.values.index.to_numpy()
            good += [list(row.values.values()) for row in to_rows(to_table(checked.values, at, at))]
            bad |= {start + at: [str(reason) for reason in reasons] for at, reasons in checked.reasons.items()}
            assert len(checked.values) + len(checked.reasons) == len(part)
    return good, bad


READINGS = [
    ("int", ["7", " 7 ", "-7", "\t0", "-0", "9223372036854775807", "-9223372036854775808"],
     [7, 7, -7, 0, 0, 2**63 - 1, -(2**63)]),
    ("float", ["1", "1.5", "-.5", "5.", "+1e3", "1E-2", " 0.1 ", "007.5", "9007199254740992", "1e23"],
     [1.0, 1.5, -0.5, 5.0, 1000.0, 0.01, 0.1, 7.5, 2.0**53, 1e23]),
    ("decimal", ["1", "1.50", "-.5", " 12345678901234567890.123456789012345678 ", "+12.50", "0.5"],
     [Decimal("1"), Decimal("1.50"), Decimal("-.5"), Decimal("12345678901234567890.123456789012345678"),
      Decimal("12.50"), Decimal("0.5")]),
    ("str", ["a", "", " a ", "NA", "null", "007"], ["a", "", " a ", "NA", "null", "007"]),
    ("bool", ["true", "FALSE", "1", "0", "Yes", " no ", "t", "F"], [True, False] * 4),
    ("date", ["2024-02-29", " 0001-01-01 "], [date(2024, 2, 29), date(1, 1, 1)]),
    ("datetime", ["2024-02-29T13:45", "2024-02-29 13:45:01.25", "2024-02-29T13:45:00Z", "2024-02-29T13:45:00+05:30",
                  "2024-01-31 13:45:31.5+01", "2024-01-31 13:45:31-0330"],
     [datetime(2024, 2, 29, 13, 45), datetime(2024, 2, 29, 13, 45, 1, 250_000),
      datetime(2024, 2, 29, 13, 45, tzinfo=UTC),
      datetime(2024, 2, 29, 13, 45, tzinfo=timezone(timedelta(hours=5, minutes=30))),
      datetime(2024, 1, 31, 13, 45, 31, 500_000, tzinfo=timezone(timedelta(hours=1))),
      datetime(2024, 1, 31, 13, 45, 31, tzinfo=timezone(-timedelta(hours=3, minutes=30)))]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "texts", "values"), READINGS, ids=[case[0] for case in READINGS])
def test_good_cells_become_values_of_their_type(
    define: Define, tmp_path: Path, kind: str, texts: list[str], values: list[Any]
) -> None:
    good, bad = check(define(f"c: {{type: {kind}}}"), tmp_path, *([text] for text in texts))

    assert (good, bad) == ([[value] for value in values], {})
    assert [type(row[0]) for row in good] == [type(value) for value in values]
    assert [str(row[0]) for row in good] == [str(value) for value in values]


INT64 = "must be a whole number between -9223372036854775808 and 9223372036854775807"
REFUSALS = [
    ("int", "must be a whole number", ["x", "1_000", "1.0", "1e3", "٣", "1 000", "--1", "+", "0x1f", "½", "1\n"]),
    ("int", INT64, ["9223372036854775808", "-9223372036854775809", "9" * 5000]),
    *((kind, "must not begin with a plus or a zero: write the number without, or make the column str",
       ["007", "02134", "+7", "+4930123456", "-01", "00", "0" * 5000 + "1"]) for kind in ("int", "float", "decimal")),
    ("float", "must be a number whose digits a float keeps (some 15): make the column decimal, or int",
     ["9007199254740993", "-12345678901234567890", "9007199254740992.5"]),
    ("float", "must be a number", ["x", "nan", "inf", "-Infinity", "1,5", "1_0.0", "٣.0", "1e", ".", "0x1p3"]),
    ("float", "must be a number of ordinary size", ["1e999", "-1e999"]),
    ("decimal", "must be a decimal number such as 12.50", ["x", "1e3", "NaN", "1,5", "1_0", "٣", "."]),
    ("bool", "must be true or false (also: t, f, yes, no, 1, 0)", ["y", "2", "on", "truе", "tru"]),
    ("date", "must be a date such as 2026-01-31",
     ["2024-02-30", "20240131", "2024-W05-3", "31.01.2024", "2024-1-3", "0000-01-01"]),
    ("datetime", "must be a date and time such as 2026-01-31T13:45:00+01:00",
     ["2024-01-31", "2024-01-31T25:00", "2024-01-31T13", "2024-01-31T13:45+1", "2024-01-31T13:45+25",
      "13:45", "2024-01-31T13:45:00.1234567",
      "2024-02-30T13:45", "now"]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "words", "texts"), REFUSALS)
def test_cells_that_a_person_would_not_read_so_are_refused(
    define: Define, tmp_path: Path, kind: str, words: str, texts: list[str]
) -> None:
    good, bad = check(define(f"c: {{type: {kind}}}"), tmp_path, *([text] for text in texts))

    assert good == []
    assert set(bad) == set(range(len(texts)))
    for at, text in enumerate(texts):
        shown = text if len(text) <= 80 else text[:79] + "…"
        assert bad[at] == [f"c: {words} (found {shown!r})"]


CHECKS = [
    ("{type: int, min: 1}", "1", "0", "must be at least 1"),
    ("{type: int, max: 5}", "5", "6", "must be at most 5"),
    ("{type: int, one_of: [1, 3]}", " 3", "2", "must be one of 1, 3"),
    ("{type: float, min: 0.5}", "0.5", "0.4", "must be at least 0.5"),
    ("{type: decimal, min: 0.1, max: 0.3}", "0.30", "0.31", "must be at most 0.3"),
    ("{type: decimal, one_of: [1.5]}", "1.50", "1.51", "must be one of 1.5"),
    ("{type: str, blank: false}", " a", " \t\u3000", "must not be blank"),
    ("{type: str, min_length: 2}", "üü", "ü", "must have at least 2 characters"),
    ("{type: str, max_length: 1}", "ü", "üü", "must have at most 1 character"),
    ("{type: str, pattern: '[A-Z]{2}'}", "AB", "ABC", "must match [A-Z]{2}"),
    ("{type: str, pattern: '(?!x)\\w+'}", "é", "xa", "must match (?!x)\\w+"),
    ("{type: str, one_of: [a, b]}", "b", "c", "must be one of a, b"),
    ("{type: date, min: '2024-01-31'}", "2024-01-31", "2024-01-30", "must be at least 2024-01-31"),
    ("{type: datetime, max: '2024-01-31T12:00:00Z'}", "2024-01-31T13:00:00+01:00", "2024-01-31T12:00:01+00:00",
     "must be at most 2024-01-31T12:00:00+00:00 and, like that, state its offset"),
    ("{type: datetime, max: '2024-01-31T12:00:00Z'}", "2024-01-31T12:00:00Z", "2024-01-31T11:00:00",
     "must be at most 2024-01-31T12:00:00+00:00 and, like that, state its offset"),
    ("{type: int}", "1", "", "must not be empty"),
    ("{type: decimal, says: a price such as 12.50}", "1", "dear", "must be a price such as 12.50"),
    ("{type: decimal, min: 1, says: a price such as 12.50}", "1", "0.5", "must be a price such as 12.50"),
    ("{type: date, says: a day such as 2024-01-31}", "2024-01-31", "2024-02-30", "must be a day such as 2024-01-31"),
    ("{type: str, one_of: [a], says: the letter a}", "a", "b", "must be the letter a"),
    ("{type: int, says: a year}", "1", "", "must not be empty"),
    ("{type: date}", "2024-01-01", "  ", "must not be empty"),
]  # fmt: skip


@pytest.mark.parametrize(("column", "fine", "wrong", "words"), CHECKS)
def test_each_check_lets_good_cells_pass_and_says_what_it_wants(
    define: Define, tmp_path: Path, column: str, fine: str, wrong: str, words: str
) -> None:
    good, bad = check(define(f"c: {column}"), tmp_path, [fine], [wrong], [fine])

    found = f" (found {wrong!r})" if wrong else ""
    assert len(good) == 2
    assert bad == {1: [f"c: {words}{found}"]}


@pytest.mark.parametrize("kind", ["int", "float", "decimal", "str", "bool", "date", "datetime"])
def test_an_empty_cell_of_an_optional_column_is_null_and_passes_every_check(
    define: Define, tmp_path: Path, kind: str
) -> None:
    limits = {
        "int": ", min: 1",
        "decimal": ", max: 2",
        "date": ", min: '2024-01-01'",
        "str": ", blank: false, pattern: x",
    }
    definition = define(f"c: {{type: {kind}, optional: true, unique: true{limits.get(kind, '')}}}\nd: {{type: int}}")

    assert check(definition, tmp_path, ["", "1"], ["", "2"]) == ([[None, 1], [None, 2]], {})


def test_every_reason_of_a_row_is_kept_also_beside_cells_that_cannot_be_read(define: Define, tmp_path: Path) -> None:
    definition = define(
        "a: {type: int, min: 1}\nb: {type: str, blank: false, min_length: 3}\n"
        "c: {type: decimal, max: 1}\nd: {type: date}"
    )

    good, bad = check(
        definition,
        tmp_path,
        ["x", " ", "2", "y"],
        ["1", "fine", "1.0", "2024-01-01"],
        ["0", "", "1", "2024-01-01"],
        ["0", "fine", "", "2024-01-01"],
    )

    assert good == [[1, "fine", Decimal("1.0"), date(2024, 1, 1)]]
    assert bad[0] == [
        "a: must be a whole number (found 'x')",
        "b: must not be blank (found ' ')",
        "b: must have at least 3 characters (found ' ')",
        "c: must be at most 1 (found '2')",
        "d: must be a date such as 2026-01-31 (found 'y')",
    ]
    assert bad[2] == ["a: must be at least 1 (found '0')", "b: must not be blank", "b: must have at least 3 characters"]
    assert bad[3] == ["a: must be at least 1 (found '0')", "c: must not be empty"]


def test_a_repeated_value_is_refused_over_frames_naming_the_line_of_the_first(define: Define, tmp_path: Path) -> None:
    definition = define("id: {type: int, unique: true}\nname: {type: str, unique: true, blank: false}")
    long = "long " * 100

    good, bad = check(
        definition, tmp_path,
        ["1", "a"], [" 1", "b"], ["2", "a"], ["x", long], ["3", long], ["3", " "], ["4", "A"], ["4", "x"], size=2,
    )  # fmt: skip

    assert [row[0] for row in good] == [1, 4]
    assert bad == {
        1: ["id: must be unique, but line 2 holds it already (found ' 1')"],
        2: ["name: must be unique, but line 2 holds it already (found 'a')"],
        3: ["id: must be a whole number (found 'x')"],
        4: [f"name: must be unique, but line 5 holds it already (found {long[:79] + '…'!r})"],
        5: ["id: must be unique, but line 6 holds it already (found '3')", "name: must not be blank (found ' ')"],
        7: ["id: must be unique, but line 8 holds it already (found '4')"],
    }
    assert list(tmp_path.glob("unique*")) == []


def test_long_values_that_only_begin_alike_are_not_the_same(define: Define, tmp_path: Path) -> None:
    long = "long " * 100

    good, bad = check(
        define("name: {type: str, unique: true}"), tmp_path, [long + "a"], [long + "b"], [long + "a"], size=2
    )

    assert [row[0][-1] for row in good] == ["a", "b"]
    assert list(bad) == [2]


def test_two_columns_can_be_unique_together(define: Define, tmp_path: Path) -> None:
    definition = define(schema="tests.harness.models:Pairs")

    good, bad = check(definition, tmp_path, ["Rome", "1"], ["Rome", "2"], ["Oslo", "1"], ["Rome", " 1"], size=3)

    assert good == [["Rome", 1], ["Rome", 2], ["Oslo", 1]]
    assert bad == {3: ["shop: must be unique together with number, but line 2 holds it already (found 'Rome')"]}


@pytest.mark.parametrize(
    ("kind", "equal", "other"),
    [
        ("decimal", ["1.5", "1.50", "+1.5"], "1.51"),
        ("float", ["0", "-0", "0.0"], "1"),
        ("datetime", ["2024-01-01T12:00:00Z", "2024-01-01T13:00+01:00"], "2024-01-01T12:00"),
        ("bool", ["true", "yes"], "no"),
    ],
)
def test_values_that_are_equal_are_not_unique_however_they_are_written(
    define: Define, tmp_path: Path, kind: str, equal: list[str], other: str
) -> None:
    good, bad = check(define(f"c: {{type: {kind}, unique: true}}"), tmp_path, *([text] for text in [*equal, other]))

    assert (len(good), set(bad)) == (2, set(range(1, len(equal))))


def test_a_model_s_times_must_or_must_not_state_their_offset() -> None:
    text = pd.Series(["2024-01-31T12:00", "2024-01-31T12:00Z", "2024-01-31T12:00+01:00", ""], dtype="str")

    must = cell.read(cell.Cell("datetime", null=True, optional=True, zoned=True), text)
    must_not = cell.read(cell.Cell("datetime", null=True, optional=True, zoned=False), text)

    assert must.faults == {0: cell.OFFSET}
    assert must_not.faults == {1: cell.NO_OFFSET, 2: cell.NO_OFFSET}
    assert [value is None for value in must.values] == [True, False, False, True]


def test_long_values_that_begin_alike_are_not_equal(define: Define, tmp_path: Path) -> None:
    begun = "https://shop.example/products/of/this/season/and/the/next/"

    good, bad = check(define("c: {type: str, unique: true}"), tmp_path, [begun + "1"], [begun + "2"], [begun + "1"])

    assert (len(good), set(bad)) == (2, {2})


def order(**cells: str) -> list[str]:
    row = {"number": "3", "small": "1", "amount": "9.99", "paid": "yes", "day": "2024-01-31", "at": "2024-01-31T12:00",
           "note": "hi", "rate": "0.5"}  # fmt: skip
    return list((row | cells).values())


def test_a_pandera_model_is_held_over_the_file_with_every_reason(define: Define, tmp_path: Path) -> None:
    definition = define(schema="tests.harness.models:Orders")

    good, bad = check(
        definition,
        tmp_path,
        order(note=""),
        order(number="4", small="300", amount="0"),
        order(number="1_0", amount="-1", paid="maybe", note="toolong"),
        order(number="5", note="HI"),
        order(number="1", rate=""),
        order(number="6", at="2024-01-31T12:00Z", rate="nan"),
        order(),
        order(number="0", note="LOUDLY", amount=""),
        order(number="7", rate=""),
        size=7,
    )

    assert good == [
        [3, 1, Decimal("9.99"), True, date(2024, 1, 31), datetime(2024, 1, 31, 12), None, 0.5],
        [7, 1, Decimal("9.99"), True, date(2024, 1, 31), datetime(2024, 1, 31, 12), "hi", None],
    ]
    assert bad == {
        1: ["small: must fit the type int8 (found '300')", "amount: must be more than 0 (found '0')"],
        2: [
            "number: must be a whole number (found '1_0')",
            "amount: must be more than 0 (found '-1')",
            "paid: must be true or false (also: t, f, yes, no, 1, 0) (found 'maybe')",
            "note: must have at most 5 characters (found 'toolong')",
        ],
        3: ["note: must not shout (found 'HI')"],
        4: ["a small number cannot be paid"],
        5: ["at: must not state an offset (found '2024-01-31T12:00Z')", "rate: must be a number (found 'nan')"],
        6: ["number: must be unique, but line 2 holds it already (found '3')"],
        7: [
            "number: must be at least 1 (found '0')",
            "amount: must not be empty",
            "note: must have at most 5 characters (found 'LOUDLY')",
            "note: must not shout (found 'LOUDLY')",
        ],
    }


UNFIT = [
    ("tiny", "128", "Int8"), ("tiny", "-2147483649", "Int8"),
    ("unsigned", "-1", "UInt8"), ("unsigned", "456", "UInt8"),
    ("wide", "2147483648", "Int32"), ("short", "1e39", "float32"),
    ("at", "2024-01-31T12:00:00.5Z", "datetime64[s, UTC]"), ("stamp", "3000-01-31T12:00", "datetime64[ns]"),
    ("kind", "c", "category"),
]  # fmt: skip
EXACT = {"tiny": "127", "unsigned": "200", "wide": "-2147483648", "short": "16777217", "at": "2024-01-31T12:00:01Z",
         "stamp": "2024-01-31T12:00:00.5", "kind": "b", "word": "x"}  # fmt: skip


def test_a_value_that_a_model_s_type_would_change_is_refused_and_its_checks_see_the_true_one(
    define: Define, tmp_path: Path
) -> None:
    wrong = [list((EXACT | {name: text}).values()) for name, text, _ in UNFIT]
    rows = [list(EXACT.values()), [""] * len(EXACT), *wrong]

    good, bad = check(define(schema="tests.harness.models:Exact"), tmp_path, *rows, size=7)

    assert good == [
        [127, 200, -(2**31), 16777217.0, datetime(2024, 1, 31, 12, 0, 1, tzinfo=UTC),
         datetime(2024, 1, 31, 12, 0, 0, 500_000), "b", "x"],
        [None] * len(EXACT),
    ]  # fmt: skip
    assert bad == {
        at: [f"{name}: must fit the type {dtype} (found {text!r})"] for at, (name, text, dtype) in enumerate(UNFIT, 2)
    }


@pytest.mark.parametrize("dtype", [pd.Int8Dtype(), pd.Int16Dtype(), pd.Int32Dtype(), pd.Int64Dtype(), pd.UInt8Dtype(),
                                   pd.UInt16Dtype(), pd.UInt32Dtype(), pd.UInt64Dtype(), np.int8, np.uint32,
                                   np.float16, pd.Float32Dtype()], ids=str)  # fmt: skip
def test_every_number_that_a_model_s_type_takes_is_the_one_that_stands_in_the_file(dtype: Any) -> None:
    edges = {0, 1, -1, 2048, 2049, 16777217} | {sign * 2**bits + by for bits in (7, 8, 15, 16, 31, 32, 52)
                                                for sign in (1, -1) for by in (-1, 0, 1)}  # fmt: skip
    column = of_model(pandera.DataFrameSchema({"c": pandera.Column(dtype, nullable=True)})).schema
    read = pd.DataFrame({"c": pd.array(sorted(edges), "Float64" if "loat" in str(dtype) else "Int64")})
    try:
        column.validate(read, lazy=True)
        refused: set[int] = set()
    except SchemaErrors as exc:
        refused = {int(read["c"][at]) for at in exc.failure_cases["index"]}

    taken = column.validate(read[~read["c"].isin(refused)], lazy=True)["c"]

    assert {int(value) for value in taken} == edges - refused
    bounds = np.finfo(dtype) if dtype is np.float16 else None
    low, high = (float(bounds.min), float(bounds.max)) if bounds else _bounds(dtype)
    assert refused == {value for value in edges if not low <= value <= high}


def _bounds(dtype: Any) -> tuple[float, float]:
    if dtype == pd.Float32Dtype():
        return float(np.finfo(np.float32).min), float(np.finfo(np.float32).max)
    info = np.iinfo(dtype if isinstance(dtype, type) else dtype.type)
    return int(info.min), int(info.max)


PEOPLE = [["z@x.com", "Zoe"], ["m@x.com", "Max"], ["a@x.com", "A"]]


@pytest.mark.parametrize("model", ["Filtered", "Sorted", "Renumbered", "Doubled", "Narrowed"])
@pytest.mark.parametrize("rows", [PEOPLE, [["z@x.com", ""], *PEOPLE[1:]]], ids=["good rows", "one wrong"])
def test_a_model_that_changes_which_rows_there_are_is_refused(
    define: Define, tmp_path: Path, model: str, rows: list[list[str]]
) -> None:
    with pytest.raises(DefinitionError, match="the model filters, sorts, repeats or renumbers rows") as refusal:
        check(define(schema=f"tests.harness.models:{model}"), tmp_path, *rows)
    assert refusal.value.file == f"tests.harness.models:{model}"


def test_a_model_s_parsers_may_change_values(define: Define, tmp_path: Path) -> None:
    good, bad = check(
        define(schema="tests.harness.models:Parsed"), tmp_path, ["Z@X.com", " Zoe "], ["b@x", " "], size=2
    )

    assert good == [["z@x.com", "Zoe"]]
    assert bad == {1: ["name: must have at least 1 characters (found ' ')"]}


def test_a_model_whose_own_code_fails_is_refused_with_what_it_raised(define: Define, tmp_path: Path) -> None:
    with pytest.raises(DefinitionError) as refusal:
        check(define(schema="tests.harness.models:CheckFails"), tmp_path, *PEOPLE)
    words = 'a check that failed itself: must be plausible: ZeroDivisionError("division by zero")'
    assert words in str(refusal.value)
    with pytest.raises(DefinitionError, match="failed while it parsed the rows: KeyError: 'surname'"):
        check(define(schema="tests.harness.models:ParserFails"), tmp_path, *PEOPLE)


def test_a_model_that_cannot_be_held_over_parts_of_a_file_is_refused(define: Define, tmp_path: Path) -> None:
    with pytest.raises(DefinitionError) as refusal:
        check(define(schema="tests.harness.models:Whole"), tmp_path, ["1"], ["2"])
    assert "has to be short: this judges a whole table, but a file is checked in parts" in str(refusal.value)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("Indexed", "asks for an index, which a file has not"),
        ("Drops", "drops rows (drop_invalid_rows): every row of a file is sent or rejected with a reason"),
        ("Timed", "gives took the type timedelta64[ns], which no cell can be read as; use int, float"),
    ],
)
def test_a_model_that_no_file_can_be_held_to_is_refused_as_it_is_loaded(define: Define, model: str, words: str) -> None:
    with pytest.raises(DefinitionError) as refusal:
        define(schema=f"tests.harness.models:{model}")
    assert f"{model} {words}" in str(refusal.value)


texts = st.one_of(
    st.text(st.sampled_from("0159+-.eE_ \t١xyn"), max_size=24),
    st.integers().map(str),
    st.floats().map(str),
    st.just(""),
)


@settings(max_examples=examples(120))
@given(st.lists(texts, min_size=1, max_size=30))
def test_numbers_are_read_as_python_reads_plain_ones(
    tmp_path_factory: pytest.TempPathFactory, cells: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("numbers")
    (folder / "p.yaml").write_text(
        "name: test\ncolumns:\n  i: {type: int, optional: true}\n  f: {type: float, optional: true}\n"
        "request: {url: 'http://127.0.0.1:9/', method: GET}\nlimit: {name: test, in_flight: 1}\n"
    )
    definition = load(folder / "p.yaml")

    def plain(text: str, kind: type) -> Any:
        trimmed = text.strip(" \t")
        try:
            value = kind(trimmed) if trimmed.isascii() and "_" not in trimmed and trimmed == trimmed.strip() else "bad"
        except ValueError:
            value = "bad"
        value = None if not trimmed else value
        if re.fullmatch(
            r"\+[0-9]+|[+-]?0[0-9]+", trimmed, re.ASCII
        ):  # a plus or zeros in front are no part of a number
            return "bad"
        if isinstance(value, float) and 2**53 <= abs(value) < float("inf") and Decimal(repr(value)) != Decimal(trimmed):
            return "bad"
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            return "bad"
        return "bad" if isinstance(value, float) and not abs(value) < float("inf") else value

    for at, kind in enumerate((int, float)):
        good, bad = check(definition, folder, *([text if at == column else "" for column in (0, 1)] for text in cells))
        values = iter(good)
        assert ["bad" if row in bad else next(values)[at] for row in range(len(cells))] == [
            plain(text, kind) for text in cells
        ]
