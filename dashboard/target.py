"""Where a pipeline's requests go, as far as its address says."""

from __future__ import annotations

from urllib.parse import urlsplit

from flows.pipeline.definition import Definition

_HERE = frozenset(("localhost", "127.0.0.1", "::1"))
WHO_LISTENS = "The practice API of Rowrelay, or a tunnel to a real API."


def host_of(definition: Definition) -> str:
    """Which server the requests go to, without credentials, path or query."""
    return urlsplit(str(definition.main.url)).hostname or ""


def stays_here(definition: Definition) -> bool:
    """Whether the requests go to this machine. What becomes of them there is not known."""
    return host_of(definition) in _HERE


def in_words(definition: Definition) -> str:
    """The server's name, or `this machine (127.0.0.1:8900)`."""
    if not stays_here(definition):
        return host_of(definition)
    netloc = urlsplit(str(definition.main.url)).netloc
    return f"this machine ({netloc.rpartition('@')[2]})"
