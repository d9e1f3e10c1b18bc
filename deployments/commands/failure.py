"""What the command line says when a command fails."""

from __future__ import annotations

import logging
import sys

from flows.errors import RowrelayError, Stopped

UNUSABLE, STOPPED, BUG = 2, 3, 70


def tell(exc: Exception) -> int:
    """Say in words what went wrong; the exit code. What nobody foresaw goes to the log in full."""
    if isinstance(exc, RowrelayError):
        print(f"rowrelay: {exc}", file=sys.stderr)
        return STOPPED if isinstance(exc, Stopped) else UNUSABLE
    if isinstance(exc, OSError) and exc.filename is not None:
        print(f"rowrelay: {exc.filename}: {exc.strerror}", file=sys.stderr)
        return UNUSABLE
    if isinstance(exc, UnicodeEncodeError) and "surrogates" in exc.reason:  # how Python carries odd bytes of a name
        name = str(exc.object)[:200].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        print(f"rowrelay: {name}: this name is not UTF-8; rename the file, then try again", file=sys.stderr)
        return UNUSABLE
    print(f"rowrelay: internal error: {_brief(exc)}\n{_logged(exc)}", file=sys.stderr)
    return BUG


def _brief(exc: Exception) -> str:
    return f"{type(exc).__name__}: {(str(exc).splitlines() or [''])[0][:200]}".rstrip(": ")


def _logged(exc: Exception) -> str:
    """Write the trace to the log file; where that is."""
    try:
        from deployments.commands.session import log_file, log_to_file
        from flows.settings import Settings

        data = Settings.read().data
        log_to_file(data)
        logging.getLogger("rowrelay").error("internal error", exc_info=exc)
    except (RowrelayError, OSError) as second:
        return f"Run it again with --debug to see where (no log could be written: {second})."
    return f"The details are in {log_file(data)}; --debug shows them."
