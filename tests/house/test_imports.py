"""Which package may import which: one order, from the ground up, and no circle anywhere."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.harness.world import ROOT

# A floor imports from the floors before it. Those that share one do not import each other, but for the ground.
GROUND = frozenset(
    f"flows.{name}"
    for name in (
        "records", "errors", "values", "words", "settings", "logs", "private", "masking", "sheet", "scratch_index",
        "origin",
    )
)  # fmt: skip
FLOORS: tuple[tuple[str, ...], ...] = (
    ("flows.limit",),
    ("flows.pipeline",),
    ("flows.storage",),
    ("flows.source", "flows.schema", "flows.spool"),
    ("flows.client",),
    ("flows.ledger",),
    ("flows.credentials",),
    ("flows.delivery",),
    ("flows.export", "flows.retention", "flows.metrics", "flows.restored", "flows.flow_runs"),
    ("flows.intake",),
    ("flows.deliver", "flows.recover"),
    ("flows.inbox",),
    ("deployments.embedded",),
    ("dashboard.connections", "dashboard.preview", "dashboard.run_list", "dashboard.signin", "dashboard.target"),
    ("dashboard.words", "dashboard.rows", "dashboard.files", "dashboard.prefect_api"),
    ("dashboard.noted", "dashboard.refusals"),
    ("dashboard.absent", "dashboard.starting", "dashboard.timetable"),
    ("dashboard.actions",),
    ("dashboard.api", "dashboard.parts"),
    ("dashboard.pages", "dashboard.app"),
    ("deployments.registry", "deployments.observe", "deployments.standin", "deployments.container"),
    ("deployments.runners",),
    ("deployments.commands",),
)
TOPS = ("flows", "deployments", "dashboard")
DRAWS = ("dashboard.pages", "dashboard.parts", "dashboard.app", "dashboard.signin", "dashboard.api.guard")

Arrows = Mapping[str, frozenset[str]]


def modules(root: Path) -> dict[str, Path]:
    """Every module of ours, by its dotted name."""
    found = {}
    for path in (path for top in TOPS for path in (root / top).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path) -> Iterator[str]:
    """All that a module imports, also late or for types alone; of `from a.b import c` both `a.b` and `a.b.c`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{each.name}" for each in node.names)


def arrows(root: Path) -> Arrows:
    """Which modules of ours each module imports."""
    known = modules(root)
    return {
        name: frozenset(found for found in imported(path) if found in known and known[found].stem != "__init__")
        for name, path in known.items()
    }


def unit(module: str) -> str:
    """The package, or the module beside packages, that a module belongs to."""
    return ".".join(module.split(".")[:2])


def against_the_order(of: Arrows) -> list[str]:
    height = {name: at for at, floor in enumerate(FLOORS, start=1) for name in floor} | dict.fromkeys(GROUND, 0)
    return [
        f"{module} imports {found}"
        for module, targets in of.items()
        for found in targets
        if (up := unit(module)) != (down := unit(found))
        and height[down] >= height[up]
        and not (up in GROUND and down in GROUND)
    ]


def circle(of: Arrows) -> list[str]:
    """A circle of modules, or nothing."""
    left = dict(of)
    while free := [module for module, targets in left.items() if not targets & left.keys()]:
        for module in free:
            del left[module]
    if not left:
        return []
    way = [min(left)]
    while way[-1] not in way[:-1]:
        way.append(min(left[way[-1]] & left.keys()))
    return way[way.index(way[-1]) :]


@cache
def ours() -> Arrows:
    """Those of this tree."""
    return arrows(ROOT)


def test_every_package_has_its_floor() -> None:
    there = {unit(module) for module in ours() if module not in TOPS and not module.startswith("deployments.pipelines")}

    assert there == {*GROUND, *(name for floor in FLOORS for name in floor)}


def test_no_import_goes_against_the_order() -> None:
    assert against_the_order(ours()) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle(ours()) == []


def test_only_what_draws_and_what_asks_who_is_there_knows_streamlit() -> None:
    known = modules(ROOT)
    knowing = {
        name for name, path in known.items() if any(each.split(".")[0] == "streamlit" for each in imported(path))
    }

    assert {name for name in knowing if not name.startswith(DRAWS)} == {"deployments.container.sign_in"}


def test_the_dashboard_reads_addresses_and_starts_no_server() -> None:
    found = {each for name, targets in ours().items() if name.startswith("dashboard") for each in targets}

    assert {each for each in found if each.startswith("deployments")} == {"deployments.embedded.addresses"}
    below, todo = set[str](), {"deployments.embedded.addresses"}
    while todo:
        below |= todo
        todo = {each for name in todo for each in ours()[name]} - below
    assert {each for each in below if each.startswith("deployments")} == {
        "deployments.embedded.addresses", "deployments.embedded.reachable", "deployments.embedded.state",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "text", "wrong"),
    [
        ("flows/limit/a.py", "from flows.pipeline import b", ["flows.limit.a imports flows.pipeline.b"]),
        ("flows/limit/a.py", "def f():\n    import flows.pipeline.b", ["flows.limit.a imports flows.pipeline.b"]),
        ("flows/records.py", "from flows.limit.c import C", ["flows.records imports flows.limit.c"]),
        ("flows/schema/a.py", "from flows.spool import d", ["flows.schema.a imports flows.spool.d"]),
        ("flows/records.py", "from flows.errors import E", []),
        ("flows/spool/a.py", "from flows.limit import c", []),
    ],
)
def test_an_import_against_the_order_is_seen(tmp_path: Path, path: str, text: str, wrong: list[str]) -> None:
    for name in ("flows/pipeline/b.py", "flows/limit/c.py", "flows/spool/d.py", "flows/errors.py", path):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text if name == path else "")

    assert against_the_order(arrows(tmp_path)) == wrong


def test_a_circle_is_seen(tmp_path: Path) -> None:
    for name, text in (
        ("a", "from flows import b"),
        ("b", "from flows import c, d"),
        ("c", "import flows.a"),
        ("d", ""),
    ):
        (tmp_path / "flows").mkdir(exist_ok=True)
        (tmp_path / "flows" / f"{name}.py").write_text(text)

    assert circle(arrows(tmp_path)) == ["flows.a", "flows.b", "flows.c", "flows.a"]
