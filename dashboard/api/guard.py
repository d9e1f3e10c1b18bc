"""Who may use the HTTP API: nobody from another site, and where there is a sign-in, nobody without it.

Three checks, in this order. The name in `Host` must be one that we go by, or a page of another name could be made to
point here (DNS rebinding). A request that a browser sends and that changes something must come from our own pages
(`Sec-Fetch-Site`, `Origin`). With a sign-in configured, a session or a token is needed for everything.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from dashboard import signin
from dashboard.api.problems import OtherSite, SecretsUnreadable, SignInNeeded, WrongHost, answer
from dashboard.connections import settings
from flows.errors import RowrelayError

_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_MEND = "Mend secrets.toml; on a server of docker-compose.yml it is secrets/dashboard.toml."


class Guard:
    """ASGI middleware around the API. `scope["state"]["by"]` then says who it is: a person or a program."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        refusal = _refusal(request)
        if refusal:
            await answer(refusal)(scope, receive, send)
            return
        scope.setdefault("state", {})["by"] = _by(request) if signin.required() else None
        await self.app(scope, receive, send)


def _by(request: Request) -> str | None:
    return signin.program(request) or signin.person(request)


def _from_browser(request: Request) -> bool:
    """Whether a page sent it: browsers say so and let no script take it back."""
    return "sec-fetch-site" in request.headers or "origin" in request.headers


def _refusal(request: Request) -> RowrelayError | None:
    if not host_allowed(_host(request.headers.get("host", ""))):
        return WrongHost(hint="Add the name to server.allowedHosts of the dashboard.")
    if request.method not in _SAFE and _from_browser(request) and not _same_origin(request):
        return OtherSite(hint="Use the dashboard's own pages, or a program.")
    if trouble := signin.trouble():
        return SecretsUnreadable(trouble, hint=_MEND)
    if signin.required() and not _by(request):
        return SignInNeeded(hint="Programs send a token of [api] of its secrets as `Authorization: Bearer …`.")
    return None


def host_allowed(name: str) -> bool:
    """Whether `name` is one that this dashboard is reached by; an empty list in server.allowedHosts allows all."""
    from streamlit import config

    allowed = [str(entry).lower() for entry in config.get_option("server.allowedHosts") or []]
    own = _host(urlsplit(settings().dashboard_url).netloc)
    if not allowed or "*" in allowed or name in allowed or (own and name == own):
        return True
    return any(entry.startswith("*.") and name.endswith(entry[1:]) for entry in allowed)


def _same_origin(request: Request) -> bool:
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _host(netloc: str) -> str:
    """The name in `name:port`, `[::1]:port` or `name`, in small letters."""
    if netloc.startswith("["):
        return netloc[1:].partition("]")[0].lower()
    return netloc.rpartition(":")[0].lower() if ":" in netloc else netloc.lower()
