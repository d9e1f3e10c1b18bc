"""Who is asking: Streamlit's own sign-in when `[auth]` is configured in secrets.toml, tokens for programs beside it.

[auth]                      # see Streamlit's documentation of st.login
[api]
tokens = ["a long random text"]   # programs send it as `Authorization: Bearer …`
"""

from __future__ import annotations

import hmac
import json
from typing import Any

from starlette.requests import Request

_COOKIE = "_streamlit_user"


def required() -> bool:
    """Whether people have to sign in."""
    return bool(_secrets("auth"))


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


def is_program(request: Request) -> bool:
    """Whether the request carries one of the tokens."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    tokens = _secrets("api").get("tokens") or []
    known = [str(token) for token in ([tokens] if isinstance(tokens, str) else tokens) if token]
    return scheme.lower() == "bearer" and any(hmac.compare_digest(given.strip().encode(), t.encode()) for t in known)


def _secrets(section: str) -> dict[str, Any]:
    import streamlit as st
    from streamlit.errors import StreamlitSecretNotFoundError

    try:
        return dict(st.secrets.get(section) or {})
    except (StreamlitSecretNotFoundError, FileNotFoundError, TypeError, ValueError):
        return {}
