"""Definitions from files and folders: one, or all of them, which must fit together."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from flows.errors import DefinitionError
from flows.pipeline.definition import Definition
from flows.pipeline.fault import Fault, refusal
from flows.pipeline.reading import read
from flows.records import LimitTerms


def shipped() -> Path:
    """The folder of the definitions that come with Rowrelay."""
    return Path(__file__).resolve().parent.parent.parent / "deployments" / "pipelines"


def load(path: Path | str, *, environ: Mapping[str, str] = os.environ) -> Definition:
    """The definition in a YAML file. Raises one DefinitionError that names every fault of the file."""
    made = read(Path(path), environ)
    made.__dict__["source_path"] = Path(path)
    return made


def load_all(paths: Iterable[Path | str], *, environ: Mapping[str, str] = os.environ) -> dict[str, Definition]:
    """The definitions of all files and folders (their *.yaml and *.yml) by name, sorted.

    Raises DefinitionError if two have one name, or name one limit with different numbers.
    """
    found, refused = load_each(paths, environ=environ)
    for fault in refused.values():
        raise fault
    return found


def load_each(
    paths: Iterable[Path | str], *, environ: Mapping[str, str] = os.environ
) -> tuple[dict[str, Definition], dict[Path, DefinitionError]]:
    """The same, but a file that is wrong spoils no other: it is among the second, with what is wrong about it."""
    found: dict[str, Definition] = {}
    refused: dict[Path, DefinitionError] = {}
    for path in _files(paths):
        try:
            made = load(path, environ=environ)
            _fits(made, found, path)
        except DefinitionError as exc:
            refused[path] = exc
        else:
            found[made.name] = made
    return dict(sorted(found.items())), refused


def _fits(made: Definition, found: Mapping[str, Definition], path: Path) -> None:
    if made.name in found:
        first = found[made.name].source_path
        raise refusal([Fault(("name",), f"{made.name} is the name of {first} too; rename one")], file=str(path))
    for other in found.values():
        _same_limit(made, other)


def _files(paths: Iterable[Path | str]) -> Iterator[Path]:
    seen: set[Path] = set()
    for path in map(Path, paths):
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            if path.is_dir() and file.suffix not in (".yaml", ".yml"):
                continue
            if file.resolve() not in seen:
                seen.add(file.resolve())
                yield file


def _same_limit(made: Definition, other: Definition) -> None:
    if made.limit.name != other.limit.name:
        return
    mine, theirs = made.limit.terms(made), other.limit.terms(other)
    different = [name for name in LimitTerms.__dataclass_fields__ if getattr(mine, name) != getattr(theirs, name)]
    if not different:
        return
    numbers = "; ".join(f"{name}: {getattr(mine, name)} here, {getattr(theirs, name)} there" for name in different)
    hint = "Give both the same numbers, or the limits different names."
    if different == ["max_timeout_seconds"]:
        most = max(mine.max_timeout_seconds, theirs.max_timeout_seconds)
        hint = f"Write max_timeout_seconds: {most:g} under `limit` in both."
    raise refusal(
        [Fault(("limit",), f"{made.limit.name} has other numbers in {other.source_path} ({numbers}). {hint}")],
        file=str(made.source_path),
    )
