"""What a person at the command line asked to be sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deployments.commands.delivered import at_terminal
from flows.pipeline.file_form import AS_FOUND, FileForm
from flows.records import Wanted


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asked to be sent: a file, the rest of a run, or the results of one, to undo it or elsewhere."""

    file: Path | None = None
    pipeline: str = ""
    resume: str = ""
    rows: Wanted = "unfinished"
    url: str | None = None
    said: FileForm = AS_FOUND
    mapping: Mapping[str, str] = field(default_factory=dict)
    skip_delivered: bool = False
    new_definition: bool = False
    left_out: frozenset[int] = frozenset()  # rows of the run that are not sent again
    waits: bool = False
    ledger_is_current: bool = False
    yes: bool = False
    as_json: bool = False
    from_run: str = ""
    undo: bool = False

    @property
    def askable(self) -> bool:
        """Whether there is somebody who wants to be asked."""
        return not (self.yes or self.as_json) and at_terminal()
