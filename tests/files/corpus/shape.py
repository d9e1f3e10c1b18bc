"""What a file of the corpus is, and what it means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Shape:
    """A file as a program or a person leaves it, and what is meant.

    `columns`: the pipeline's own, by name their rules in YAML; `called`: what those are called in the file, where it
    differs. `rows`: by row the values that are meant, in the order of `columns`; a text that begins with `!` in place
    of a row: it has to be rejected, for a reason that holds this text. `says`: what a person has to say of the file.
    `refused`: what the file is refused with as long as nobody says it.
    """

    what: str
    file: str
    content: bytes
    columns: Mapping[str, str]
    rows: Sequence[Sequence[Any] | str]
    called: Mapping[str, str] = field(default_factory=dict)
    says: Mapping[str, Any] = field(default_factory=dict)
    refused: str = ""

    def __str__(self) -> str:
        return self.what


def text(
    what: str,
    lines: str,
    columns: Mapping[str, str],
    rows: Sequence[Sequence[Any] | str],
    *,
    file: str = "rows.csv",
    encoding: str = "utf-8",
    end: str = "\n",
    called: Mapping[str, str] | None = None,
    says: Mapping[str, Any] | None = None,
    refused: str = "",
) -> Shape:
    """A file of text; `lines` are written as they stand, with `end` for each line feed."""
    content = lines.replace("\n", end).encode(encoding)
    return Shape(what, file, content, columns, rows, called or {}, says or {}, refused)
