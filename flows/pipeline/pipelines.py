"""The pipelines of this installation: the shipped ones and those that ROWRELAY_PIPELINES adds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from flows.errors import DefinitionError
from flows.pipeline.definition import Definition
from flows.pipeline.document import read_text
from flows.pipeline.loading import load_each, shipped
from flows.settings import Settings

Mark = tuple[tuple[str, int, int], ...]


class Pipelines(dict[str, Definition]):
    """Definitions by name. `refused` has the files that are wrong: they spoil no other pipeline than their own."""

    def __init__(self, found: Mapping[str, Definition], refused: Mapping[Path, DefinitionError]) -> None:
        super().__init__(found)
        self.refused = dict(refused)


def present(settings: Settings) -> Pipelines:
    """All definitions by name, and what is wrong with the other files.

    Raises DefinitionError only where ROWRELAY_PIPELINES names what is not there.
    """
    for path in settings.pipelines:
        if not path.exists():
            raise DefinitionError("there is no such file or folder", file=str(path), key="ROWRELAY_PIPELINES")
    return Pipelines(*load_each((shipped(), *settings.pipelines)))


def mark(settings: Settings) -> Mark:
    """Something that changes with any definition file."""
    files = [
        file
        for path in (shipped(), *settings.pipelines)
        for file in (sorted(path.iterdir()) if path.is_dir() else [path])
        if file.exists()
    ]
    return tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)


def pick(found: Mapping[str, Definition], name: str) -> Definition:
    """One of them by its name. Raises DefinitionError: what is wrong with its file, or which there are."""
    if name in found:
        return found[name]
    refused = found.refused if isinstance(found, Pipelines) else {}
    for path, fault in refused.items():
        if path.stem == name or _names(path, name):
            raise fault
    near = get_close_matches(name, found, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    wrong = "".join(f" Wrong, so left out: {path}." for path in refused)
    raise DefinitionError(
        f"There is no pipeline {name!r}.",
        hint=f"{hint}There are: {', '.join(found) or 'none'}. ROWRELAY_PIPELINES names folders with more.{wrong}",
    )


def _names(path: Path, name: str) -> bool:
    """Whether a file that cannot be read as a definition looks like the one of this pipeline."""
    try:
        text = read_text(path)
    except DefinitionError:
        return False
    stated = re.compile(rf"""^[\s{{]*["']?name["']?\s*:\s*["']?{re.escape(name)}["']?\s*[,#}}\r\n]""", re.MULTILINE)
    return bool(stated.search(text + "\n"))
