"""Who is asking: Streamlit's own sign-in when `[auth]` is configured in secrets.toml, tokens for programs beside it.

[auth]                      # see Streamlit's documentation of st.login
[api.tokens]                # programs send one as `Authorization: Bearer …`; the name is what records show of them
billing = "a long random text"   # `tokens = ["…"]` below [api] does too: such programs are all called API
"""

from __future__ import annotations

import hmac
import json
import logging
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from starlette.requests import Request

_COOKIE = "_streamlit_user"
logger = logging.getLogger(__name__)


def required() -> bool:
    """Whether people have to sign in: always where the secrets cannot be read, as nobody knows then who may come."""
    try:
        return "auth" in _secrets()
    except _Unreadable:
        return True


def trouble() -> str:
    """Why nobody can be let in, for whoever stands outside; nothing if all is well. The log says more."""
    try:
        _secrets()
    except _Unreadable as exc:
        _tell(str(exc))
        return "The dashboard's secrets cannot be read, so nobody is let in. Its log says why."
    return ""


def person(request: Request) -> str | None:
    """The name of whoever signed in on the pages, from the cookie that Streamlit has set and signed."""
    # Streamlit's sign-in guards its pages only, and has no public way to read its cookie elsewhere.
    from streamlit.web.server.starlette.starlette_auth_routes import _get_cookie_value_from_request

    raw = _get_cookie_value_from_request(request, _COOKIE)
    if not raw:
        return None
    try:
        user = json.loads(raw)
    except ValueError:
        return None
    return (
        str(user.get("email") or user.get("name") or user.get("sub") or "somebody")
        if user.get("is_logged_in")
        else None
    )


def program(request: Request) -> str | None:
    """The name of the program whose token the request carries: API where its token has no name; None without one."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    fitting = [name for name, token in _tokens() if hmac.compare_digest(given.strip().encode(), token.encode())]
    return fitting[0] if fitting else None


def _tokens() -> Iterator[tuple[str, str]]:
    tokens = _secrets().get("api", {}).get("tokens") or []
    if isinstance(tokens, Mapping):
        named = [(f"{name} (API)", str(token)) for name, token in tokens.items()]
    else:
        named = [("API", str(token)) for token in ([tokens] if isinstance(tokens, str) else tokens)]
    yield from ((name, token) for name, token in named if token)


class _Unreadable(Exception):
    """There are secrets, or should be, and they are not to be had."""


def _secrets() -> dict[str, Any]:
    """The sections of secrets.toml; none where there is no such file and none was asked for. Raises _Unreadable."""
    import streamlit as st
    from streamlit import config
    from streamlit.errors import StreamlitSecretNotFoundError

    try:
        found = dict(st.secrets)
    except (StreamlitSecretNotFoundError, OSError, ValueError) as exc:
        places = [str(place) for place in config.get_option("secrets.files")]
        if not config.is_manually_set("secrets.files") and not any(os.path.lexists(place) for place in places):
            return {}
        raise _Unreadable(" ".join(str(exc).split())) from exc
    for name in ("auth", "api"):
        if not isinstance(found.get(name, {}), Mapping):
            raise _Unreadable(f"`{name}` is no section: write [{name}], and its keys below")
    return found


@lru_cache(maxsize=8)  # once, however often somebody knocks
def _tell(what: str) -> None:
    logger.error("Nobody is let in: %s", what)


def exposure() -> tuple[str, bool]:
    """Who may come once a proxy shows the dashboard to the network, in words, and whether that is as it should be."""
    if os.environ.get("SIGN_IN") == "none":
        return "SIGN_IN=none: the dashboard asks nobody to sign in. See to it that nobody else gets through.", True
    try:
        if "auth" in _secrets():
            return "The dashboard asks people to sign in.", True
    except _Unreadable as exc:
        return f"The dashboard's secrets cannot be read: {exc}", False
    return (
        "The dashboard asks nobody to sign in: everybody who reaches it may send, cancel and delete. Write [auth] into"
        " secrets/dashboard.toml (docs/operations.md, TLS and sign-in), or set SIGN_IN=none in .env if something else"
        " decides who gets through."
    ), False
