"""The commands for pipelines and limits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deployments.commands.file_options import NOTHING, Said, reads_file
from deployments.commands.options import AsJson, Question, Yes, group
from flows.errors import RowrelayError

commands = group()


@commands.command(
    epilog="\b\nExample:\n  rowrelay init orders.csv --out pipelines/orders.yaml\n"
    "  rowrelay init --example graphql --out pipelines/contacts.yaml"
)
@reads_file
def init(
    sample: Annotated[
        Path | None, typer.Argument(help="A file like those that will be sent.", show_default=False)
    ] = None,
    example: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Copy an example instead: graphql, jsonrpc, upsert, items207, job202, …"),
    ] = None,
    out: Annotated[str, typer.Option(metavar="FILE", help="Where to; - is standard output.")] = "-",
    form: Said = NOTHING,
) -> int:
    """Write a pipeline definition, inferred from a sample file or copied from an example, to be edited."""
    from deployments.commands import describing
    from flows.pipeline.file_form import said

    if example is not None:
        return describing.copy_example(example, sample=sample, out=out)
    if sample is None:
        raise RowrelayError("Nothing to begin with is named.", hint="Give a SAMPLE file, or --example NAME.")
    return describing.init(sample, out=out, form=said(**form))


@commands.command(epilog="\b\nExample:\n  rowrelay pipelines")
def pipelines(as_json: AsJson = False) -> int:
    """List the pipelines: their columns, where they send, how fast."""
    from deployments.commands import describing

    return describing.pipelines(as_json=as_json)


@commands.command(
    epilog="\b\nExample:\n  rowrelay answer contacts --status 200 --body answer.json\n"
    "  rowrelay answer contacts --status 429 --header 'Retry-After: 30'\n"
    "  rowrelay answer contacts --status 207 --body answer.json --file contacts.csv\n"
    "  curl -s https://api.example.com/jobs/7 | rowrelay answer contacts --status 200 --body - --of poll"
)
def answer(
    pipeline: Annotated[str, typer.Argument(help="Name of the pipeline; `rowrelay pipelines` lists them.")],
    status: Annotated[int, typer.Option(min=200, max=599, help="The status of the answer.")],
    body: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The body of the answer; - is standard input.", show_default="none"),
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option(metavar="'NAME: VALUE'", help="A header of the answer; may be given often.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file of rows. Those of its first request are answered.")
    ] = None,
    step: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which step is answered.", show_default="the first")
    ] = None,
    of: Annotated[Question, typer.Option(help="What is answered: the request, or the question of another part.")] = (
        Question.REQUEST
    ),
    as_json: AsJson = False,
) -> int:
    """Say what an answer of the API would mean: for which rows, by which rule, and for everybody under the limit.

    Take the answer from the API's documentation, or save one with curl. Sends nothing and needs no server. The first
    rule of the definition that fits decides; where none fits, what is built in. A body that begins with { or [ counts
    as JSON unless a Content-Type is given.

    In a batch the answer says something of each row, so Rowrelay has to know which rows travelled: --file FILE. Where a
    row is found by its idempotency key, write row-1, row-2, … for the keys of the rows 1, 2, …

    Exit codes: 0 every row would be done; 1 some would not, or not yet; 2 the pipeline, the answer or the file is
    unusable; 3 the run would stop.
    """
    from deployments.commands import answering

    told = answering.Told(status, body, tuple(header or ()), file, step or "", of.value)
    return answering.answer(pipeline, told, as_json=as_json)


@commands.command(
    epilog="\b\nExample:\n  rowrelay auth contacts\n  rowrelay auth contacts --again\n"
    "  rowrelay auth contacts --refresh-token - < token.txt"
)
def auth(
    pipeline: Annotated[str, typer.Argument(help="Name of the pipeline; `rowrelay pipelines` lists them.")],
    again: Annotated[bool, typer.Option("--again", help="Connect it anew, though it is connected.")] = False,
    refresh_token: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Begin with the refresh token in a file; - is standard input."),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of 127.0.0.1 that the browser is sent to; 0: any free one.")
    ] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the address in a browser.")] = True,
    forget: Annotated[bool, typer.Option("--forget", help="Forget the token that is stored, and do nothing else.")] = (
        False
    ),
    as_json: AsJson = False,
) -> int:
    """Connect a pipeline to its account, and say until when its token lasts.

    Without `authorize_url` in the definition it begins with a refresh token that you have. With it a browser opens,
    where you allow it; it comes back to this machine, or you paste the address that it was sent to. What is stored is
    encrypted, and renewed by itself from then on.

    Exit codes: 0 it is connected; 2 the definition or a secret is unusable; 3 the token server refuses.
    """
    from deployments.commands import authorizing

    how = authorizing.How(again=again, refresh_token=refresh_token, port=port, browser=browser, forget=forget)
    return authorizing.auth(pipeline, how, as_json=as_json)


@commands.command(epilog="\b\nExample:\n  rowrelay schema > pipeline.schema.json")
def schema() -> int:
    """Print the JSON Schema of pipeline definitions, for editors."""
    from deployments.commands import describing

    return describing.schema()


limits_app = group(
    "The shared limits: how they stand, and what a person may do to them.\n\n"
    "\b\nExample:\n  rowrelay limits\n  rowrelay limits open jsonplaceholder",
)
commands.add_typer(limits_app, name="limits")


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
