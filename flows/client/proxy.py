"""The proxies that the environment names. None is used unless a definition says so: one may hold requests back."""

from __future__ import annotations

import importlib.util
from collections.abc import MutableMapping
from urllib.parse import urlsplit

from flows.client.proxies import SOCKS_VARIABLE, Proxies, named
from flows.pipeline.definition import Definition
from flows.pipeline.secret import secret_names

_OWN_HOSTS = ("127.0.0.1", "localhost", "::1")


def ignored_proxy(url: str) -> str:
    """The proxy that the environment names for this address and that is not used, without its password; or nothing."""
    address = urlsplit(url)
    if not (proxy := named(address.scheme, address.hostname or "")):
        return ""
    found = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return f"{found.scheme}://{found.netloc.rpartition('@')[2]}"


def unused_proxy(definition: Definition) -> str:
    """What to know and do about a proxy of the environment that the definition's requests do not go through.

    Raises SettingError where they should go through one that cannot be used.
    """
    if definition.proxy is None:
        return proxy_warning(definition.main.url)
    Proxies.of(definition, dict.fromkeys(secret_names(definition), "")).used(definition)
    return ""


def proxy_warning(url: str) -> str:
    """What to know and do about a proxy that is not used for this address; nothing if there is none."""
    proxy = ignored_proxy(url)
    if not proxy:
        return ""
    host = urlsplit(url).hostname
    return (
        f"The environment names the proxy {proxy}, which is not used: requests go to {host} directly, since the limit"
        " holds for arrivals, and a proxy may hold requests back. If this machine cannot reach it directly, run"
        " Rowrelay on one that can, or write proxy: environment into the definition; otherwise add"
        f" {host} to NO_PROXY, and this is not said again."
    )


def is_own(url: str) -> bool:
    """Whether an address is one of this machine, where no proxy leads."""
    return (urlsplit(url).hostname or "") in _OWN_HOSTS


def spare_own_servers(environ: MutableMapping[str, str]) -> None:
    """Let clients in this environment reach the servers of this machine, which no proxy can.

    A SOCKS proxy is taken out of it: without a further package Prefect's client cannot even be made where one is named.
    """
    known = (environ.get("no_proxy") or environ.get("NO_PROXY") or "").replace(" ", "").split(",")
    if any(name.lower().endswith("_proxy") for name in environ) and "*" not in known:
        spared = ",".join(dict.fromkeys([*filter(None, known), *_OWN_HOSTS]))
        environ["no_proxy"] = environ["NO_PROXY"] = spared
    if importlib.util.find_spec("socksio") is None:
        for name in [name for name in environ if name.lower().endswith("_proxy")]:
            if environ[name].lower().startswith("socks"):
                environ[SOCKS_VARIABLE] = environ.pop(name)
