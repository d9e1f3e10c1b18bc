"""`rowrelay init`: a definition inferred from a sample is careful, and always loads."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.errors import DefinitionError
from flows.pipeline.definition import Definition
from flows.pipeline.example import said_of
from flows.pipeline.infer import MOST_ROWS, infer, name_for
from flows.pipeline.reading import load
from flows.pipeline.rendering import Rendering


def inferred(folder: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Definition:
    path = folder / "inferred.yaml"
    path.write_text(infer(columns, rows, name="Sample 1.csv", file="Sample 1.csv"), encoding="utf-8")
    return load(path, environ={})


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "-20", "0"], "int"),
        (["1", "2.50"], "decimal"),
        (["1", "2.5", "1e6"], "float"),
        (["true", "FALSE"], "bool"),
        (["2026-01-31", "2024-02-29"], "date"),
        (["2026-01-31T10:00:00Z", "2026-01-31 10:00", "2026-01-31 10:00:01+01"], "datetime"),
        (["2026-02-30"], "str"),
        (["007", "8"], "str"),
        (["+49 30 1"], "str"),
        (["1", "x"], "str"),
        (["1_000"], "str"),
        (["١٢"], "str"),
        (["12345678901234567890"], "str"),
        (["nan"], "str"),
        ([" 1"], "str"),
        (["", " "], "str"),
        ([], "str"),
    ],
)
def test_a_column_gets_the_narrowest_type_that_all_its_cells_fit(cells: list[str], kind: str, tmp_path: Path) -> None:
    assert inferred(tmp_path, ["a"], [[cell] for cell in cells]).columns["a"].type == kind


def test_empty_cells_make_a_number_optional_but_not_a_text(tmp_path: Path) -> None:
    made = inferred(tmp_path, ["n", "t"], [["1", "a"], ["", ""]])
    assert made.columns["n"].optional
    assert not made.columns["t"].optional


def test_what_may_be_chance_is_a_comment_and_no_rule() -> None:
    text = infer(["size"], [["S"], ["M"]] * 10, name="x")
    assert "perhaps one_of: [M, S]" in text
    assert "size: {type: str}  #" in text


def test_every_column_is_sent_with_its_type(tmp_path: Path) -> None:
    made = inferred(tmp_path, ["userId", "Order ID", 'say "hi": #1', "true"], [["1", "x", "y", "z"]])
    row = {"userId": 1, "Order ID": "x", 'say "hi": #1': "y", "true": "z"}
    assert Rendering.of(made).make_body(row) == row
    assert made.name == "sample-1"


def test_what_made_a_text_of_a_column_of_numbers_is_said_with_its_line() -> None:
    cells = [*map(str, range(23)), "15 %", *map(str, range(6))]
    text = infer(["Rabatt"], [[cell] for cell in cells], name="x")
    assert "Rabatt: {type: str}  # 29 of 30 are whole numbers; line 25: '15 %'; at most" in text

    several = infer(["n"], [["1.5"], *[["1"]] * 13, ["a" * 50]], name="x", lines=range(10, 100, 3))
    assert f"# 14 of 15 are decimal numbers; line 52: '{'a' * 29}…';" in several


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["home;kitchen", "", "a; b"], 'perhaps {type: list, split: ";"}'),
        (["a, b", "c"], 'perhaps {type: list, split: ","}'),
        (['{"a": 1}', "[]"], "perhaps {type: json}"),
        (["030/123456", "+49 (0)30 123456"], "perhaps {type: phone, region: …}"),
        ([" a@b.de", "\u200bc@d.de"], "blanks stand around values: perhaps `trim: true`"),
        (["1.5", "NULL"], 'perhaps {type: decimal, optional: true, map: {"NULL": null}, other: keep}'),
        (["1,5", "-"], 'perhaps {type: decimal, decimal: ",", optional: true, map: {"-": null}, other: keep}'),
        (["2026-01-31", "0000-00-00"],
         'perhaps {type: date, optional: true, map: {"0000-00-00": null}, other: keep}'),
        (["20260131", "19990228"], "perhaps {type: date, format: YYYYMMDD}"),
    ],
)  # fmt: skip
def test_what_a_column_may_be_besides_is_said_for_a_person_to_decide(cells: list[str], said: str) -> None:
    (line,) = [line for line in infer(["c"], [[cell] for cell in cells], name="x").splitlines() if "  c: {" in line]
    assert said in line


@pytest.mark.parametrize(
    "cells",
    [["one, two", "and that is, so it seems, all"], ["20261399"], ["12345678"], ["NULL"], ["[x"], ["0301234567"]],
)
def test_nothing_is_said_where_it_would_be_chance(cells: list[str]) -> None:
    assert "perhaps" not in infer(["c"], [[cell] for cell in cells], name="x").split("columns:")[1].split("request:")[0]


def test_a_column_without_a_name_is_left_out(tmp_path: Path) -> None:
    assert inferred(tmp_path, ["", "id"], [["0", "7"]]).column_names == ("id",)


@pytest.mark.parametrize("cells", [["1", "x"], ["a", "b", "c", "d", "e"], ["1"] * 4 + ["x"] * 4 + ["1"] * 90])
def test_nothing_is_said_of_a_column_that_is_a_text_anyway(cells: list[str]) -> None:
    assert " are " not in infer(["n"], [[cell] for cell in cells], name="x").split("columns:")[1].split("request:")[0]


def test_columns_that_are_unique_in_the_sample_are_proposed_as_key_the_best_first(tmp_path: Path) -> None:
    rows = [[f"Name {n}", f"K{n}", "same", str(n), f"{n}.5"] for n in range(5)]
    text = infer(["Name", "Kundennr", "Ort", "Zahl", "Preis"], rows, name="x")
    proposed = [line for line in text.splitlines() if line.startswith("#key")]
    assert proposed == [f"#key: [{column}]  # unique in the sample" for column in ("Kundennr", "Zahl", "Name")]

    path = tmp_path / "x.yaml"
    path.write_text(text.replace("#key: [Kundennr]", "key: [Kundennr]"))
    assert load(path, environ={}).key == ["Kundennr"]


@pytest.mark.parametrize("cells", [["K1"], ["K1", "K1", "K2"], ["K1", "", "K2"], ["x" * 90, "y"], ["true", "false"]])
def test_no_key_is_proposed_where_the_sample_speaks_against_it(cells: list[str]) -> None:
    assert "key:" not in infer(["id"], [[cell] for cell in cells], name="x")


@pytest.mark.parametrize("name", ["0", "2026", "true", "null", "1e5", "0x1", "yes"])
def test_a_name_that_yaml_would_take_for_something_else_is_put_in_quotes(name: str, tmp_path: Path) -> None:
    path = tmp_path / "inferred.yaml"
    path.write_text(infer([name], [["1"]], name=name))
    made = load(path, environ={})
    assert (made.name, made.limit.name, made.column_names) == (name, name, (name,))


def test_the_inferred_address_leads_nowhere_until_it_is_changed(tmp_path: Path) -> None:
    assert ".invalid/" in inferred(tmp_path, ["a"], []).request.url


def test_blanks_around_a_header_are_left_out(tmp_path: Path) -> None:
    assert inferred(tmp_path, [" a ", "b"], []).column_names == ("a", "b")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([], "has no header"),
        ([" ", ""], "has no header"),
        (["a", "A "], "two columns are called 'A'"),
        (["{a}"], "the name of column 1 holds braces"),
        (["a\nb"], "the name of column 1 holds braces, a line break"),
    ],
)
def test_a_header_that_no_definition_can_name_is_refused(columns: list[str], message: str) -> None:
    with pytest.raises(DefinitionError, match=f"sample.csv:1: .*{message}"):
        infer(columns, [], file="sample.csv")


def test_an_endless_sample_is_looked_at_only_so_far(tmp_path: Path) -> None:
    made = inferred(tmp_path, ["n"], itertools.chain(([str(n)] for n in range(MOST_ROWS)), itertools.repeat(["x"])))
    assert made.columns["n"].type == "int"


def test_ragged_rows_say_nothing_about_columns(tmp_path: Path) -> None:
    assert inferred(tmp_path, ["a", "b"], [["1", "2"], ["x"], ["x", "y", "z"]]).columns["a"].type == "int"


@given(
    st.lists(st.text(max_size=12), min_size=1, max_size=4),
    st.lists(st.lists(st.text(max_size=12), min_size=1, max_size=4), max_size=12),
    st.text(max_size=20),
)
def test_whatever_the_sample_holds_the_text_loads_or_the_header_is_refused(
    tmp_path_factory: pytest.TempPathFactory, columns: list[str], rows: list[list[str]], file: str
) -> None:
    try:
        text = infer(columns, rows, name=file, file=file)
    except DefinitionError:
        return
    path = tmp_path_factory.getbasetemp() / "inferred.yaml"
    path.write_text(text, encoding="utf-8")
    assert load(path, environ={}).column_names == tuple(column.strip() for column in columns if column.strip())


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Orders 2026.csv.gz", "orders-2026"),
        ("/tmp/Ärger.tsv", "rger"),
        ("…", "my-pipeline"),
        ("posts.csv", "posts"),
        ("A.CSV.zst", "a"),
        ("a.xlsx", "a"),
        ("a.jsonl.zip", "a"),
        ("a.parquet", "a"),
    ],
)
def test_a_pipeline_is_named_after_its_file(file: str, name: str) -> None:
    assert name_for(file) == name


@pytest.mark.parametrize(
    ("cells", "rules"),
    [
        (["1,5", "2,25"], '{type: decimal, decimal: ","}'),
        (["1 234,50", "3,5"], '{type: decimal, decimal: ",", group: " "}'),
        (["1.234,50", "3,5"], '{type: decimal, decimal: ",", group: "."}'),
        (["1,234.50", "0.5"], '{type: decimal, group: ","}'),
        (["1'234.50", "7"], '{type: decimal, group: "\'"}'),
        (["1\u00a0234", "5"], '{type: int, group: " "}'),
        (["1.234.567", "1"], '{type: int, group: "."}'),
        (["1.234", "0.125"], "{type: decimal}"),
        (["31.01.2026", "01.02.2026"], "{type: date, format: DD.MM.YYYY}"),
        (["31.1.2026", "1.12.2026"], "{type: date, format: D.M.YYYY}"),
        (["01/02/2026", "13/04/2026"], "{type: date, format: DD/MM/YYYY}"),
        (["01/02/2026", "04/13/2026"], "{type: date, format: MM/DD/YYYY}"),
        (["1/31/2026 1:45 PM", "2/1/2026 12:00 AM"], '{type: datetime, format: "M/D/YYYY h:mm A"}'),
        (["31.01.2026 13:45:00"], '{type: datetime, format: "DD.MM.YYYY HH:mm:ss"}'),
        (["yes", "no"], "{type: bool}"),
        (["T", "F"], "{type: bool}"),
        (["1,5", "", "2,25"], '{type: decimal, decimal: ",", optional: true}'),
    ],
)
def test_how_cells_are_written_is_a_rule_where_the_sample_leaves_no_doubt(
    cells: list[str], rules: str, tmp_path: Path
) -> None:
    text = infer(["a"], [[cell] for cell in cells], name="x")

    assert f"\n  a: {rules}" in text
    path = tmp_path / "x.yaml"
    path.write_text(text)
    assert not said_of(load(path, environ={}).columns["a"], cells[0])


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["01/02/2026", "03/04/2026"],
         "may be {type: date, format: DD/MM/YYYY} (then 01/02/2026 is 2026-02-01) or {type: date, format: MM/DD/YYYY} "
         "(then 01/02/2026 is 2026-01-02): the sample does not tell"),
        (["1,234", "5"],
         'may be {type: int, group: ","} (then 1,234 is 1234) or {type: decimal, decimal: ","} (then 1,234 is 1.234): '
         "the sample does not tell"),
        (["1.234", "12.500"],
         'may be {type: decimal} (then 1.234 is 1.234) or {type: int, group: "."} (then 1.234 is 1234): '
         "the sample does not tell"),
        (["31.01.26"],
         "may be {type: date, format: DD.MM.YY, first_year: …}: the sample does not tell in which hundred years they "
         "are"),
        (["Да", "Нет"], "perhaps {type: bool, map: {Да: true, Нет: false}}"),
        (["y", "n"], "perhaps {type: bool, map: {y: true, n: false}}"),
    ],
)  # fmt: skip
def test_what_the_sample_leaves_in_doubt_is_said_and_not_guessed(cells: list[str], said: str) -> None:
    assert f"\n  a: {{type: str}}  # {said};" in infer(["a"], [[cell] for cell in cells], name="x")
