"""What goes wrong between this machine and a proxy, or at the proxy: pure, from an exception to words."""

from __future__ import annotations

import os
import socket
import ssl
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp

from flows.client.answer import clean
from flows.client.proxies import Proxy

NEEDED = 407  # only proxies say so
_NO_SUCH_NAME = frozenset((socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)))
_TOO_SLOW = {
    "name": "the name {name} of the proxy was not resolved within {seconds:g} s",
    "connect": "the proxy {proxy} did not take the connection within {seconds:g} s",
    "tls": "the proxy {proxy} took the connection, but had not connected it to {host} within {seconds:g} s",
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happened. `final`: waiting cannot mend it."""

    words: str
    final: bool = False


def trouble_of(proxy: Proxy, exc: Exception, host: str, *, step: str, seconds: float) -> Trouble | None:
    """Why the proxy made no connection to `host`; None where the trouble lies behind it. `step`: what it was at."""
    shown = proxy.address
    if isinstance(exc, TimeoutError):
        return Trouble(_TOO_SLOW[step].format(name=proxy.host, proxy=shown, host=host, seconds=seconds))
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        said = f"({clean(exc.os_error.strerror or str(exc.os_error))})"
        if is_unknown_name(exc):
            return Trouble(f"there is no proxy with the name {proxy.host} {said}", final=True)
        return Trouble(f"the name {proxy.host} of the proxy could not be resolved {said}")
    if isinstance(exc, aiohttp.ClientProxyConnectionError):
        return Trouble(f"the proxy {shown} could not be reached ({detail(exc)})")
    if isinstance(exc, aiohttp.ClientHttpProxyError):
        return _refused(proxy, exc.status, host)
    if isinstance(exc, aiohttp.ClientResponseError):
        return Trouble(f"what answers at {shown} is no HTTP proxy", final=True)
    if isinstance(exc, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError) and not isinstance(
        exc, aiohttp.ClientConnectorError
    ):
        return Trouble(f"the proxy {shown} closed the connection instead of connecting it to {host}")
    return None


def _refused(proxy: Proxy, status: int, host: str) -> Trouble:
    """It answered CONNECT with something else than 200. Its own words are not repeated: they may hold anything."""
    if status == NEEDED:
        return Trouble(wants_password(proxy), final=True)
    try:
        said = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        said = str(status)
    if status == 403:
        return Trouble(f"the proxy {proxy.address} does not allow connections to {host} ({said})", final=True)
    final = 400 <= status < 500 and status not in (408, 429)
    return Trouble(f"the proxy {proxy.address} did not connect to {host}: it says {said}", final=final)


def wants_password(proxy: Proxy) -> str:
    """What it means that a proxy answered 407."""
    if proxy.user:
        return f"the proxy {proxy.address} does not take the user and password that it was given (407)"
    return (
        f"the proxy {proxy.address} wants a user and a password (407); write"
        f" proxy: http://${{secret:USER}}:${{secret:PASSWORD}}@{proxy.address.removeprefix('http://')}"
    )


def is_unknown_name(exc: aiohttp.ClientConnectorDNSError) -> bool:
    """Whether there is no such name, whatever one waits for."""
    return exc.os_error.errno in _NO_SUCH_NAME


def detail(exc: Exception) -> str:
    """What the system says of an exception, in its plain words."""
    found = getattr(exc, "os_error", exc)
    number = getattr(found, "errno", None)
    text = os.strerror(number) if number and not isinstance(found, ssl.SSLError) else str(found)
    return clean(text or type(found).__name__)
