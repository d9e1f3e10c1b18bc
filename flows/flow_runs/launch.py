"""What a caller in the same process tells a run about itself, beside the parameters that Prefect stores."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from flows.pipeline.file_form import AS_FOUND, FileForm

HAND_OVER = signal.SIGUSR1  # tells a flow run's process to give way to another one, which goes on with the run


@dataclass(frozen=True, slots=True)
class Launch:
    """Who starts the run, and from where.

    `trusted` lets the file lie anywhere: the person at the command line may read it anyway. `on_run` hears the
    run's id as soon as it is known, `on_delivery` gets the object that can be drained. `within` is the flow run that
    this one is a part of. `waits`: it ends when the API has decided about every accepted row. `left_out`: failed or
    unknown rows, by number, that are not to be sent again with the others. `said`: how the file is to be read.
    """

    by: str = ""
    within: str = ""
    trusted: bool = False
    url: str | None = None
    said: FileForm = AS_FOUND
    mapping: Mapping[str, str] = field(default_factory=dict)
    waits: bool = False
    left_out: frozenset[int] = frozenset()
    on_run: Callable[[str], None] = lambda run: None
    on_delivery: Callable[[Any], None] = lambda delivery: None


_NOTHING_SAID = Launch()
LAUNCH: ContextVar[Launch] = ContextVar("launch", default=_NOTHING_SAID)


def launched() -> Launch:
    """What the caller of this run has said. A function, since a flow that names the variable cannot go over to Dask."""
    return LAUNCH.get()
