"""The command line. Only what `--help` needs is imported here: everything else when a command runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

from deployments.commands import files, machine, pipelines, servers
from deployments.commands.options import CONTEXT
from flows.errors import RowrelayError

GROUPS = {
    "Files and runs": files.commands,
    "Pipelines and limits": pipelines.commands,
    "This machine": machine.commands,
    "Servers and workers": servers.commands,
}


class Grouped(TyperGroup):
    """The commands in groups, each under its title."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write them as wide as they are together, so that one column begins below the other."""
        widest = max(map(len, self.commands))
        for title in GROUPS:
            found = [
                (name, each) for name, each in self.commands.items() if getattr(each, "rich_help_panel", "") == title
            ]
            with formatter.section(title):
                room = formatter.width - 6 - widest
                formatter.write_dl([(f"{name:<{widest}}", each.get_short_help_str(room)) for name, each in found])


app = typer.Typer(
    name="rowrelay",
    help="Send every row of a file to an HTTP API, as fast as is safe, and know what became of each one.\n\n"
    "\b\nExample:\n  rowrelay check orders.csv --pipeline posts\n  rowrelay send orders.csv --pipeline posts\n"
    "  rowrelay export last --format csv --out results.csv\n\n"
    "Exit codes: 0 all rows done; 1 some rejected, failed, unknown or only accepted; 2 nothing was sent; 3 stopped;"
    " 70 internal error; 130 interrupted. `--debug` anywhere shows where an internal error came from.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=CONTEXT,
    cls=Grouped,
)
for title, commands in GROUPS.items():
    added: list[Any] = [*commands.registered_commands, *commands.registered_groups]
    for each in added:
        each.rich_help_panel = title
    app.add_typer(commands)


@cache
def _command() -> Any:
    """Made once: it takes 20 ms, and the tests run hundreds of commands."""
    return get_command(app)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; its exit code. Mistakes that a person can mend are told in a line or two, never as a trace."""
    args = list(sys.argv[1:] if argv is None else argv)
    own = args[: args.index("--")] if "--" in args else args  # what comes behind is somebody else's
    debug = "--debug" in own
    args = [arg for arg in own if arg != "--debug"] + args[len(own) :]
    from deployments.commands import terminal

    terminal.degrade()
    try:
        code = _command()(args=args, prog_name="rowrelay", standalone_mode=False) or 0
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
        unforeseen = not isinstance(exc, RowrelayError)
        if debug or (unforeseen and args[0] in servers.NAMES):  # what stays has no log but its standard error
            raise
        from deployments.commands import failure

        return failure.tell(exc)
