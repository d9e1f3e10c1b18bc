"""A spool that is gone, made anew from the original file: the ledger knows rows by number, so nothing may differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flows.delivery.check import CheckResult, check_file
from flows.delivery.delivered import SkippedThen
from flows.errors import FileError
from flows.ledger.run import Run
from flows.pipeline.definition import Definition
from flows.records import Rejection
from flows.spool.spool import Spool


def respool(
    run: Run,
    rejected: NDArray[np.bool_],
    skipped: int,
    file: Path,
    definition: Definition,
    spool: Spool,
    *,
    max_bytes: int,
    go_on: Callable[[], None],
) -> None:
    """Check the file into the spool once more. `rejected` says of each row whether it was rejected when the run began.

    `skipped`: how many of those were good ones.

    `go_on` is called again and again and may raise. Raises FileError, and leaves no spool, if the file's content is no
    longer the same or its rows are judged differently.
    """
    now = np.zeros(run.total, dtype=bool)

    def reject(rejections: Sequence[Rejection]) -> None:
        rows = np.array([item.row for item in rejections], dtype=np.int64) - 1
        now[rows[rows < run.total]] = True

    result = check_file(
        file,
        definition,
        spool,
        said=run.facts.as_read,
        mapping=run.facts.asked_map,
        max_bytes=max_bytes,
        on_progress=lambda rows, done, total: go_on(),
        on_rejections=reject,
        delivered=SkippedThen(rejected) if skipped else None,
        skip_delivered=True,
    )
    try:
        _refuse_another(run, result, file)
        _refuse_other_judgement(run, rejected, now, skipped, result, file)
    except FileError:
        spool.delete()
        raise


def _refuse_another(run: Run, result: CheckResult, file: Path) -> None:
    if result.digest != run.facts.digest:
        raise FileError(
            "is not the file that this run began with, and the run's spool is gone",
            file=str(file),
            hint="Put the original file back, or send this one as a run of its own.",
        )


def _refuse_other_judgement(
    run: Run, then: NDArray[np.bool_], now: NDArray[np.bool_], skipped: int, result: CheckResult, file: Path
) -> None:
    other = np.flatnonzero(then != now)
    if len(other) == 0 and result.skipped == skipped and result.rows == run.total:
        return
    what = "other rows are left out"
    if result.rows != run.total:
        what = f"{result.rows} rows are found where {run.total} were"
    elif len(other):
        what = f"row {other[0] + 1} was {'rejected' if then[other[0]] else 'accepted'} then and is not now"
    raise FileError(
        f"its rows are judged differently than when the run began ({what}), and the run's spool is gone",
        file=str(file),
        hint="The program or the pipeline's `schema` has changed since: put it back, or send the file as a new run.",
    )
