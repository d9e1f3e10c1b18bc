"""Files that lie in the inbox, ready to be taken: found without reading more of a large folder than can be shown."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.intake.incoming import DONE, FAILED, is_finished

MOST_LOOKED_AT = 20_000
_REPORTS = (".report.json", ".troubled.csv")


@dataclass(frozen=True, slots=True)
class Lying:
    """A file in the inbox: its name below it, bytes, and when it was last written, in Unix seconds."""

    name: str
    bytes: int
    modified: float


@dataclass(frozen=True, slots=True)
class Inbox:
    """The newest files. `more`: there are others that are not among them."""

    files: list[Lying]
    more: bool


def newest(root: Path, limit: int = 200) -> Inbox:
    """The newest files below `root`, newest first; neither unfinished ones nor what was put away."""
    found: list[Lying] = []
    cut = False
    for entry, name in _walk(root, ""):
        if len(found) == MOST_LOOKED_AT:
            cut = True
            break
        try:
            about = entry.stat(follow_symlinks=False)
        except OSError:
            continue  # gone meanwhile
        found.append(Lying(name, about.st_size, about.st_mtime))
    shown = heapq.nlargest(limit, found, key=lambda each: each.modified)
    return Inbox(shown, cut or len(found) > len(shown))


def _walk(folder: Path, below: str) -> Iterator[tuple[os.DirEntry[str], str]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        name = f"{below}{entry.name}"
        if entry.is_file(follow_symlinks=False):
            if is_finished(entry.name) and not entry.name.endswith(_REPORTS):
                yield entry, name
        elif (
            entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".") and entry.name not in (DONE, FAILED)
        ):
            yield from _walk(Path(entry.path), f"{name}/")
