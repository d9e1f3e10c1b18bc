"""The proxy that a request goes through, where its definition says so."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from flows.errors import SettingError
from flows.pipeline.definition import Definition
from flows.pipeline.proxy import ENVIRONMENT, SOCKS, TO_PROXY_BY_TLS, parts
from flows.pipeline.template import compile_text

SOCKS_VARIABLE = "ROWRELAY_SOCKS"  # what was named as one, where it had to be taken out of the environment
Find = Callable[[str, str], str]  # scheme and host of an address → the proxy that the environment names for it, or ""


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy. Its user and password are in no repr."""

    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def address(self) -> str:
        """As it may be shown: without user and password."""
        return f"http://{self.host}:{self.port}"

    @property
    def authorization(self) -> str:
        """What Proxy-Authorization says; "" without a user."""
        if not self.user:
            return ""
        return "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")

    @property
    def secrets(self) -> Iterator[str]:
        """What nobody may be shown."""
        if self.user:
            yield from filter(None, (self.password, self.authorization.removeprefix("Basic ")))


@dataclass(frozen=True, slots=True)
class Proxies:
    """Which proxy leads to an address: always the stated one, or what the environment names for it."""

    stated: Proxy | None = None
    find: Find | None = None

    @classmethod
    def of(cls, definition: Definition, secrets: Mapping[str, str]) -> Proxies:
        """As a definition says; none by default. Raises SettingError."""
        if definition.proxy is None:
            return cls()
        if definition.proxy == ENVIRONMENT:
            return cls(find=named)
        found = parts(definition.proxy)
        if found is None:
            raise SettingError(f"The proxy of the pipeline {definition.name} is no address.")
        user, password, host, port = found
        made = Proxy(host, port, _filled(user, secrets), _filled(password, secrets))
        if ":" in made.user:
            raise SettingError(
                f"The user of the proxy {made.address} has a colon in it, which HTTP does not allow.",
                hint="Keep user and password as two secrets.",
            )
        return cls(made)

    def to(self, scheme: str, host: str) -> Proxy | None:
        """The proxy that leads to a host; None: requests go there directly. Raises SettingError."""
        if self.find is None:
            return self.stated
        return parsed(found) if (found := self.find(scheme, host)) else None

    def used(self, definition: Definition) -> list[Proxy]:
        """Those that requests of the definition go through. Raises SettingError."""
        urls = (urlsplit(request.url) for _, request in definition.requests)
        found = (self.to(url.scheme.lower(), url.hostname or "") for url in urls)
        return list(dict.fromkeys(proxy for proxy in found if proxy is not None))


DIRECTLY = Proxies()


def named(scheme: str, host: str) -> str:
    """The proxy that the environment names for an address; "" where requests go there directly."""
    known = getproxies() if scheme in ("http", "https") else {}
    proxy = known.get(scheme) or known.get("all") or os.environ.get(SOCKS_VARIABLE, "")
    return "" if not proxy or proxy_bypass(host) else proxy


def parsed(proxy: str) -> Proxy:
    """A proxy as the environment names it. Raises SettingError, without its password."""
    address = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    try:
        host, port = address.hostname, address.port or 80
    except ValueError:
        host, port = None, 0
    shown = f"{address.scheme}://{address.netloc.rpartition('@')[2]}"
    if address.scheme.startswith("socks"):
        raise SettingError(f"The environment names the proxy {shown}.", hint=f"{SOCKS}.")
    if address.scheme != "http" or not host:
        why = TO_PROXY_BY_TLS if address.scheme == "https" else "write http://HOST:PORT"
        hint = f"{why[0].upper()}{why[1:]}."
        raise SettingError(f"The environment names the proxy {shown}, which cannot be used.", hint=hint)
    user, password = unquote(address.username or ""), unquote(address.password or "")
    return Proxy(f"[{host}]" if ":" in host else host, port, user, password)


def _filled(template: str, secrets: Mapping[str, str]) -> str:
    return str(compile_text(template).make({}, secrets)) if template else ""
