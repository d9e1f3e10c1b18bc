"""The README and docs/ tell of every setting, command and target, and of none that is not there."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from ruamel.yaml import YAML
from typer.main import get_command

from deployments.commands.cli import app
from deployments.standin.command import parser
from flows.pipeline.definition import json_schema
from flows.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def told() -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


def commands() -> dict[str, set[str]]:
    """Every command as people type it, with its options."""
    found: dict[str, set[str]] = {}

    def walk(command: typer.core.TyperGroup, words: tuple[str, ...]) -> None:
        for name, each in command.commands.items():
            if getattr(each, "commands", None):
                walk(each, (*words, name))  # type: ignore[arg-type]
            else:
                options = {
                    option for parameter in each.params for option in (*parameter.opts, *parameter.secondary_opts)
                }
                found[" ".join((*words, name))] = options

    walk(get_command(app), ())  # type: ignore[arg-type]
    found["standin"] = {option for action in parser()._actions for option in action.option_strings}
    return found


def lines() -> str:
    """The settings as the table of docs/reference.md has to show them."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=False)
        shown = "" if default in (None, (), "") or field.default_factory else f"`{default}`"
        rows.append(f"| `ROWRELAY_{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(rows)


def test_every_setting_is_in_the_reference_with_its_default_and_what_it_is_for() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    missing = [line for line in lines().splitlines() if line not in reference]

    head = "docs/reference.md lacks these lines of its table of settings (| variable | default | what it is for |):"
    assert not missing, "\n".join([head, *missing])


def test_every_key_of_a_definition_is_on_the_page_of_pipelines() -> None:
    page = (ROOT / "docs" / "pipelines.md").read_text(encoding="utf-8")
    named = set(re.findall(r"[a-z_0-9]+", " ".join(re.findall(r"`([^`\n]+)`", page))))
    schema = json_schema()
    keys = {key for part in (schema, *schema["$defs"].values()) for key in part.get("properties", {})}

    assert keys - named == set()


def test_no_page_tells_of_a_setting_that_is_not_there() -> None:
    known = {f"ROWRELAY_{name.upper()}" for name in Settings.model_fields}
    also = {"ROWRELAY_VERSION"}  # of the compose file: which image

    assert set(re.findall(r"\bROWRELAY_[A-Z_]*[A-Z]", told())) - known - also == set()


def test_every_command_is_told_of() -> None:
    text = told()
    missing = [name for name in commands() if f"rowrelay {name}" not in text]

    assert not missing, f"Neither README.md nor docs/ tell of: {', '.join('rowrelay ' + name for name in missing)}"


def test_every_command_line_in_the_pages_is_one_that_exists() -> None:
    known = commands()
    groups = {name.split()[0] for name in known if " " in name}
    wrong = []
    for line in re.findall(r"(?:^(?: {4})?|`)(rowrelay [^`\n#]+)", told(), flags=re.MULTILINE):
        words = shlex.split(line.split("|")[0].replace("'", ""), posix=True)[1:]
        if not words or words[0].startswith("-"):
            continue
        name = " ".join(words[:2]) if words[0] in groups and " ".join(words[:2]) in known else words[0]
        words = words[: words.index("--")] if "--" in words else words  # what comes behind is somebody else's
        options = {word.split("=")[0] for word in words if word.startswith("--") and word != "--"}
        if name in groups:  # the group alone lists what it has
            continue
        if name not in known or not options <= known[name] | {"--help", "--debug"}:
            wrong.append(line)

    assert wrong == []


def test_every_target_that_the_pages_name_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"(?:`|^(?: {4})?)make ([a-z]+)\b", told(), flags=re.MULTILINE))

    assert named - targets == set()


def test_every_file_that_the_pages_name_is_there() -> None:
    named = {
        ROOT / name
        for name in re.findall(r"`((?:flows|deployments|dashboard|tests|bench|docs|samples)/[\w./-]+)`", told())
    }
    for page in PAGES:
        links = re.findall(r"\]\(((?!https?:|#)[^)#]+)", page.read_text(encoding="utf-8"))
        named |= {page.resolve().parent / link for link in links}

    assert [str(path) for path in named if not path.exists()] == []


def test_the_pages_name_every_module_that_is_started_by_hand_as_it_is() -> None:
    named = set(re.findall(r"python -m (?!pytest|bench\.NAME)([a-z_.]+)", told()))

    for module in named:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    navigation = YAML(typ="safe").load(ROOT / "mkdocs.yml")["nav"]

    def pages(entries: Any) -> Iterator[str]:
        for _, page in (pair for entry in entries for pair in entry.items()):
            yield from [page] if isinstance(page, str) else pages(page)

    there = (page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md"))
    assert sorted(pages(navigation)) == sorted(there)


def test_the_site_builds_without_a_broken_link_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")

    done = subprocess.run(["zensical", "build", "--strict"], cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(list((tmp_path / "docs").rglob("*.md")))  # one more: not found
    for page in pages:
        loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=\"?([^\" >]+)", page.read_text("utf-8"))
        assert loaded
        assert [address for address in loaded if "//" in address] == []
