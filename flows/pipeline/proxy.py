"""`proxy` in a definition: an HTTP proxy that requests go through, or the one that the environment names. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flows.pipeline.fault import Fault, Place, brief

ENVIRONMENT = "environment"
SOCKS = (
    "SOCKS is not supported; put an HTTP proxy in front of it (privoxy does that), or run Rowrelay on a machine that"
    " reaches the API directly"
)
TO_PROXY_BY_TLS = (
    "the way to a proxy is plain HTTP; write http:// (a request to https://… is encrypted inside, up to the API)"
)
_PLACE: Place = ("proxy",)
_NAMED = r"\$\{secret:[A-Za-z_][A-Za-z0-9_.-]*\}"
_ADDRESS = re.compile(
    rf"(?i:http)://(?:(?P<user>(?:{_NAMED}|[^\s/?#@:{{}}$])+):(?P<password>{_NAMED})@)?"
    r"(?P<host>[^\s/?#@:{}$\[\]]+|\[[0-9a-fA-F:.]+\]):(?P<port>[0-9]{1,5})/?"
)
_WORDS = ("env", "system", "auto", "true", "on", "yes", "default")


def parts(proxy: str) -> tuple[str, str, str, int] | None:
    """(user, password, host, port) of an address that `faults` finds right; user and password still as templates."""
    found = _ADDRESS.fullmatch(proxy)
    return (found["user"] or "", found["password"] or "", found["host"], int(found["port"])) if found else None


def host_of(proxy: str | None) -> str:
    """The host of a stated proxy; "" where there is none, or the environment names it."""
    found = parts(proxy or "")
    return found[2].strip("[]").casefold() if found else ""


def faults(proxy: str | None) -> Iterator[Fault]:
    """What is wrong with it. A password is in no message."""
    if proxy is None or proxy == ENVIRONMENT:
        return
    if (found := parts(proxy)) is not None and 0 < found[3] < 65_536:
        return
    yield Fault(_PLACE, _wrong(proxy))


def _wrong(proxy: str) -> str:
    scheme, rest = re.fullmatch(r"(?:([A-Za-z][A-Za-z0-9+.-]*)://)?(.*)", proxy, re.DOTALL).groups()  # type: ignore[union-attr]
    authority, behind = re.fullmatch(r"([^/?#]*)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    credentials, at, host = authority.rpartition("@")
    password = re.search(r":(.*)", re.sub(_NAMED, "S", credentials), re.DOTALL)
    if (scheme or "").lower().startswith("socks"):
        return SOCKS
    if (scheme or "").lower() == "https":
        return TO_PROXY_BY_TLS
    if scheme is None and proxy.lower() in _WORDS:
        return f"must be http://HOST:PORT or environment (found {brief(proxy)}); did you mean `environment`?"
    if scheme is None or scheme.lower() != "http":
        near = "" if at else f" (found {brief(proxy)}); did you mean http://{host or 'proxy.example.com:3128'}?"
        return f"must be http://HOST:PORT or environment{near}"
    if "${secret:" in host:
        return "a secret may stand in its user and password, not in its host"
    if password is not None and password[1] != "S":
        return "has a password in it, which would be stored and shown; write ${secret:NAME} in its place"
    if at and password is None:
        return "names a user without a password; write http://${secret:USER}:${secret:PASSWORD}@HOST:PORT"
    if "{" in re.sub(_NAMED, "", rest):
        return "is the same for all rows: there are no placeholders in it but ${secret:NAME}"
    if behind not in ("", "/"):
        return "is the address of a proxy, with nothing behind the port"
    if not re.search(r":[0-9]+$", host):
        return f"names no port; write http://{host or 'proxy.example.com'}:3128, with the port of your proxy"
    return "is no address of a proxy; write http://HOST:PORT"
