"""What a person on a page, or a program over HTTP, may do with what is there: one way in, the same checks for both."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard.connections import client, ledger, pipelines, settings, view
from dashboard.files.deposit import deposit
from dashboard.noted import note
from dashboard.prefect_api import server
from dashboard.prefect_api.server import FlowRun
from dashboard.refusals import NotFound, NotPossible
from dashboard.starting import asked
from flows.delivery.changes import CannotMend, Document
from flows.errors import RunBusy
from flows.flow_runs.start import KeyReused
from flows.ledger.connection import translated
from flows.ledger.mends import Mend
from flows.ledger.run import Run
from flows.limit import status as limit_status
from flows.limit.status import open_limit
from flows.pipeline.pipelines import pick
from flows.records import RowState
from flows.retention import delete_run


def take_back(flow: FlowRun, *, by: str) -> None:
    """Let a run that nobody has begun never begin. Raises NotPossible, PrefectRefused, StackError."""
    if flow.ended:
        raise NotPossible("The run has ended already, so there is nothing to cancel.")
    server.cancel(flow.id)
    note("%s cancelled the run %s before it began", by, flow.id)


def cancel(run: Run, *, by: str) -> None:
    """Let no further row of it be sent; those under way end as they will. Raises NotPossible, StackError."""
    waiting = asked(run)
    if not run.busy and not waiting:
        raise NotPossible("The run is not being delivered, so there is nothing to cancel.")
    if waiting:
        server.cancel(waiting)
    with translated():
        if run.busy:
            ledger().cancel(run.id, by)
        ledger().event(run.id, f"cancelled by {by}")


def mark_done(run: Run, *, by: str, rows: Sequence[int] | None = None) -> int:
    """Call unknown rows done, all or these; returns how many moved. Raises NotPossible, StackError."""
    if run.busy:
        raise RunBusy("The run is being delivered.", hint="Wait until it ends, or cancel it first.")
    chosen = view().select(run.id, [RowState.UNKNOWN], run.total).tolist() if rows is None else rows
    if not chosen:
        raise NotPossible("The run has no unknown rows.")
    if min(chosen) < 1 or max(chosen) > run.total:
        raise NotFound(f"The run has rows 1 to {run.total}.")
    with translated():
        moved = ledger().mark_done(run.id, chosen, by=by)
        if moved:
            ledger().event(run.id, f"{moved} unknown rows marked done by {by}")
    return moved


def mend(run: Run, document: Document, *, by: str, key: str | None = None) -> Mend:
    """Change rejected rows of a checked run, or take that back; returns what came of it.

    Raises:
        RunBusy: it is being delivered, or about to be, or somebody else mends it.
        NotPossible: it is not a run that was checked and not sent.
        ChangesRefused: the document does not fit its rejected rows.
        KeyReused: the key stands for another document.
        FileError: its rows cannot be read or written.
        StackError: Redis does not answer.
    """
    from flows.delivery import mending  # with it comes pandera, which a dashboard on which nobody mends does without

    for before in view().mends(run.id) if key else ():
        if before.key == key:
            if (before.changes, before.undo) != ([dict(each) for each in document.raw], document.undo):
                raise KeyReused()
            return before
    if asked(run):
        raise RunBusy("The run is about to be delivered.", hint="Cancel it first, or wait until it ends.")
    try:
        return mending.mend(run, document, ledger=ledger(), view=view(), settings=settings(), by=by, key=key or "")
    except CannotMend as exc:
        raise NotPossible(exc.message, hint=exc.hint) from exc


def put_into_inbox(run: Run, *, by: str) -> str:
    """Put the file of a checked run into its pipeline's inbox, for the next look there; returns where it is.

    Raises:
        NotPossible: the run undoes another one, or its rows were mended.
        FileError: the file is gone, or one of this name lies there already.
        StorageError: the inbox cannot be written to.
    """
    if run.facts.undoes:
        raise NotPossible("The run undoes another one: from the inbox its rows would be sent.")
    if run.facts.mends:
        raise NotPossible("Rows of this run were mended, and from the inbox its file would be sent as it was before.")
    definition = pick(pipelines(), run.pipeline)
    path = deposit(run.file, run.facts.name or run.file, definition, settings())
    with translated():
        ledger().event(run.id, f"{by} put the file into the inbox")
    note("%s put the file of run %s into the inbox %s", by, run.id, path)
    return str(path)


def delete(run: Run, *, by: str) -> None:
    """Remove a run, its rows, its spool, and its uploaded file if no other run has it. Raises RunBusy, StackError."""
    if asked(run):
        raise RunBusy("The run is about to be delivered.", hint="Cancel it first.")
    with translated():
        delete_run(run.id, ledger(), settings(), by=by)
    note("%s deleted the run %s of %s", by, run.id, run.pipeline)


def open_the_limit(name: str, *, by: str) -> bool:
    """Say that the API lets us in again. False if the limit was not latched. Raises NotPossible, StackError."""
    with translated():
        if name not in limit_status.names(client()):
            raise NotFound(f"There is no limit {name!r}.", hint="Limits appear with the first run that uses them.")
        opened = open_limit(client(), name, by)
    note("%s opened the limit %s", by, name)
    return opened
