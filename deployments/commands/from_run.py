"""What is sent of a run's results instead of a file: to undo the run, or by another pipeline."""

from __future__ import annotations

from dataclasses import asdict

from dashboard.preview import as_text, first_requests
from deployments.commands.changing import sure
from deployments.commands.session import Session, err, out
from deployments.commands.showing import print_json
from flows.delivery.earlier_run import refuse_without_results
from flows.delivery.undoing import Plan, plan
from flows.ledger.run import Run
from flows.pipeline.definition import Definition
from flows.pipeline.pipelines import pick, present
from flows.pipeline.reading import redirected
from flows.records import RowState


def print_plan(session: Session, run: Run, *, as_json: bool) -> int:
    """What undoing a run would do, with its first request. Sends nothing."""
    planned = plan(session.view, session.settings, run)
    assert planned.first is not None
    (shown,) = first_requests(run.id, planned.definition, [planned.first], session.settings)
    if as_json:
        print_json(_object(planned) | {"first": asdict(shown)})
        return 0
    for text in planned.words:
        out.print(text, markup=False)
    out.print("\nThe first request:", style="bold")
    out.print(as_text(shown), markup=False)
    return 0


def agreed(session: Session, run: Run, *, yes: bool) -> Definition | None:
    """The definition that undoes a run, once a person has agreed to what will happen; None where one has not."""
    planned = plan(session.view, session.settings, run)
    for text in planned.words:
        err.print(text, markup=False)
    return planned.definition if yes or sure("Undo them?") else None


def other(session: Session, run: Run, pipeline: str, url: str | None) -> Definition:
    """The pipeline that a run's done rows are sent through. Raises RowrelayError where it has none."""
    refuse_without_results(run)
    definition = pick(present(session.settings), pipeline)
    return redirected(definition, url) if url else definition


def _object(planned: Plan) -> dict[str, object]:
    return {
        "run": planned.run.id,
        "rows": planned.rows,
        "method": planned.method,
        "host": planned.host,
        "left_alone": dict(planned.alone),
        "unknown": planned.run.counts[RowState.UNKNOWN],
    }
