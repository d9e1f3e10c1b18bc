"""The command line. Only what `--help` needs is imported here: everything else when a command runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from flows.errors import RowrelayError

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
app = typer.Typer(
    name="rowrelay",
    help="Send every row of a file to an HTTP API, as fast as is safe, and know what became of each one.\n\n"
    "\b\nExample:\n  rowrelay check orders.csv --pipeline posts\n  rowrelay send orders.csv --pipeline posts\n"
    "  rowrelay export last --format csv --out results.csv\n\n"
    "Exit codes: 0 all rows done; 1 some rejected, failed or unknown; 2 nothing was sent; 3 stopped; 70 internal error;"
    " 130 interrupted. `--debug` anywhere shows where an internal error came from.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=CONTEXT,
)
limits_app = typer.Typer(
    help="The shared limits: how they stand, and what a person may do to them.\n\n"
    "\b\nExample:\n  rowrelay limits\n  rowrelay limits open jsonplaceholder",
    rich_markup_mode=None,
    context_settings=CONTEXT,
)
app.add_typer(limits_app, name="limits")


class Rows(StrEnum):
    """Which rows of a resumed run are sent."""

    UNFINISHED = "unfinished"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Chosen(StrEnum):
    """Which rows are exported."""

    ALL = "all"
    DONE = "done"
    FAILED = "failed"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    WAITING = "waiting"
    TROUBLED = "troubled"


class Form(StrEnum):
    """How results are written."""

    JSON = "json"
    CSV = "csv"
    JSONL = "jsonl"


class Apostrophe(StrEnum):
    """What an apostrophe at the beginning of a cell is: part of the text, or a guard against spreadsheets."""

    KEEP = "keep"
    REMOVE = "remove"


RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, the beginning of it, a Prefect flow run's id, or `last`.")
]
Pipeline = Annotated[str, typer.Option(help="Name of the pipeline; `rowrelay pipelines` lists them.")]
Encoding = Annotated[str | None, typer.Option(help="The file's encoding, e.g. cp1252. Default: found.")]
Delimiter = Annotated[str | None, typer.Option(help="What separates the cells: , ; | or tab. Default: found.")]
Apostrophes = Annotated[
    Apostrophe | None,
    typer.Option(
        help="Before a formula, number or date: keep it as part of the text, or remove it.", show_default="ask"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, and nothing else.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command(
    epilog="\b\nExample:\n  rowrelay check orders.csv --pipeline posts\n  rowrelay check orders.csv --rejects wrong.csv"
)
def check(
    file: Annotated[Path, typer.Argument(help="CSV or TSV, also packed with gzip.")],
    pipeline: Pipeline = "posts",
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    apostrophes: Apostrophes = None,
    as_json: AsJson = False,
    rejects: Annotated[
        Path | None, typer.Option(help="Write all rejected rows here, each with its reason, to be corrected.")
    ] = None,
) -> int:
    """Check a file and show the first requests as they would go out. Sends nothing and needs no server.

    Exit codes: 0 every row can be sent; 1 some rows are rejected; 2 the file or the pipeline is unusable.
    """
    from deployments.commands import checking

    return checking.check(
        file,
        pipeline=pipeline,
        encoding=encoding,
        delimiter=delimiter,
        apostrophes=apostrophes.value if apostrophes else None,
        rejects=rejects,
        as_json=as_json,
    )


@app.command(
    epilog="\b\nExample:\n  rowrelay send orders.csv --pipeline posts\n"
    "  rowrelay send --resume last\n  rowrelay send --resume last --rows failed"
)
def send(
    file: Annotated[Path | None, typer.Argument(help="CSV or TSV, also packed with gzip.", show_default=False)] = None,
    pipeline: Annotated[
        str | None, typer.Option(help="Name of the pipeline; `rowrelay pipelines` lists them.", show_default="posts")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Send to this address instead of the pipeline's.")] = None,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    apostrophes: Apostrophes = None,
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Send what a run has left, or `last`.")] = None,
    rows: Annotated[
        Rows | None, typer.Option(help="With --resume: which rows to send.", show_default="unfinished")
    ] = None,
    skip_delivered: Annotated[
        bool,
        typer.Option("--skip-delivered", help="Leave out rows that earlier runs delivered, by the pipeline's `key`."),
    ] = False,
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
    if resume is None and file is None:
        raise RowrelayError("Nothing to send is named.", hint="Give a FILE, or a run with --resume RUN.")
    if resume is None and rows is not None:
        raise RowrelayError("--rows goes with --resume RUN only.", hint="A new run sends all of its rows.")
    fixed: dict[str, object] = {
        "FILE": file,
        "--pipeline": pipeline,
        "--url": url,
        "--encoding": encoding,
        "--delimiter": delimiter,
        "--apostrophes": apostrophes,
    }
    fixed["--skip-delivered"] = skip_delivered or None
    if resume is not None and (given := [name for name, value in fixed.items() if value is not None]):
        raise RowrelayError(f"--resume goes without {given[0]}.", hint="A run keeps what it was begun with.")
    from deployments.commands import sending

    return sending.send(
        sending.Wish(
            file=file,
            pipeline=pipeline or "posts",
            resume=resume or "",
            rows=rows or "",
            url=url,
            encoding=encoding,
            delimiter=delimiter,
            apostrophes=apostrophes.value if apostrophes else None,
            skip_delivered=skip_delivered,
            ledger_is_current=ledger_is_current,
            yes=yes,
            as_json=as_json,
        )
    )


@app.command(epilog="\b\nExample:\n  rowrelay runs --limit 5")
def runs(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many of the newest.")] = 20,
    as_json: AsJson = False,
) -> int:
    """List the runs, newest first."""
    from deployments.commands import showing
    from deployments.commands.session import opened

    with opened() as session:
        return showing.print_runs(session, limit, as_json=as_json)


@app.command(epilog="\b\nExample:\n  rowrelay show last")
def show(run: RunName, as_json: AsJson = False) -> int:
    """Show a run: its counts, its pace against the limit, the first troubles, what happened."""
    from deployments.commands import showing
    from deployments.commands.session import opened

    with opened() as session:
        return showing.print_run(session, session.find(run), as_json=as_json)


@app.command(
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
    the reason first, then the columns of the file: rejected rows as they stood there, failed ones with the values of
    the pipeline's columns and the others empty. Correct it and send it as it is: apostrophes put in front here are
    taken away when it is read.
    """
    from deployments.commands import showing
    from deployments.commands.session import opened

    with opened() as session:
        return showing.export(session, session.find(run), form=form, rows=rows, target=out)


@app.command(epilog="\b\nExample:\n  rowrelay cancel last")
def cancel(run: RunName) -> int:
    """Ask whoever delivers a run to stop it. Answers under way are waited for; the rest can be resumed."""
    from deployments.commands import changing
    from deployments.commands.session import opened

    with opened() as session:
        return changing.cancel(session, session.find(run))


@app.command(epilog="\b\nExample:\n  rowrelay delete 0198c5a2-77aa --yes")
def delete(run: RunName, yes: Yes = False) -> int:
    """Delete a run and all that is known of its rows."""
    from deployments.commands import changing
    from deployments.commands.session import opened

    with opened() as session:
        return changing.delete(session, session.find(run), yes=yes)


@app.command("mark-done", epilog="\b\nExample:\n  rowrelay mark-done last 17 40-43")
def mark_done(
    run: RunName, rows: Annotated[list[str], typer.Argument(metavar="ROW...", help="Row numbers, or spans: 40-43.")]
) -> int:
    """Call unknown rows done, because you have seen that the API acted on them."""
    from deployments.commands import changing
    from deployments.commands.session import opened

    wanted = changing.row_numbers(rows)
    with opened() as session:
        return changing.mark_done(session, session.find(run), wanted)


@app.command(epilog="\b\nExample:\n  rowrelay restored --yes")
def restored(yes: Yes = False) -> int:
    """Say that Redis was restored from a backup, before anything is sent again.

    The ledger is then older than the truth. Rows that wait in it may have been sent since, so they become unknown; and
    every limit waits as after a restart.
    """
    from deployments.commands import changing
    from deployments.commands.session import opened

    with opened() as session:
        return changing.restored(session, yes=yes)


@app.command(epilog="\b\nExample:\n  rowrelay backup ~/rowrelay-monday.tgz")
def backup(
    file: Annotated[Path, typer.Argument(help="The archive to write; it must not be there yet.")],
    as_json: AsJson = False,
) -> int:
    """Write everything that is kept on this machine to one file. Runs may go on meanwhile.

    In it are the ledger, Prefect's database, uploads, inboxes, rows and answers, but no secrets of pipelines. Without
    the embedded Redis (ROWRELAY_REDIS_URL) there is nothing to write: back that server up by its own means.
    """
    from deployments.commands import keeping

    return keeping.backup(file, as_json=as_json)


@app.command(epilog="\b\nExample:\n  rowrelay restore ~/rowrelay-monday.tgz")
def restore(
    file: Annotated[Path, typer.Argument(help="What `rowrelay backup` wrote.", show_default=False)],
    as_json: AsJson = False,
) -> int:
    """Put a backup into an empty data folder.

    A backup does not know what was sent after it. So the waiting rows of unfinished runs become unknown, limits wait as
    after a restart, what Prefect would go on with is cancelled, and files of inboxes are put aside.
    """
    from deployments.commands import keeping

    return keeping.restore(file, as_json=as_json)


@limits_app.callback(invoke_without_command=True)
def limits(context: typer.Context) -> int | None:
    """The shared limits."""
    return limits_show() if context.invoked_subcommand is None else None


@limits_app.command("show", epilog="\b\nExample:\n  rowrelay limits show")
def limits_show(as_json: AsJson = False) -> int:
    """Show how the limits stand: taken slots, pauses, bans."""
    from deployments.commands import changing
    from deployments.commands.session import opened

    with opened() as session:
        return changing.show_limits(session, as_json=as_json)


@limits_app.command("open", epilog="\b\nExample:\n  rowrelay limits open jsonplaceholder")
def limits_open(name: Annotated[str, typer.Argument(help="The limit's name.")]) -> int:
    """Allow sending again after the API shut us out. Settle it with whoever runs the API first."""
    from deployments.commands import changing
    from deployments.commands.session import opened

    with opened() as session:
        return changing.open_limit(session, name)


@limits_app.command("trust", epilog="\b\nExample:\n  rowrelay limits trust jsonplaceholder")
def limits_trust(name: Annotated[str, typer.Argument(help="The limit's name.")], yes: Yes = False) -> int:
    """Vouch that nothing else used the API account during the longest window, so that no one has to wait for it."""
    from deployments.commands import changing
    from deployments.commands.session import opened

    with opened() as session:
        return changing.trust_limit(session, name, yes=yes)


@app.command(epilog="\b\nExample:\n  rowrelay pipelines")
def pipelines(as_json: AsJson = False) -> int:
    """List the pipelines: their columns, where they send, how fast."""
    from deployments.commands import describing

    return describing.pipelines(as_json=as_json)


@app.command(epilog="\b\nExample:\n  rowrelay schema > pipeline.schema.json")
def schema() -> int:
    """Print the JSON Schema of pipeline definitions, for editors."""
    from deployments.commands import describing

    return describing.schema()


@app.command(epilog="\b\nExample:\n  rowrelay init orders.csv --out pipelines/orders.yaml")
def init(
    sample: Annotated[Path, typer.Argument(help="A file like those that will be sent.")],
    out: Annotated[str, typer.Option(metavar="FILE", help="Where to; - is standard output.")] = "-",
    encoding: Encoding = None,
    delimiter: Delimiter = None,
) -> int:
    """Write a pipeline definition inferred from a sample file, to be edited."""
    from deployments.commands import describing

    return describing.init(sample, out=out, encoding=encoding, delimiter=delimiter)


@app.command(epilog="\b\nExample:\n  rowrelay up")
def up(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The dashboard's port.", show_default="8501 or the next free")
    ] = None,
) -> int:
    """Run everything on this machine until Ctrl-C: Redis, Prefect, the deployments and the dashboard."""
    from deployments.commands import starting

    return starting.up(port=port)


@app.command(epilog="\b\nExample:\n  rowrelay version")
def version() -> int:
    """Print the version."""
    from importlib.metadata import version as installed

    print(installed("rowrelay"))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; its exit code. Mistakes that a person can mend are told in a line or two, never as a trace."""
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args
    from deployments.commands import terminal

    terminal.degrade()
    try:
        code = app(args=[arg for arg in args if arg != "--debug"], prog_name="rowrelay", standalone_mode=False) or 0
        sys.stdout.flush()  # here, where it can be said what is wrong with it
        return code
    except TyperException as exc:
        show = getattr(exc, "show", None)  # usage errors have it, their base class has not
        show() if show else print(exc, file=sys.stderr)
        return 2
    except typer.Abort:
        return 130
    except KeyboardInterrupt:
        return 130
    except SystemExit as exc:
        if isinstance(exc.__context__, BrokenPipeError):  # Typer ends with 1 then
            return terminal.unwritable(exc.__context__)
        raise
    except Exception as exc:
        if isinstance(exc, OSError) and terminal.is_output(exc):
            return terminal.unwritable(exc)
        if debug:
            raise
        from deployments.commands import failure

        return failure.tell(exc)


if __name__ == "__main__":
    sys.exit(main())
