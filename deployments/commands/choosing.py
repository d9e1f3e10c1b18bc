"""Which pipeline is meant at the command line, where none is named."""

from __future__ import annotations

from pathlib import Path

from dashboard.files.fitting import fits
from flows.errors import DefinitionError
from flows.pipeline.definition import Definition
from flows.pipeline.pipelines import Pipelines, pick, present
from flows.settings import Settings


def chosen(name: str, file: Path, settings: Settings) -> Definition:
    """The pipeline of this name; without a name the only one that there is.

    Raises DefinitionError: there is none of that name; or there are several, and which of them fits the file.
    """
    found = present(settings)
    if name:
        return pick(found, name)
    if len(found) == 1 and not found.refused:
        return next(iter(found.values()))
    raise _refusal(found, file, settings)


def _refusal(found: Pipelines, file: Path, settings: Settings) -> DefinitionError:
    wrong = "".join(f" Wrong, so left out: {path}." for path in found.refused)
    if not found:
        more = found.withheld_notice or "`rowrelay init FILE` writes one; ROWRELAY_PIPELINES names folders with them."
        return DefinitionError("There is no pipeline.", hint=f"{more}{wrong}")
    fitting = [each.name for each in found.values() if fits(file, each, settings)]
    if len(fitting) == 1:
        return DefinitionError(
            f"No pipeline is named. The columns of {file} fit the pipeline {fitting[0]}.",
            hint=f"If that is meant, add --pipeline {fitting[0]}{wrong}",
        )
    return DefinitionError("No pipeline is named.", hint=f"Add --pipeline NAME. There are: {', '.join(found)}.{wrong}")
