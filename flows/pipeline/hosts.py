"""Hosts as they are compared: those of addresses, and the lines that name them. Pure."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

import httpx

from flows.pipeline.fault import brief

_NAME = re.compile(r"(\*\.)?[^\s*/?#@\\\[\]%:]+")


def host_of(url: str) -> str:
    """The host of an address whose path may hold placeholders, as names are compared; "" where it has none."""
    authority = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*", url)
    try:
        return plain_host(urlsplit(authority[0]).hostname or "") if authority else ""
    except ValueError:
        return ""


def host_pattern(text: str) -> str:
    """A line of hosts as it is compared. Raises ValueError if it is none."""
    if not (_NAME.fullmatch(text) or _is_address(text)):
        raise ValueError(f"{brief(text)} is no host; write one such as api.example.com, or *.example.com")
    below, name = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    return below + plain_host(name.strip("[]"))


def fits(host: str, pattern: str) -> bool:
    """Whether a host, as names are compared, is one that a line means."""
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and host != pattern[1:]
    return host == pattern


def _is_address(text: str) -> bool:
    try:
        return bool(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        return False


def plain_host(host: str) -> str:
    """A host as names are compared: small letters, other alphabets as the network writes them, no dot at the end."""
    name = host.casefold().rstrip(".")
    try:
        return httpx.URL(f"http://[{name}]/" if ":" in name else f"http://{name}/").raw_host.decode("ascii")
    except (httpx.InvalidURL, UnicodeError):
        return name


def is_loopback(host: str) -> bool:
    """Whether it is this machine, so that nobody listens on the way."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
