"""Rejected cells whose column would take them if they were written otherwise: what each may have meant, by cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.rows.groups import Group
from flows.pipeline.column import Column
from flows.pipeline.meant import meant


@dataclass(frozen=True, slots=True)
class Cause:
    """Groups of rejected cells that share a column and a reason, and what each of them becomes."""

    column: str
    check: str
    groups: tuple[Group, ...]
    becomes: tuple[str, ...]

    @property
    def cells(self) -> int:
        """How many cells it is."""
        return sum(each.rows for each in self.groups)

    @property
    def changes(self) -> list[dict[str, Any]]:
        """The document that mends them."""
        return [
            {"column": self.column, "value": each.value, "becomes": text}
            for each, text in zip(self.groups, self.becomes, strict=True)
        ]


def causes(groups: Sequence[Group], columns: Mapping[str, Column]) -> list[Cause]:
    """What is likely meant by cells in these groups, the largest cause first. What nobody can tell is not among it."""
    found: dict[tuple[str, str], list[tuple[Group, str]]] = {}
    for each in groups:
        if not each.by_value or (column := columns.get(each.column)) is None:
            continue
        if (becomes := meant(column, each.value)) is not None:
            found.setdefault((each.column, each.check), []).append((each, becomes))
    made = [
        Cause(column, check, tuple(each for each, _ in pairs), tuple(text for _, text in pairs))
        for (column, check), pairs in found.items()
    ]
    return sorted(made, key=lambda each: -each.cells)
