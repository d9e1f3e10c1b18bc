"""A terminal that goes away, or that cannot show every character."""

from __future__ import annotations

import codecs
import errno
import json
import os
import re
import signal
import sys

CLOSED_PIPE, UNUSABLE = 141, 2  # the first is what a shell says of a program that SIGPIPE ended
_TERMINALS = tuple(stream for stream in (1, 2) if os.isatty(stream))  # a terminal that is gone does not say it was one


def ending() -> tuple[signal.Signals, ...]:
    """The signals that end a command in order: Ctrl-C, SIGTERM, and a hang-up unless it is to be unheard (nohup)."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return (signal.SIGINT, signal.SIGTERM)
    return (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def hung_up() -> None:
    """Nobody reads what goes to the terminal any more, and writing there would fail. Files and pipes stay."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in _TERMINALS:
        os.dup2(nowhere, stream)
    os.close(nowhere)


def degrade() -> None:
    """Write what standard output cannot encode as a question mark, instead of failing in the middle."""
    if getattr(sys.stdout, "errors", "") == "strict" and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")


def escaped(text: str) -> str:
    """JSON text that standard output can encode without a loss."""
    if codecs.lookup(getattr(sys.stdout, "encoding", None) or "utf-8").name == "utf-8":
        return text
    return re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], text)


def unwritable(exc: OSError) -> int:
    """What standard output could not take: say so where that is news, and leave nothing for the end to write."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    if isinstance(exc, BrokenPipeError):  # whoever reads it has seen enough
        return CLOSED_PIPE
    print(f"rowrelay: standard output cannot be written: {exc.strerror}", file=sys.stderr)
    return UNUSABLE


def is_output(exc: OSError) -> bool:
    """Whether an error is one of writing to standard output. Those of files and servers carry names, or are ours."""
    return exc.filename is None and exc.errno in (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
