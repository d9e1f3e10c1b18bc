"""Which files a run may read: those below the allowed folders, and nothing that leads out of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.errors import FileError


def is_name(name: str) -> bool:
    """Whether it can be the name of a file at all: not empty, no control characters, not too long for a disk."""
    parts = name.encode(errors="replace").split(b"/")
    return bool(name) and all(ord(char) >= 32 for char in name) and len(name) <= 1000 and max(map(len, parts)) <= 255


def resolve(name: str, folders: Sequence[Path], *, looked: str = "") -> Path:
    """The real path of a file below one of `folders`; `name` is absolute or relative to one of them.

    `looked` says in words which folders these are.

    Raises:
        FileError: an odd name, a path or link that leads out, or no such file. The message names no folder that
            the caller did not name.
    """
    if not is_name(name):
        raise FileError("is no name of a file", file=repr(name[:80]))
    roots = [folder.resolve() for folder in folders]
    asked = Path(name)
    candidates = [asked] if asked.is_absolute() else [root / asked for root in roots]
    for path in candidates:
        if path.exists():
            if _within(path.resolve(), roots):
                return path.resolve()
            break
    else:
        if any(_within(path.resolve(), roots) for path in candidates) and ".." not in asked.parts:
            where = f" It was looked for in {looked}." if looked else ""
            hint = f"Upload it, or put it into the inbox folder.{where}"
            raise FileError("there is no such file", file=name, hint=hint)
    raise FileError(
        "lies outside the folders that may be read",
        file=name,
        hint="Put the file into the uploads or inbox folder, or name its folder in ROWRELAY_FOLDERS.",
    )


def below(url: str, allowed: str) -> bool:
    """Whether an address is an allowed one or lies below it."""
    if ".." in url.split("/"):
        return False
    return url.rstrip("/") == allowed.rstrip("/") or url.startswith(allowed.rstrip("/") + "/")


def _within(path: Path, roots: Sequence[Path]) -> bool:
    return any(path.is_relative_to(root) and path != root for root in roots)
