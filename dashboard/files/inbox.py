"""Files that lie in the inbox, ready to be taken: the newest of all, in memory only as many as are shown."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.intake.incoming import DONE, FAILED, is_finished

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


def newest(root: Path, limit: int = 200, *, after: tuple[float, str] | None = None) -> Inbox:
    """The newest files below `root`, newest first; neither unfinished ones nor what was put away.

    `after` is when the last one shown was written, and its name: only files that follow it are wanted.
    """
    lying = (each for each in _lying(root, "") if after is None or _place(each) < after)
    shown = heapq.nlargest(limit + 1, lying, key=_place)
    return Inbox(shown[:limit], len(shown) > limit)


def _place(each: Lying) -> tuple[float, str]:
    return each.modified, each.name


def _lying(folder: Path, below: str) -> Iterator[Lying]:
    try:
        entries = os.scandir(folder)
    except OSError:
        return
    with entries:
        for entry in entries:
            name = f"{below}{entry.name}"
            if _is_folder(entry):
                yield from _lying(Path(entry.path), f"{name}/")
            elif _is_ready(entry, name) and (about := _about(entry)):
                yield Lying(name, about.st_size, about.st_mtime)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".") and entry.name not in (DONE, FAILED)


def _is_ready(entry: os.DirEntry[str], name: str) -> bool:
    """Whether it can be sent, and its name be said: one that is not UTF-8 fits neither into JSON nor onto a page."""
    return (
        entry.is_file(follow_symlinks=False)
        and is_finished(entry.name)
        and not entry.name.endswith(_REPORTS)
        and not any("\ud800" <= char <= "\udfff" for char in name)
    )


def _about(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except OSError:
        return None  # gone meanwhile
