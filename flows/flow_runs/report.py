"""What Prefect's pages show of a run: a progress bar, a table of what became of the rows, a link."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect.artifacts import (
    create_link_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from flows.ledger.run import Run
from flows.ledger.view import View
from flows.pipeline.reading import from_resolved
from flows.records import RowState
from flows.settings import Settings

logger = logging.getLogger(__name__)
FIRST_FAILED = 20


class Report:
    """Artifacts of one run. Prefect being away does not stop a delivery, so nothing here raises for that."""

    def __init__(self, run: str, settings: Settings) -> None:
        self.run = run
        self._settings = settings
        self._bar: UUID | None = None

    def progress(self, view: View) -> None:
        """Bring the bar up to date with the ledger."""
        with _optional():
            run = view.run(self.run)
            percent = 100.0 * run.decided_rows / run.total if run.total else 0.0
            if self._bar is None:
                self._bar = create_progress_artifact(  # type: ignore[assignment]
                    progress=percent,
                    key=_key("progress", run),
                    description=f"Rows of {run.shown_file} that are finished",
                )
            else:
                update_progress_artifact(self._bar, progress=percent)

    def finish(self, run: Run, view: View) -> None:
        """Put down the table of what became of the rows, and the link to the dashboard."""
        with _optional():
            if self._bar is not None:
                self.progress(view)
            create_table_artifact(
                key=_key("results", run),
                table=_table(run, view),
                description=f"What became of the rows of {run.shown_file}: {run.shown_as}",
            )
            if self._settings.dashboard_url:
                create_link_artifact(
                    link=f"{self._settings.dashboard_url.rstrip('/')}/run?id={self.run}",
                    link_text="This run on the dashboard",
                    key=_key("dashboard", run),
                    description=f"Run of {run.shown_file} on the dashboard",
                )


def _key(what: str, run: Run) -> str:
    """Prefect takes lower-case letters, digits and dashes, which are all that a pipeline's name may have."""
    return f"{what}-{run.pipeline}-{run.id[:8].lower()}"


def _table(run: Run, view: View) -> list[dict[str, object]]:
    table: list[dict[str, object]] = [
        {"row": "", "state": state, "rows": run.counts[state], "status": "", "reason": ""} for state in RowState
    ]
    names = from_resolved(view.definition(run.id)).kept
    troubled = view.select(run.id, [RowState.FAILED, RowState.UNKNOWN], run.total)[:FIRST_FAILED].tolist()
    for record in view.records(run.id, troubled, names=names, created=run.created):
        table.append(
            {
                "row": record.row,
                "state": record.state,
                "rows": "",
                "status": record.status or "",
                "reason": record.reason,
            }
        )
    for rejection in view.samples(run.id)[:FIRST_FAILED]:
        reasons = run.facts.places.place(rejection.line) + ": " + rejection.why
        table.append({"row": rejection.row, "state": RowState.REJECTED, "rows": "", "status": "", "reason": reasons})
    return table


@contextmanager
def _optional() -> Iterator[None]:
    try:
        yield
    except Exception as exc:  # Prefect raises errors of many libraries when it is away
        logger.warning("could not write the run's artifact: %s", exc)
