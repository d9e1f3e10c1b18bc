"""What a person is told of a definition that is valid, but would call a refused row done, or create a thing twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.delivery.check import check_file
from flows.pipeline.advice import advice
from flows.pipeline.definition import Definition

QUERY = {"query": "mutation M($e: String!) { create(email: $e) { id } }", "variables": {"e": "{email}"}}
GRAPHQL = {"url": "https://api.example.com/v1", "graphql": QUERY}
BY_ADDRESS = {"url": "https://api.example.com/graphql?v=2", "json": {"query": "…", "variables": {"e": "{email}"}}}
CALL = {"jsonrpc": "2.0", "id": "{row}", "method": "create", "params": {"email": "{email}"}}
RPC = {"url": "https://api.example.com/rpc", "json": CALL}
FIND = {"name": "find", "request": {"method": "GET", "url": "https://a.b/c?q={email}"}, "keep": {"n": "length(@)"}}
CREATE = {"name": "create", "when": "find.n == `0`", "request": {"url": "https://a.b/c", "json": {"e": "{email}"}}}


def definition(**keys: Any) -> Definition:
    limit = {"name": "example", "requests": 7, "window_seconds": 1}
    return Definition.model_validate({"name": "a", "columns": {"email": {"type": "str"}}, "limit": limit, **keys})


@pytest.mark.parametrize(
    ("request_", "words"),
    [(GRAPHQL, "GraphQL"), (BY_ADDRESS, "GraphQL"), (RPC, "JSON-RPC")],
    ids=["body", "url", "rpc"],
)
@pytest.mark.parametrize("answers", [[], [{"status": "2xx", "means": "done"}], [{"when": "data.x", "means": "failed"}]])
def test_a_definition_that_would_call_a_refusal_done_is_told_of(request_: Any, words: str, answers: Any) -> None:
    (said,) = advice(definition(request=request_, answers=answers))

    assert words in said
    assert "would be called done" in said
    assert "means: failed" in said


@pytest.mark.parametrize(
    ("request_", "answers"),
    [
        (GRAPHQL, [{"when": "errors[0]", "means": "failed"}]),
        (GRAPHQL, [{"when": "errors[?extensions.code=='THROTTLED']", "means": "wait"}, {"means": "done"}]),
        (GRAPHQL, [{"when": "data.create.id", "means": "done"}, {"status": "2xx", "means": "unknown"}]),
        (RPC, [{"when": "error", "means": "failed"}]),
        (RPC, [{"when": "result.id", "means": "done"}, {"means": "failed"}]),
        ({"url": "https://api.example.com/rows", "json": {"query": "{email}"}}, []),
    ],
)
def test_one_that_looks_or_that_calls_nothing_else_done_is_not(request_: Any, answers: Any) -> None:
    assert advice(definition(request=request_, answers=answers)) == []


def test_the_rules_of_items_count_for_calls_that_travel_together() -> None:
    batch: dict[str, Any] = {"rows": 10, "each": CALL, "items": "@", "match": {"item": "id", "row": "{row}"}}
    request = {"url": "https://api.example.com/rpc"}
    looks = batch | {"answers": [{"when": "error", "means": "failed"}]}

    assert len(advice(definition(request=request, batch=batch))) == 1
    assert advice(definition(request=request, batch=looks)) == []
    assert advice(definition(request=request, batch=batch, answers=[{"means": "items"}])) == []


def test_each_step_is_looked_at_with_its_own_rules() -> None:
    bare, looks = {"name": "bare", "request": GRAPHQL}, {"name": "looks", "request": GRAPHQL}
    looks["answers"] = [{"when": "errors[0]", "means": "failed"}]

    (said,) = advice(definition(steps=[bare, looks]))

    assert said.startswith("step bare looks like GraphQL")


def test_a_write_that_depends_on_a_lookup_wants_a_key() -> None:
    (said,) = advice(definition(steps=[FIND, CREATE]))

    assert said.startswith("create: a step that writes on a condition")
    assert "key: [email]" in said
    assert advice(definition(steps=[FIND, CREATE], key=["email"])) == []
    assert advice(definition(steps=[FIND, {**CREATE, "writes": False}])) == []


def test_a_check_says_it_first_and_a_run_that_begins_with_a_check_says_it_too(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("email,other\na@b.de,1\n")
    made = definition(request=GRAPHQL)

    found = check_file(file, made)

    assert found.notices[0] == advice(made)[0]
    assert found.remarks[1] == advice(made)[0]
