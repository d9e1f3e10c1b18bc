"""How large things may be: a class that does one thing, a module that is read in one go."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.harness.world import ROOT
from tests.house.test_imports import modules

MOST_METHODS = 20  # properties are methods
MOST_LINES = 350


def too_many_methods(root: Path) -> Iterator[str]:
    for path in modules(root).values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found = sum(isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) for each in node.body)
                if found > MOST_METHODS:
                    yield f"{path.relative_to(root)}: {node.name} has {found} methods"


def too_many_lines(root: Path) -> Iterator[str]:
    for path in modules(root).values():
        if (found := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES:
            yield f"{path.relative_to(root)} has {found} lines"


def test_no_class_has_more_than_twenty_methods() -> None:
    assert list(too_many_methods(ROOT)) == []


def test_no_module_has_more_than_350_lines() -> None:
    assert list(too_many_lines(ROOT)) == []


def test_what_is_too_large_is_seen(tmp_path: Path) -> None:
    methods = "".join(f"    @property\n    def a{at}(self): ...\n" for at in range(20))
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "a.py").write_text(
        f"class Small:\n{methods}\nclass Large:\n{methods}    async def b(self): ...\n"
    )
    (tmp_path / "flows" / "b.py").write_text("a = 1\n" * 350)
    (tmp_path / "flows" / "c.py").write_text("a = 1\n" * 351)

    assert list(too_many_methods(tmp_path)) == ["flows/a.py: Large has 21 methods"]
    assert list(too_many_lines(tmp_path)) == ["flows/c.py has 351 lines"]
