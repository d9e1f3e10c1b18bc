"""Every example of a definition in docs/ is one that is accepted, and every answer there means what the page says."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from flows.delivery.check import check_file
from flows.pipeline.advice import advice
from flows.pipeline.definition import Definition, json_schema
from flows.pipeline.pipelines import examples_folder
from flows.pipeline.reading import load
from flows.pipeline.rendering import Rendering
from tests.harness.command import Run, here, rowrelay
from tests.harness.world import ROOT

__all__ = ["here", "rowrelay"]

POSTS = ROOT / "deployments" / "pipelines" / "posts.yaml"
PAGES = [
    ROOT / "docs" / "pipelines.md",
    ROOT / "docs" / "connect.md",
    *sorted((ROOT / "docs" / "patterns").glob("*.md")),
]
# What a part of a definition leaves out.
REST: dict[str, Any] = {
    "name": "example",
    "columns": {name: {"type": "str"} for name in ("email", "name", "home", "work", "city", "sku")},
    "request": {"url": "https://api.example.com/rows", "json": {"email": "{email}"}},
    "limit": {"name": "example", "requests": 7, "window_seconds": 1},
}
KEPT = {"CONTACTS_TOKEN": "0"}
_YAML = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
_ANSWER = re.compile(
    r"```json\n(?P<body>[^`]*)```\s+```bash\n(?P<command>rowrelay answer [^\n]*)\n```\s+```text\n(?P<said>.*?)```",
    re.DOTALL,
)
BLOCKS = [
    pytest.param(text, id=f"{page.stem}-{at}")
    for page in PAGES
    for at, text in enumerate(_YAML.findall(page.read_text()))
]


def whole(text: str) -> Any:
    """A part of a definition with what it leaves out."""
    data = YAML(typ="safe").load(text)
    instead = {"request": "steps", "limit": "limits"}
    return {key: value for key, value in REST.items() if instead.get(key) not in data} | data


@pytest.mark.parametrize("text", BLOCKS)
def test_every_definition_in_the_pages_is_accepted_and_gives_no_cause_for_a_warning(text: str, tmp_path: Path) -> None:
    file = tmp_path / "example.yaml"
    with file.open("w") as stream:
        YAML().dump(whole(text), stream)

    made = load(file, environ=KEPT)

    assert advice(made) == []


OPTIONAL = re.findall(r"^#(?=[a-z]+:)(?:.+\n#)*.+\n", POSTS.read_text(), flags=re.MULTILINE)
OF_THE_REQUEST = re.findall(r"^  #([a-z]+: .+)$", POSTS.read_text(), flags=re.MULTILINE)
BODIES = ("form", "ndjson", "multipart", "text", "graphql")


@pytest.mark.parametrize("text", OPTIONAL, ids=lambda text: text[1:].split(":")[0])
def test_each_part_that_the_shipped_definition_leaves_out_fits_into_it(text: str, tmp_path: Path) -> None:
    data, more = YAML(typ="safe").load(POSTS), YAML(typ="safe").load(re.sub("^#", "", text, flags=re.MULTILINE))
    (key,) = more
    if key in ("steps", "limits"):
        del data["request" if key == "steps" else "limit"]
    if key in ("steps", "schedules"):
        data["key"] = ["title"]
    if key == "batch":
        del data["request"]["json"]
    if key == "batch":
        more |= {"answers": [{"status": 207, "means": "items"}, {"means": "done"}]}
    if key == "poll":
        more |= {"answers": [{"status": 202, "means": "accepted", "keep": {"job": "id"}}, {"means": "done"}]}
    if key == "proxy":  # which may hold requests back, unless somebody knows better
        more |= {"limit": {**data["limit"], "late_seconds": 0.3}}
    if key == "schema":
        return  # names a module that is not there
    file = tmp_path / "posts.yaml"
    with file.open("w") as stream:
        YAML().dump(data | more, stream)

    assert advice(load(file, environ={})) == []


@pytest.mark.parametrize(
    "line",
    [line for line in OF_THE_REQUEST if line.split(":")[0] in (*BODIES, "empty")],
    ids=lambda line: line.split(":")[0],
)
def test_each_body_that_the_shipped_definition_leaves_out_may_stand_in_place_of_its_own(
    line: str, tmp_path: Path
) -> None:
    data, more = YAML(typ="safe").load(POSTS), YAML(typ="safe").load(line)
    (key,) = more
    if key in BODIES:
        del data["request"]["json"]
    file = tmp_path / "posts.yaml"
    with file.open("w") as stream:
        YAML().dump(data | {"request": data["request"] | more}, stream)

    assert load(file, environ={}).main.bodies[0][0] == (key if key in BODIES else "json")


_CELL = re.compile(r"^\| `(\w+): (\{.*?\})` \| (?:`(.*?)`)? ?\| (?:`(.*)`|(rejected: .+)) \|$", re.MULTILINE)
CELLS = _CELL.findall((ROOT / "docs" / "pipelines.md").read_text())


@pytest.mark.parametrize(("name", "column", "cell", "becomes", "rejected"), CELLS)
def test_every_cell_in_the_pages_becomes_what_they_say(
    name: str, column: str, cell: str, becomes: str, rejected: str, tmp_path: Path
) -> None:
    data = REST | {"columns": {name: YAML(typ="safe").load(column)}, "request": {"url": "https://api.example.com/"}}
    definition = Definition.model_validate(data)
    with (tmp_path / "cells.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([[name, "more"], [cell, "x"]])

    result = check_file(tmp_path / "cells.csv", definition)

    sent = [Rendering.of(definition).make_content(row.values).decode() for row in result.first]
    assert (sent, result.rejected) == (([], 1) if rejected else ([f'{{"{name}":{becomes}}}'], 0))


def test_the_pages_have_cells() -> None:
    assert len(CELLS) == 20


def test_every_key_of_a_definition_is_in_an_example() -> None:
    schema = json_schema()
    parts = {name: part.get("properties", {}) for name, part in schema["$defs"].items()}
    known = {key for keys in parts.values() for key in keys} | set(schema["properties"])
    shown = POSTS.read_text() + "".join(text for page in PAGES for text in _YAML.findall(page.read_text()))
    used = set(re.findall(r"([a-z_0-9]+)\"?:", shown))

    assert known - used == set()


@pytest.mark.parametrize(
    "found", [pytest.param(found, id=page.stem) for page in PAGES for found in _ANSWER.finditer(page.read_text())]
)
def test_every_answer_in_the_pages_means_what_they_say(
    found: re.Match[str], here: Path, rowrelay: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROWRELAY_PIPELINES", str(examples_folder()))
    (here / "answer.json").write_text(found["body"])
    (here / "contacts.csv").write_text("email,name\nanna@example.com,Anna\nbert@example.com,Bert\n")

    _, out, err = rowrelay(*shlex.split(found["command"])[1:])

    assert [line for line in found["said"].splitlines() if line not in out] == [], out + err


def test_the_patterns_have_answers() -> None:
    assert len([found for page in PAGES for found in _ANSWER.finditer(page.read_text())]) == 4
