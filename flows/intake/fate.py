"""What became of a file of an inbox in one look, and what is told of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from flows.errors import RowrelayError
from flows.ledger.run import Run
from flows.records import RowState


class Fate(StrEnum):
    """What became of a file in one look."""

    DELIVERED = "delivered"
    TROUBLED = "delivered with errors"
    REFUSED = "refused"
    SKIPPED = "skipped"
    LEFT = "left alone"
    STUCK = "not put away"  # it could not be moved; a later look tries again
    STOPPED = "stopped"  # for no fault of its own. The look ends here; a later one goes on with its run
    INTERRUPTED = "interrupted"  # the same, by whoever ended the look


@dataclass(frozen=True, slots=True)
class Taken:
    """A file and what became of it. `run` is empty where none was begun, `where` unless it was put away."""

    name: str
    fate: Fate
    run: str = ""
    note: str = ""
    where: str = ""


@dataclass(frozen=True, slots=True)
class Delivered:
    """How a delivery ended for the process that did it: interrupted, or ended early by what."""

    interrupted: bool = False
    failure: RowrelayError | None = None
    message: str = ""


def nothing_waits(run: Run) -> bool:
    """Whether every row of a checked file has its outcome."""
    return bool(run.total) and run.finished_rows == run.total


def counted(run: Run) -> str:
    """How many rows are in which state, in words."""
    counts = ", ".join(f"{count} {state}" for state, count in run.shown_counts.items() if count)
    return f"{counts} of {run.total}" + (f". {run.reason}" if run.reason else "")


def report_of(run: Run, name: str, digest: str) -> dict[str, Any]:
    """What is written beside a file that was put away."""
    return {
        "file": name,
        "digest": digest,
        "pipeline": run.pipeline,
        "run": run.id,
        "state": run.state,
        "reason": run.reason,
        "total": run.total,
        **{str(state): run.counts[state] for state in RowState},
        "skipped_rows": run.skipped,  # of the rejected; `skipped` alone says why a whole file was passed over
        "created": _stamp(run.created),
        "ended": _stamp(run.ended) if run.ended else None,
    }


def _stamp(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
