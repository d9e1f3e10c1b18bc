"""The commands that stay: what serves runs, what is told to Prefect, what is measured, the stand-in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from deployments.commands.options import group

commands = group()
NAMES = frozenset(("serve", "worker", "register", "notify", "metrics", "standin"))
Ready = Annotated[Path | None, typer.Option(metavar="FILE", help="Make this file once everything is set up.")]
Pool = Annotated[str, typer.Argument(metavar="POOL", help="The work pool.")]


class PassedOn(TyperCommand):
    """Words for a parser of their own, `--help` and `--` included."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take them as they are."""
        ctx.args = list(args)
        return args


@commands.command(epilog="\b\nExample:\n  rowrelay serve --ready /tmp/served")
def serve(ready: Ready = None) -> int:
    """Run what Prefect, the dashboard or the HTTP API start.

    Definitions may change meanwhile. SIGTERM or Ctrl-C takes on nothing more; runs under way get the answers they wait
    for, and the next one that serves goes on with what is left. `rowrelay up` has this in it.
    """
    from deployments.runners import serve

    return serve.run(ready)


@commands.command(
    epilog="\b\nExample:\n  rowrelay worker\n  rowrelay worker rowrelay --limit 5 --with-healthcheck",
    context_settings={"ignore_unknown_options": True},
)
def worker(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="POOL|OPTION", help="The pool, then options of `prefect worker start`.", show_default="rowrelay"
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Runs at once.", show_default="as many as come")] = None,
    with_healthcheck: Annotated[bool, typer.Option("--with-healthcheck", help="Answer health checks.")] = False,
) -> int:
    """Run what is started in a Prefect work pool, on any machine.

    It is `prefect worker start` that can be stopped at any time: its runs get the answers they wait for, and another
    worker goes on with what is left. The pool is rowrelay unless you name another; `rowrelay register` makes it.
    """
    from deployments.runners import worker

    pool, *options = words if words and not words[0].startswith("-") else ["", *(words or ())]
    options += ["--limit", str(limit)] if limit is not None else []
    options += ["--with-healthcheck"] if with_healthcheck else []
    return worker.run(pool, options)


@commands.command(epilog="\b\nExample:\n  rowrelay register\n  rowrelay register --watch")
def register(
    pool: Pool = "rowrelay",
    watch: Annotated[bool, typer.Option("--watch", help="Stay, and do it again when a definition changes.")] = False,
    ready: Ready = None,
) -> int:
    """Set a Prefect server up for workers.

    It makes the pool, the deployments of every pipeline with their schedules, and the automation that resumes crashed
    runs. May be run again after every change. Exit codes: 0; 1 wrong definitions were left out; 2 nothing was set up.
    """
    from deployments.registry import register

    return register.run(pool, watch=watch, ready=ready)


@commands.command(epilog="\b\nExample:\n  rowrelay notify --test")
def notify(test: Annotated[bool, typer.Option("--test", help="Send one message at once.")] = False) -> int:
    """Tell people of runs that stop or end with errors.

    Prefect then writes to ROWRELAY_NOTIFY_URL, or to nobody where that is empty.

    Exit codes: 0; 1 the message of --test did not arrive; 2 nothing was set up.
    """
    from deployments.registry import notifications

    return notifications.run(test=test)


@commands.command(epilog="\b\nExample:\n  rowrelay metrics --port 9464")
def metrics(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on.")] = 9464,
) -> int:
    """Serve /metrics for Prometheus. One is enough, whatever runs where."""
    from deployments.observe import metrics

    return metrics.run(host, port)


@commands.command(cls=PassedOn, epilog="\b\nExample:\n  rowrelay standin -- rowrelay send samples/posts.csv")
def standin(context: typer.Context) -> int:
    """Play the API of the example, and count what arrives."""
    from deployments.standin import command

    try:
        return command.main(context.args)
    except SystemExit as exc:  # after its help, or a wrong option
        return int(exc.code or 0)
