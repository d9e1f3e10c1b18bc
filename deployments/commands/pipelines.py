"""The commands for pipelines and limits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deployments.commands.options import AsJson, Delimiter, Encoding, Yes, group

commands = group()


@commands.command(epilog="\b\nExample:\n  rowrelay init orders.csv --out pipelines/orders.yaml")
def init(
    sample: Annotated[Path, typer.Argument(help="A file like those that will be sent.")],
    out: Annotated[str, typer.Option(metavar="FILE", help="Where to; - is standard output.")] = "-",
    encoding: Encoding = None,
    delimiter: Delimiter = None,
) -> int:
    """Write a pipeline definition inferred from a sample file, to be edited."""
    from deployments.commands import describing

    return describing.init(sample, out=out, encoding=encoding, delimiter=delimiter)


@commands.command(epilog="\b\nExample:\n  rowrelay pipelines")
def pipelines(as_json: AsJson = False) -> int:
    """List the pipelines: their columns, where they send, how fast."""
    from deployments.commands import describing

    return describing.pipelines(as_json=as_json)


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
