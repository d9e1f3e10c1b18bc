"""The commands for this machine: everything at once, and its backup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deployments.commands.options import AsJson, Yes, group

commands = group()


@commands.command(epilog="\b\nExample:\n  rowrelay up")
def up(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The dashboard's port.", show_default="8501 or the next free")
    ] = None,
) -> int:
    """Run everything on this machine until Ctrl-C: Redis, Prefect, the deployments and the dashboard."""
    from deployments.commands import starting

    return starting.up(port=port)


@commands.command(epilog="\b\nExample:\n  rowrelay backup ~/rowrelay-monday.tgz")
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


@commands.command(epilog="\b\nExample:\n  rowrelay restore ~/rowrelay-monday.tgz")
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


@commands.command(epilog="\b\nExample:\n  rowrelay restored --yes")
def restored(yes: Yes = False) -> int:
    """Say that Redis was restored from a backup, before anything is sent again.

    The ledger is then older than the truth. Rows that wait in it may have been sent since, so they become unknown;
    every limit waits as after a restart; and what Prefect would begin or go on with is cancelled.
    """
    from deployments.commands import changing
    from deployments.commands.session import opened

    with opened() as session:
        return changing.restored(session, yes=yes)


@commands.command(epilog="\b\nExample:\n  rowrelay version")
def version() -> int:
    """Print the version."""
    from importlib.metadata import version as installed

    print(installed("rowrelay"))
    return 0
