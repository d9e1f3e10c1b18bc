"""What a fresh clone is set up from: the lock, the Makefile, the sample."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
TARGETS = ("run", "up", "test", "bench", "check", "lock", "clean")


def lock() -> str:
    return (ROOT / "requirements.lock").read_text()


def normal(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_package_of_the_lock_has_a_version_and_hashes() -> None:
    blocks = re.split(r"\n(?=[a-z0-9])", "\n" + lock())[1:]
    assert len(blocks) > 100
    for block in blocks:
        assert re.match(r"[a-z0-9._-]+==\S+", block), block.splitlines()[0]
        assert "--hash=sha256:" in block, block.splitlines()[0]


def test_the_lock_names_no_address() -> None:
    """It has to work with whatever index a machine is told to use."""
    assert not re.search(r"https?:|file:|--(extra-)?index-url|--find-links", lock())


def test_the_lock_holds_every_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    names = {re.split(r"[\[<>=!;~ ]", line, maxsplit=1)[0] for line in declared}
    locked = re.findall(r"^([a-z0-9._-]+)==", lock(), flags=re.MULTILINE)

    assert {normal(name) for name in names} - {normal(name) for name in locked} == set()


def test_the_image_installs_what_the_lock_holds() -> None:
    """Whatever it needs, and whatever that needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = re.findall(r"--extra (\S+)", dockerfile())
    assert set(extras) == {"server", "s3"}

    wanted = [*project["dependencies"], "setuptools"]
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    locked = {normal(name) for name in re.findall(r"^([a-z0-9._-]+)==", lock(), flags=re.MULTILINE)}
    assert whole(wanted) - locked == set()


def test_the_commands_that_fill_the_image_work_on_the_lock(tmp_path: Path) -> None:
    """As they stand in the Dockerfile, but for the last one, which only says what it would install."""
    run = re.search(r"^RUN (cp requirements\.lock .+)$", dockerfile(), flags=re.MULTILINE)
    assert run is not None
    for name in ("pyproject.toml", "requirements.lock"):
        (tmp_path / name).symlink_to(ROOT / name)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    command = run[1].replace("uv pip install --no-cache", "uv pip install --dry-run")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "VIRTUAL_ENV": str(tmp_path / "venv"),
    }

    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True)

    if re.search(r"error sending request|dns error|[Nn]etwork|timed out", done.stderr):
        pytest.skip("no package index can be reached; what the lock holds was looked at above")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "prefect-redis==" in done.stderr
    assert "pytest==" not in done.stderr


def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text().replace("\\\n", " ")


def whole(wanted: list[str]) -> set[str]:
    """Requirements with all that they require, as this environment has them installed."""
    found: set[str] = set()
    todo = [(Requirement(line), "") for line in wanted]
    while todo:
        requirement, extra = todo.pop()
        marker = requirement.marker
        if marker is not None and not marker.evaluate({"extra": extra}):
            continue
        name = normal(requirement.name)
        for each in requirement.extras or {""}:
            if (key := f"{name}[{each}]") not in found:
                found.add(key)
                todo += [(Requirement(line), each) for line in metadata.requires(name) or ()]
    return {each.partition("[")[0] for each in found}


def test_make_alone_shows_every_target_with_what_it_does() -> None:
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert phony is not None
    targets = phony[1].split()

    assert set(TARGETS) <= set(targets)
    for target in targets:
        assert re.search(rf"^  make {target} +\S.+$", shown, flags=re.MULTILINE), target


@pytest.mark.parametrize(
    ("enough", "said"),
    [("exit 1", "Python 3.11 or newer is needed, and"), ("exit 0", "apt-get install python3-venv")],
    ids=["too old", "without venv"],
)
def test_a_python_that_will_not_do_is_refused_with_what_to_do(tmp_path: Path, enough: str, said: str) -> None:
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        (clone / name).symlink_to(ROOT / name)
    python = tmp_path / "python3.9"
    python.write_text(
        f'#!/bin/sh\ncase "$*" in *version_info*) {enough} ;; --version) echo Python 3.9.1 ;; *) exit 1 ;; esac\n'
    )
    python.chmod(0o755)

    made = subprocess.run(["make", "check", f"PYTHON={python}"], cwd=clone, capture_output=True, text=True, check=False)

    assert made.returncode != 0
    assert said in made.stdout
    assert not (clone / ".venv").exists()


def test_the_sample_has_a_hundred_rows_with_what_real_files_have() -> None:
    with (ROOT / "samples" / "posts.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    assert len(rows) == 100
    assert list(rows[0]) == ["userId", "title", "body"]
    assert any("\n" in row["body"] for row in rows)
    assert any('"' in row["title"] for row in rows)
    assert any(not row["title"].isascii() for row in rows)
