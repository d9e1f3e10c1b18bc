"""The file to start from is accepted by its own pipeline, or has a header alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dashboard.files.template import rule_of, template_csv
from flows.delivery.check import check_file
from flows.pipeline import consistency
from flows.pipeline.column import TYPES, Column, column_faults
from flows.pipeline.definition import Definition
from flows.pipeline.example import said_of
from flows.pipeline.reading import from_resolved
from flows.pipeline.writing_faults import writing_faults
from flows.schema import cell
from flows.schema.schema import Checker
from flows.sheet import is_reason
from tests.harness.examples import examples


def pipeline(columns: dict[str, Any] | None = None, **more: Any) -> Definition:
    request = {"url": "https://api.example.com/rows"}
    data = {"name": "x", "columns": columns or {}, "request": request, "limit": {"name": "x", "in_flight": 1}}
    return from_resolved(data | more)


def rows_of(definition: Definition) -> list[str]:
    encoding = definition.source.encoding or "utf-8-sig"
    return template_csv(definition).decode(encoding).splitlines()[1:]


NUMBERS = st.integers(-(2**62), 2**62) | st.sampled_from([0, 1, -1, 5000])
REALS = st.floats(allow_nan=False, allow_infinity=False)
DAYS = st.dates().map(lambda day: day.isoformat())
ZONES = st.sampled_from([None, UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))])
MOMENTS = st.datetimes(timezones=ZONES).map(datetime.isoformat)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
VALUES = {
    "int": NUMBERS, "float": REALS, "decimal": st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
    "str": TEXTS, "date": DAYS, "datetime": MOMENTS,
}  # fmt: skip


@st.composite
def columns(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(TYPES))
    value = VALUES.get(kind, st.nothing())
    checks: dict[str, Any] = {"optional": st.booleans(), "unique": st.booleans()}
    if kind != "bool":
        checks["one_of"] = st.lists(value, min_size=1, max_size=3)
        checks |= {} if kind == "str" else {"min": value, "max": value}
    if kind == "str":
        lengths = st.integers(0, 12)
        checks |= {"min_length": lengths, "max_length": lengths, "blank": st.booleans()}
        checks["pattern"] = st.sampled_from([r"\d+", "[a-z]+", r"[^@\s]+@[^@\s]+", "", "x*"])
    if kind in ("phone", "list", "json"):
        checks = {"optional": st.booleans(), "unique": st.booleans()}
    stated = draw(st.lists(st.sampled_from(sorted(checks)), max_size=3, unique=True))
    return {"type": kind} | {key: draw(checks[key]) for key in stated} | draw(writings(kind, value))


@st.composite
def writings(draw: st.DrawFn, kind: str, value: st.SearchStrategy[Any]) -> dict[str, Any]:
    """How the cells of a column are written; most columns say nothing of it."""
    keys: dict[str, Any] = {"trim": st.booleans(), "as_written": st.just(True)}
    if kind in ("int", "float", "decimal"):
        keys |= {"group": st.sampled_from([".", " ", "'"]), "decimal": st.sampled_from([",", "."])}
    if kind == "date":
        keys["format"] = st.sampled_from(["DD.MM.YYYY", "M/D/YYYY", "YYYYMMDD"])
    if kind == "datetime":
        keys["format"] = st.sampled_from(["DD.MM.YYYY HH:mm", "M/D/YYYY h:mm:ss A", "YYYY-MM-DDTHH:mmZ"])
    if kind == "list":
        keys["split"] = st.sampled_from([";", ",", " "])
    if kind == "phone":
        keys["region"] = st.sampled_from(["DE", "US", "RU"])
    if kind in VALUES:
        keys["map"] = st.dictionaries(TEXTS | st.just("7"), value, min_size=1, max_size=2)
        keys["other"] = st.just("keep") | value
        keys["default"] = value
    stated = draw(st.lists(st.sampled_from(sorted(keys)), max_size=2, unique=True) | st.just([]))
    return {key: draw(keys[key]) for key in stated}


NAMES = st.sampled_from(["text", "Example", "a", "b;c", "1", "total", "Имя", "x,y", "2026-01-31"])
SOURCES = st.sampled_from(
    [{}, {"delimiter": ";"}, {"delimiter": "tab"}, {"encoding": "utf-16"}, {"kind": "xlsx", "sheet": "Data"},
     {"kind": "json", "path": "data"}, {"header_row": 3}, {"skip_rows": 2, "skip_footer": 1}]
)  # fmt: skip


@settings(max_examples=examples(150))
@given(st.dictionaries(NAMES, columns(), min_size=1, max_size=4), SOURCES)
def test_a_template_is_accepted_by_its_own_pipeline_or_has_no_row(
    tmp_path_factory: pytest.TempPathFactory, made: dict[str, Any], source: dict[str, Any]
) -> None:
    definition = pipeline(made, source=source)
    assume(not list(consistency.faults(definition)))
    file = tmp_path_factory.getbasetemp() / "template.csv"

    file.write_bytes(template_csv(definition))

    if rows_of(definition):
        result = check_file(file, definition)
        assert (result.accepted, result.rejected) == (1, 0)
        assert [name for name in result.columns if not is_reason(name)] == list(made)
    else:  # a plain column always has a value that will do
        assert any(set(each) - {"type", "optional", "unique"} for each in made.values())


CELLS = st.sampled_from(
    ["", " ", "7", " 7\t", "+7", "007", "1e3", "1e400", "9007199254740993", "9223372036854775808", "1" * 30, "1.50",
     ".5", "5.", "1.234", "1.234,5", "1 234", "31.01.2026", "1/31/2026 1:45 PM", "#N/A", "1,2E+11", "1\u00a0234",
     "\u00a07", "+49 30 123456", "030 123456", "a;b", "a;;b", '["a"]', "true", "YES", "2026-01-31", "2026-02-30",
     "2026-01-31 12:00", "2026-01-31T12:00:00+01:00", "x", "٣"]
)  # fmt: skip


@settings(max_examples=examples(300))
@given(columns(), CELLS | TEXTS)
def test_one_cell_is_judged_as_a_file_of_it_would_be(
    tmp_path_factory: pytest.TempPathFactory, made: dict[str, Any], text: str
) -> None:
    column = Column.model_validate(made)
    assume(not [*column_faults("a", column)] and not [*writing_faults(("a",), column)])

    with Checker(pipeline({"a": made}), folder=tmp_path_factory.mktemp("judge")) as checker:
        checked = checker.check(pd.DataFrame({"a": [text]}, dtype="str"), pd.Series([2]).to_numpy())

    said = [reason.check for reason in checked.reasons.get(0, ())]
    assert said_of(column, text) == (said[0] if said else "")


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ({"type": "int", "min": 5}, "5"),
        ({"type": "int", "max": -5}, "-5"),
        ({"type": "str", "one_of": ["", "b"], "blank": False}, "b"),
        ({"type": "str", "min_length": 6}, "textxx"),
        ({"type": "str", "pattern": "[a-z]+"}, "text"),
        ({"type": "str", "pattern": r"\d{5}"}, None),
        ({"type": "str", "pattern": r"\d{5}", "example": "01234"}, "01234"),
        ({"type": "str", "pattern": r"\d{5}", "optional": True}, None),
        ({"type": "datetime", "min": "2026-01-31T12:00:00+01:00"}, "2026-01-31T12:00:00+01:00"),
        ({"type": "decimal", "example": 2.5}, "2.5"),
        ({"type": "bool", "example": False}, "false"),
    ],
    ids=str,
)
def test_a_cell_of_the_template_keeps_to_its_column(column: dict[str, Any], cell: str | None) -> None:
    assert rows_of(pipeline({"a": column})) == ([] if cell is None else [cell])


def test_a_row_that_would_be_read_as_a_second_header_is_none() -> None:
    assert rows_of(pipeline({"text": {"type": "str"}})) == ["example"]
    assert rows_of(pipeline({"text": {"type": "str", "example": "Text"}})) == []
    assert rows_of(pipeline({"a": {"type": "str", "example": "---"}})) == []


def test_a_template_is_written_as_the_pipeline_reads_its_files() -> None:
    columns = {"a": {"type": "int"}, "ä": {"type": "str"}}

    made = template_csv(pipeline(columns, source={"delimiter": ";", "encoding": "cp1252"}))

    assert made == "a;ä\r\n1;text\r\n".encode("cp1252")


def test_a_pandera_model_has_a_row_only_if_it_takes_it() -> None:
    assert rows_of(pipeline(schema="tests.harness.models:Pairs")) == ["text,1"]
    assert rows_of(pipeline(schema="tests.harness.models:Orders")) == []  # a small number cannot be paid


def test_what_may_stand_in_a_column_is_said_in_its_own_words() -> None:
    words = "an e-mail address such as a@b.de"
    mail = Column.model_validate({"type": "str", "pattern": ".+@.+", "says": words, "unique": True})
    plain = Column.model_validate({"type": "str", "pattern": ".+@.+"})

    assert rule_of(mail) == f"text, {words}, no value twice"
    assert rule_of(plain) == "text, like .+@.+"
    assert rule_of(Column.model_validate({"type": "int", "says": "a year"})) == "whole number, a year"


def test_a_rejection_says_what_the_column_says(tmp_path: Path) -> None:
    words = "an e-mail address such as a@b.de"
    file = tmp_path / "mail.csv"
    file.write_text("mail\na@b.de\nnobody\n")

    result = check_file(file, pipeline({"mail": {"type": "str", "pattern": ".+@.+", "says": words}}))

    assert [str(reason) for reason in result.samples[0].reasons] == [f"mail: must be {words} (found 'nobody')"]


def test_every_kind_of_cell_is_judged() -> None:
    assert {*cell._READERS, "str", "phone", "list", "json"} == set(TYPES)
