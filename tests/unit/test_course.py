"""What definitions may say of answers, batches and steps, beside what is refused (tests/harness/bad_courses.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from flows.errors import DefinitionError
from flows.pipeline.definition import json_schema
from flows.pipeline.reading import from_resolved, load, redirected
from tests.apis.plain import HERE

BASE: dict[str, Any] = {
    "name": "own",
    "columns": {"id": {"type": "int"}, "title": {"type": "str"}},
    "limit": {"name": "own", "requests": 7, "window_seconds": 1},
}
URL = "https://api.example.com/rows"
FIND = {"name": "find", "request": {"method": "GET", "url": URL + "?id={id}"}, "keep": {"found": "length(items)"}}


def refused(tmp_path: Path, **more: Any) -> str:
    """What is said against a definition; "" where it is accepted."""
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump(BASE | {"request": {"url": URL}} | more))
    try:
        load(file, environ={})
    except DefinitionError as exc:
        return str(exc)
    return ""


@pytest.mark.parametrize(
    "rules",
    [
        [{"status": "4xx", "means": "failed"}, {"status": 429, "means": "wait", "seconds": 5}],
        [{"status": "any", "means": "failed"}, {"status": [403, 503], "means": "unknown"}],
        [{"status": 200, "means": "done"}, {"means": "unknown"}],
        [{"when": "a", "means": "done"}, {"when": "b", "means": "failed"}, {"means": "unknown"}],
        [{"headers": {"X-A": "1"}, "means": "done"}, {"means": "failed"}],
        [{"means": "done"}, {"status": "any", "means": "failed"}],
    ],
)
def test_rules_that_can_fit_are_accepted(tmp_path: Path, rules: list[dict[str, Any]]) -> None:
    assert refused(tmp_path, answers=rules) == ""


def test_a_rule_of_items_without_a_status_fits_what_one_for_2xx_leaves(tmp_path: Path) -> None:
    rules = [{"status": "2xx", "means": "done"}, {"means": "failed"}]

    assert refused(tmp_path, batch={"rows": 9, "items": "items", "match": "position", "answers": rules}) == ""


def test_a_rule_may_fill_a_name_that_another_part_keeps(tmp_path: Path) -> None:
    batch = {"rows": 9, "items": "items", "match": "position", "keep": {"made": "id"}}
    batch["answers"] = [{"when": "a", "means": "done", "keep": {"made": "a"}}]

    assert refused(tmp_path, batch=batch, answers=[{"means": "items", "keep": {"made": "id"}}]) == ""


@pytest.mark.parametrize(
    "request_",
    [
        {"json": {"a": None, "b": [None]}},
        {"ndjson": [{"a": None}]},
        {"graphql": {"query": "{a}", "variables": {"a": None}}},
    ],
)
def test_null_is_json_wherever_a_body_is_stated(tmp_path: Path, request_: dict[str, Any]) -> None:
    assert refused(tmp_path, request={"url": URL, **request_}) == ""
    assert "reconcile.answers" in refused(tmp_path, reconcile={"request": {"url": URL, **request_}, "answers": None})
    assert refused(tmp_path, batch={"rows": 9, "each": {"a": None, "id": "{id}"}}) == ""


def test_a_fault_of_shape_beside_steps_is_the_only_one(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump(BASE | {"steps": [FIND], "retry": {"attempts": 0}}))

    with pytest.raises(DefinitionError) as refusal:
        load(file, environ={})
    assert str(refusal.value).splitlines() == [f"{file}:{_line(file, 'attempts')}: retry.attempts: must be at least 1 (found 0)"]  # noqa: E501  # fmt: skip


def _line(file: Path, word: str) -> int:
    return next(at for at, line in enumerate(file.read_text().splitlines(), start=1) if word in line)


def test_steps_are_not_sent_to_another_address() -> None:
    made = from_resolved(BASE | {"steps": [FIND]})

    with pytest.raises(DefinitionError, match="the address given: steps: have several addresses; change them in the"):
        redirected(made, "https://other.example.com")


def test_what_a_run_has_stored_is_read_as_it_was() -> None:
    for file in sorted(HERE.glob("*.yaml")):
        made = load(file, environ={})

        assert from_resolved(made.resolved()) == made


@pytest.mark.parametrize("file", sorted(HERE.glob("*.yaml")), ids=lambda file: file.stem)
def test_an_editor_accepts_each_definition_as_it_stands(file: Path) -> None:
    jsonschema.Draft202012Validator(json_schema()).validate(yaml.safe_load(file.read_text()))


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch": {"rows": 9, "match": "place"}},
        {"batch": {"rows": 9, "items": 7}},
        {"answers": [{"status": "4x", "means": "failed"}]},
        {"answers": [{"means": "perhaps"}]},
        {"steps": [{"nam": "find"}]},
        {"request": {"url": URL, "idempotency_key": "X-Key"}},
    ],
)
def test_an_editor_shows_what_is_wrong(wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(BASE | {"request": {"url": URL}} | wrong, json_schema())


def test_every_key_of_the_language_says_what_it_is() -> None:
    found = dict(_keys(json_schema()))

    assert len(found) > 100
    assert [key for key, described in found.items() if not described] == []


def _keys(schema: Any) -> Iterator[tuple[str, bool]]:
    for part, where in ((schema, "Definition"), *((each, name) for name, each in schema["$defs"].items())):
        for key, stated in part.get("properties", {}).items():
            yield f"{where}.{key}", bool(stated.get("description", "").strip())
