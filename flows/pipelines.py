"""The pipelines of this installation: the shipped ones and those that ROWRELAY_PIPELINES adds."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from flows.definition import Definition, load_all, shipped
from flows.errors import DefinitionError
from flows.settings import Settings


def present(settings: Settings) -> dict[str, Definition]:
    """All definitions by name. Raises DefinitionError for the first file that is wrong or disagrees with another."""
    for path in settings.pipelines:
        if not path.exists():
            raise DefinitionError("there is no such file or folder", file=str(path), key="ROWRELAY_PIPELINES")
    return load_all((shipped(), *settings.pipelines))


def pick(found: Mapping[str, Definition], name: str) -> Definition:
    """One of them by its name. Raises DefinitionError naming those there are."""
    if name in found:
        return found[name]
    near = get_close_matches(name, found, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise DefinitionError(
        f"There is no pipeline {name!r}.",
        hint=f"{hint}There are: {', '.join(found) or 'none'}. ROWRELAY_PIPELINES names folders with more.",
    )
