"""What a fault is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """`old` stands in `path` exactly once."""

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]


def of(path: str, tests: tuple[str, ...], *faults: tuple[str, str, str]) -> list[Fault]:
    """Faults of one file: (name, what stands there, what is put in its place)."""
    area = path.split("/")[1]
    return [Fault(f"{area}: {name}", path, old, new, tests) for name, old, new in faults]
