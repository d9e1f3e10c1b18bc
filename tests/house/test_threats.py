"""Every line of docs/threats.md is pinned by tests that are there, and so is what the other pages say is tested."""

from __future__ import annotations

import ast
import re
from functools import lru_cache

from tests.harness.world import ROOT

PAGE = (ROOT / "docs" / "threats.md").read_text(encoding="utf-8")
PAGES = [page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md")]
TEST = re.compile(r"`(test_\w+\.py)::(\w+)`")


@lru_cache
def defined_in(file: str) -> frozenset[str]:
    found = list((ROOT / "tests").rglob(file))
    tree = ast.parse(found[0].read_text(encoding="utf-8")) if found else ast.Module([], [])
    return frozenset(each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))


def lines() -> list[str]:
    """The tables' lines, without their heads."""
    heads = ("| who |", "| tries to |", "|---")
    return [line for line in PAGE.splitlines() if line.startswith("|") and not line.startswith(heads)]


def test_every_line_names_a_test() -> None:
    assert len(lines()) > 40
    assert [line for line in lines() if not TEST.search(line.split("|")[-2])] == []


def test_every_test_that_is_named_is_there() -> None:
    named = [each for page in PAGES for each in TEST.findall(page)]

    assert len(named) >= len(lines())
    assert [f"{file}::{name}" for file, name in named if name not in defined_in(file)] == []
    assert sum(page.count("::") for page in PAGES) == len(named)  # none is misspelt so that it is not seen
