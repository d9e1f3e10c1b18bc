"""The commands for a file and what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deployments.commands import loading
from deployments.commands.file_options import NOTHING, Said, by_option, reads_file
from deployments.commands.mapping import mapping_of
from deployments.commands.options import (
    AsJson,
    Chosen,
    Form,
    Mapped,
    Pipeline,
    Rows,
    RunName,
    Whose,
    Yes,
    group,
)
from flows.errors import RowrelayError

commands = group()
KINDS = "CSV, Excel, OpenDocument, JSON or Parquet, also packed (.gz, .bz2, .xz, .zst, .zip)."


@commands.command(
    epilog="\b\nExample:\n  rowrelay check orders.csv --pipeline posts\n  rowrelay check orders.csv --rejects wrong.csv"
)
@reads_file
def check(
    file: Annotated[Path, typer.Argument(help=KINDS)],
    pipeline: Pipeline = None,
    form: Said = NOTHING,
    mapping: Mapped = None,
    as_json: AsJson = False,
    rejects: Annotated[
        Path | None, typer.Option(help="Write all rejected rows here, each with its reason, to be corrected.")
    ] = None,
    look: Annotated[bool, typer.Option("--look", help="Only show the first rows, as they are read.")] = False,
) -> int:
    """Check a file and show the first requests as they would go out. Sends nothing and needs no server.

    Exit codes: 0 every row can be sent; 1 some rows are rejected; 2 the file or the pipeline is unusable,
    or a secret is missing.
    """
    from deployments.commands import checking, looking
    from flows.pipeline.file_form import said

    if look:
        return looking.show(file, pipeline=pipeline or "", said=said(**form), as_json=as_json)
    return checking.check(
        file,
        pipeline=pipeline or "",
        said=said(**form),
        mapping=mapping_of(mapping),
        rejects=rejects,
        as_json=as_json,
    )


@commands.command(
    epilog="\b\nExample:\n  rowrelay send orders.csv --pipeline posts\n"
    "  rowrelay send --resume last\n  rowrelay send --resume last --rows failed"
)
@reads_file
def send(
    file: Annotated[Path | None, typer.Argument(help=KINDS, show_default=False)] = None,
    pipeline: Pipeline = None,
    url: Annotated[str | None, typer.Option(help="Send to this address instead of the pipeline's.")] = None,
    form: Said = NOTHING,
    mapping: Mapped = None,
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Send what a run has left, or `last`.")] = None,
    rows: Annotated[
        Rows | None,
        typer.Option(
            help="With --resume: which rows to send. reconcile and accepted: to ask the API about.",
            show_default="unfinished",
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="End when the API has decided about the rows that it only accepted.")
    ] = False,
    from_run: Annotated[
        str | None,
        typer.Option(
            "--from-run", metavar="RUN", help="Send the done rows of a run, with what was kept of them, by --pipeline."
        ),
    ] = None,
    skip_delivered: Annotated[
        bool,
        typer.Option(
            "--skip-delivered",
            help="Leave out rows that another run delivered, by the pipeline's `key`; with --resume: a later run.",
        ),
    ] = False,
    definition: Annotated[
        Whose | None,
        typer.Option(
            help="With --resume: `new` sends the failed or unfinished rows by the pipeline as it is at present.",
            show_default="own",
        ),
    ] = None,
    ledger_is_current: Annotated[
        bool,
        typer.Option(
            "--ledger-is-current",
            help="Redis knows less than this machine has seen, but was not restored from a backup: go on.",
        ),
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> int:
    """Send a file's rows, as fast as the pipeline's limit allows. Uses a running stack, or starts its own.

    Ctrl-C takes no new rows and waits for the answers under way; twice leaves at once. Either way nothing that is
    finished is lost, and `--resume` sends the rest.
    """
    read = {**by_option(form), "--map": mapping or None}
    if from_run is not None:
        _refuse_beside_results({"FILE": file, "--resume": resume, **read}, pipeline)
    if resume is not None and skip_delivered and rows not in (Rows.FAILED, Rows.UNKNOWN):
        raise RowrelayError(
            "With --resume, --skip-delivered goes with --rows failed or --rows unknown only.",
            hint="Send the file as a new run to leave out what was delivered.",
        )
    fixed = {"FILE": file, "--pipeline": pipeline, "--url": url, **read}
    _refuse_beside_run(fixed, resume, from_run, rows, definition)
    loading.look_for_garbage_rarely()
    from deployments.commands import sending
    from deployments.commands.wish import Wish
    from flows.pipeline.file_form import said

    return sending.send(
        Wish(
            file=file,
            pipeline=pipeline or "",
            resume=resume or "",
            rows=rows.value if rows else "unfinished",
            url=url,
            said=said(**form),
            mapping=mapping_of(mapping),
            skip_delivered=skip_delivered,
            new_definition=definition is Whose.NEW,
            waits=wait,
            ledger_is_current=ledger_is_current,
            yes=yes,
            as_json=as_json,
            from_run=from_run or "",
        )
    )


def _refuse_beside_results(named: dict[str, object], pipeline: str | None) -> None:
    """Refuse what does not go with --from-run."""
    if given := [name for name, value in named.items() if value is not None]:
        raise RowrelayError(f"--from-run goes without {given[0]}.", hint="The rows are those of the run.")
    if pipeline is None:
        raise RowrelayError("--from-run needs a --pipeline.", hint="`rowrelay pipelines` lists them.")


def _refuse_beside_run(
    named: dict[str, object], resume: str | None, from_run: str | None, rows: Rows | None, definition: Whose | None
) -> None:
    """Refuse what does not go with --resume, or without it."""
    if resume is not None:
        if given := [name for name, value in named.items() if value is not None]:
            raise RowrelayError(f"--resume goes without {given[0]}.", hint="A run keeps what it was begun with.")
        return
    if named["FILE"] is None and from_run is None:
        raise RowrelayError("Nothing to send is named.", hint="Give a FILE, or a run with --resume RUN.")
    if rows is not None:
        raise RowrelayError("--rows goes with --resume RUN only.", hint="A new run sends all of its rows.")
    if definition is not None:
        raise RowrelayError("--definition goes with --resume RUN only.", hint="A new run takes the present one.")


@commands.command(epilog="\b\nExample:\n  rowrelay reconcile last")
def reconcile(
    run: RunName,
    wait: Annotated[
        bool, typer.Option("--wait", help="End when the API has decided about the rows that it only accepted.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Ask the API what became of a run's unknown rows, as the pipeline's `reconcile` says, and send what is missing.

    A row that the API has is done, one that it refused is failed, one that is not there is sent. What its answer cannot
    settle stays unknown. Rows that were only accepted are asked about as well.
    """
    loading.look_for_garbage_rarely()
    from deployments.commands import sending
    from deployments.commands.wish import Wish

    return sending.send(Wish(resume=run, rows="reconcile", waits=wait, as_json=as_json))


@commands.command(epilog="\b\nExample:\n  rowrelay undo last --dry-run\n  rowrelay undo 0198c5a2-77aa")
def undo(
    run: RunName,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be undone. Sends nothing.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> int:
    """Take back what a run has done, by the `undo` of its pipeline: in a run of its own, under the same limit.

    Rows of which nothing was kept that it needs are left alone, as are unknown ones and those that were undone before.
    """
    if dry_run:
        from deployments.commands import from_run
        from deployments.commands.session import opened

        with opened() as session:
            return from_run.print_plan(session, session.find(run), as_json=as_json)
    loading.look_for_garbage_rarely()
    from deployments.commands import sending
    from deployments.commands.wish import Wish

    return sending.send(Wish(from_run=run, undo=True, yes=yes, as_json=as_json))


@commands.command(
    epilog="\b\nExample:\n  rowrelay mend last\n  rowrelay mend last changes.json\n  rowrelay mend last --undo 1"
)
def mend(
    run: RunName,
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="The changes, as JSON; - is standard input.")
    ] = None,
    undo: Annotated[
        int | None, typer.Option(min=1, metavar="NUMBER", help="Take back the document of this number, the last one.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Change rejected rows of a run that was checked and not sent, and check those again. The file stays as it is.

    Without FILE it shows what is wrong, by column, reason and value, and an example of a file. One change mends all
    cells that hold the same refused value. Ends with 0 if no row is rejected any more, with 1 if some are.
    """
    from deployments.commands import mending
    from deployments.commands.session import opened

    wanted = mending.document(file, undo)
    with opened() as session:
        found = session.find(run)
        if wanted is None:
            return mending.show(session, found, as_json=as_json)
        return mending.apply(session, found, wanted, as_json=as_json)


@commands.command(epilog="\b\nExample:\n  rowrelay runs --limit 5")
def runs(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many of the newest.")] = 20,
    as_json: AsJson = False,
) -> int:
    """List the runs, newest first."""
    from deployments.commands import showing
    from deployments.commands.session import opened

    with opened() as session:
        return showing.print_runs(session, limit, as_json=as_json)


@commands.command(epilog="\b\nExample:\n  rowrelay show last\n  rowrelay show last --row 7")
def show(
    run: RunName,
    row: Annotated[int | None, typer.Option(min=1, help="This row alone, with its request and the answer.")] = None,
    as_json: AsJson = False,
) -> int:
    """Show a run: its counts, its pace against the limit, the first troubles, what happened. Or one row of it."""
    from deployments.commands import one_row, showing
    from deployments.commands.session import opened

    with opened() as session:
        found = session.find(run)
        if row is not None:
            return one_row.print_row(session, found, row, as_json=as_json)
        return showing.print_run(session, found, as_json=as_json)


@commands.command(
    epilog="\b\nExample:\n  rowrelay export last --format csv --out results.csv\n"
    "  rowrelay export last --rows troubled --out troubled.csv"
)
def export(
    run: RunName,
    form: Annotated[
        Form | None, typer.Option("--format", help="How to write them.", show_default="json; csv for troubled rows")
    ] = None,
    rows: Annotated[
        Chosen,
        typer.Option(help="Which rows. `troubled` gives the rejected and failed ones to correct and send again."),
    ] = Chosen.ALL,
    out: Annotated[str, typer.Option(metavar="FILE", help="Where to; - is standard output.")] = "-",
) -> int:
    """Write what became of each row, with what was kept of the answers.

    In CSV, text that a spreadsheet would take for a formula gets an apostrophe in front. The file of troubled rows has
    the reason first, then all columns of the file, with its delimiter. Correct it and send it as it is: apostrophes put
    in front here are taken away when it is read.
    """
    from deployments.commands import showing
    from deployments.commands.session import opened

    with opened() as session:
        return showing.export(session, session.find(run), form=form, rows=rows, target=out)


@commands.command(epilog="\b\nExample:\n  rowrelay cancel last")
def cancel(run: RunName) -> int:
    """Ask whoever delivers a run to stop it. Answers under way are waited for; the rest can be resumed."""
    from deployments.commands import changing
    from deployments.commands.session import opened

    with opened() as session:
        return changing.cancel(session, session.find(run))


@commands.command(epilog="\b\nExample:\n  rowrelay delete 0198c5a2-77aa --yes")
def delete(run: RunName, yes: Yes = False) -> int:
    """Delete a run and all that is known of its rows."""
    from deployments.commands import changing
    from deployments.commands.session import opened

    with opened() as session:
        return changing.delete(session, session.find(run), yes=yes)


@commands.command("mark-done", epilog="\b\nExample:\n  rowrelay mark-done last 17 40-43")
def mark_done(
    run: RunName, rows: Annotated[list[str], typer.Argument(metavar="ROW...", help="Row numbers, or spans: 40-43.")]
) -> int:
    """Call unknown rows done, because you have seen that the API acted on them."""
    from deployments.commands import changing
    from deployments.commands.session import opened

    wanted = changing.row_numbers(rows)
    with opened() as session:
        return changing.mark_done(session, session.find(run), wanted)
