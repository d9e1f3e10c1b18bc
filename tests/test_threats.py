"""Every line of docs/threats.md is pinned by tests that are there."""

from __future__ import annotations

import ast
import re
from functools import lru_cache

from tests.world import ROOT

PAGE = (ROOT / "docs" / "threats.md").read_text(encoding="utf-8")
TEST = re.compile(r"`(test_\w+\.py)::(\w+)`")


@lru_cache
def defined_in(file: str) -> frozenset[str]:
    path = ROOT / "tests" / file
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.exists() else ast.Module([], [])
    return frozenset(each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))


def lines() -> list[str]:
    """The tables' lines, without their heads."""
    heads = ("| who |", "| tries to |", "|---")
    return [line for line in PAGE.splitlines() if line.startswith("|") and not line.startswith(heads)]


def test_every_line_names_a_test() -> None:
    assert len(lines()) > 40
    assert [line for line in lines() if not TEST.search(line.split("|")[-2])] == []


def test_every_test_that_is_named_is_there() -> None:
    named = TEST.findall(PAGE)

    assert len(named) >= len(lines())
    assert [f"{file}::{name}" for file, name in named if name not in defined_in(file)] == []
    assert PAGE.count("::") == len(named)  # none is misspelt so that it is not seen
