"""Files as people hold them: what is meant is read, and nothing is changed in silence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from deployments.commands.inferring import definition_of
from flows.delivery.check import CheckResult, check_file
from flows.errors import BadFile
from flows.pipeline.definition import Definition
from flows.pipeline.file_form import FileForm
from flows.pipeline.proposal import propose
from flows.pipeline.reading import load
from flows.source.header import Called
from flows.source.source import open_file
from tests.files.corpus.books import BOOKS
from tests.files.corpus.shape import Shape
from tests.files.corpus.texts import TEXTS
from tests.files.corpus.trees import TREES

SHAPES = [*TEXTS, *BOOKS, *TREES]
PROPOSED = [shape for shape in SHAPES if set(shape.says) <= {"encoding"}]


def defined(folder: Path, shape: Shape) -> Definition:
    path = folder / "own.yaml"
    columns = "".join(f'  "{name}": {rules}\n' for name, rules in shape.columns.items())
    path.write_text(
        f"name: own\ncolumns:\n{columns}request: {{url: 'https://api.example.com/'}}\n"
        "limit: {name: own, requests: 7, window_seconds: 1}\n"
    )
    return load(path)


def checked(folder: Path, shape: Shape, **says: Any) -> CheckResult:
    path = folder / shape.file
    path.write_bytes(shape.content)
    mapping = {name: column for column, name in shape.called.items()}
    return check_file(path, defined(folder, shape), said=FileForm(**says), mapping=mapping)


def became(result: CheckResult) -> list[Any]:
    """By row its values, or the reasons of its rejection as one text."""
    found: dict[int, Any] = {row.row: list(row.values.values()) for row in result.first}
    found |= {item.row: " ".join(f"{reason} {reason.value}" for reason in item.reasons) for item in result.samples}
    return [found[at] for at in sorted(found)]


def is_meant(value: Any, meant: Any) -> bool:
    """Whether a row became what was meant, type and all."""
    if isinstance(meant, str):
        return isinstance(value, str) and meant[1:] in value
    return isinstance(value, list) and value == list(meant) and list(map(type, value)) == list(map(type, meant))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_what_a_person_means_is_read(tmp_path: Path, shape: Shape) -> None:
    found = became(checked(tmp_path, shape, **shape.says))

    assert len(found) == len(shape.rows)
    assert [(value, meant) for value, meant in zip(found, shape.rows, strict=True) if not is_meant(value, meant)] == []


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.refused], ids=str)
def test_what_nobody_has_said_is_asked_for(tmp_path: Path, shape: Shape) -> None:
    with pytest.raises(BadFile, match=re.escape(shape.refused)) as caught:
        checked(tmp_path, shape)

    assert caught.value.hint


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.says and not shape.refused], ids=str)
def test_what_nobody_has_said_is_never_guessed_wrong(tmp_path: Path, shape: Shape) -> None:
    """Rows are what is meant, or rejected, or it is asked what they are."""
    result = checked(tmp_path, shape)
    taken = [value for value in became(result) if isinstance(value, list)]
    wrong = [value for value in taken if not any(is_meant(value, row) for row in shape.rows)]

    assert not wrong or any(f"begins with {wrong[-1][0]!r}: if it is a total" in said for said in result.notices)
    assert wrong == taken[len(taken) - len(wrong) :]


def proposed(folder: Path, shape: Shape) -> tuple[list[str], list[str]]:
    """(columns of which `init` proposes what is meant, columns to which the file's column is proposed)."""
    path = folder / shape.file
    path.write_bytes(shape.content)
    (folder / "init.yaml").write_text(definition_of(path, FileForm(**shape.says)))
    with open_file(path, called=Called(others={"": [*shape.columns]}), form=FileForm(**shape.says)) as source:
        cells = [each for frame in source.frames() for each in frame.cells]
        names = source.columns
    made = load(folder / "init.yaml")
    rows = [row.values for row in check_file(path, made, said=FileForm(**shape.says)).first]
    real = {name.strip().casefold(): name for name in names}
    at_home = {column: real[shape.called.get(column, column).casefold()] for column in shape.columns}
    lines = {name: line for line in (folder / "init.yaml").read_text().splitlines() for name in names
             if line.startswith((f"  {name}: ", f'  "{name}": '))}  # fmt: skip
    rules = [
        column
        for at, (column, rules) in enumerate(shape.columns.items())
        if _says(lines[at_home[column]], rules) or _reads(rows, at_home[column], shape, at)
    ]
    pairs = propose(dict(defined(folder, shape).columns), names, cells)
    called = [column for column in shape.columns if (pair := pairs.of(column)) and pair.name == at_home[column]]
    return rules, called


def _says(line: str, rules: str) -> bool:
    """Whether the line of a column, its comment included, names the keys that tell how its cells are written."""
    keys = [key.strip() for key in rules.strip("{}").split(", ") if key.split(":")[0] in ("type", "decimal", "group")]
    forms = [part for part in ("format: ", "split: ", "trim: ") if part in rules]
    return all(each in line for each in (*keys, *forms)) and rules != "{type: str}"


def _reads(rows: list[dict[str, Any]], name: str, shape: Shape, at: int) -> bool:
    """Whether each cell becomes what is meant; a number where a text of digits is meant will do."""
    meant = [row[at] for row in shape.rows if not isinstance(row, str)]
    found = [row[name.strip()] for row in rows]
    return len(found) >= len(meant) and all(value in found or value in map(str, found) for value in meant)


def test_at_least_95_of_100_columns_are_proposed_right(tmp_path: Path) -> None:
    """By `init`, how their cells are written; by a check, which column of the pipeline each may be."""
    columns = [(shape.what, column) for shape in PROPOSED for column in shape.columns]
    rules, called = set(), set()
    for at, shape in enumerate(PROPOSED):
        folder = tmp_path / str(at)
        folder.mkdir()
        found = proposed(folder, shape)
        rules.update((shape.what, column) for column in found[0])
        called.update((shape.what, column) for column in found[1])

    assert len(columns) >= 90
    assert len(rules) >= 0.95 * len(columns), [column for column in columns if column not in rules]
    assert len(called) >= 0.95 * len(columns), [column for column in columns if column not in called]
