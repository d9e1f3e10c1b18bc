"""What lets a request in, as the client sees it: put on right before the write, and told what came back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import httpx

from flows.pipeline.auth import Auth, Login
from flows.pipeline.rules import NO_JSON, Rule, Rules, Said
from flows.records import Reply, RowState


class Credentials(Protocol):
    """What goes with each request. It may change at any time: a request gets what holds at that moment."""

    async def ready(self) -> None:
        """Have what requests need, before permits are taken. Raises Stopped where there is none to be had."""

    def apply(self, request: httpx.Request) -> str:
        """Put it on a request that is about to go; "" or why it cannot go now."""

    def heed(self, request: httpx.Request, status: int, headers: Mapping[str, str]) -> Reply | None:
        """What an answer means if it says that the credentials do not hold; None where it does not."""


def turned_away(auth: Auth | None, status: int, headers: Mapping[str, str]) -> Reply | None:
    """What an answer means that says that a token or a session does not hold; None where it says no such thing.

    It had no effect, so that the rows go again with another one.
    """
    if auth is None or not auth.can_renew:
        return None
    if status != 401 and (auth.login is None or not _is_expired(auth.login, status, headers)):
        return None
    return Reply(RowState.WAITING, f"the API says {status}: it does not let us in", again=True, renews=True)


def _is_expired(login: Login, status: int, headers: Mapping[str, str]) -> bool:
    if (expired := login.expired_when) is None:
        return False
    rule = Rule(status=expired.status or "any", headers=expired.headers, means="retry")
    return Rules((rule,)).first(Said(status, headers, NO_JSON), {}) is not None


def planned(request: httpx.Request, auth: Auth, unknown: str, *, logs_in: bool = False) -> None:
    """Put on a request that is only shown what it will have; `unknown` is in place of what is not fetched yet."""
    request.headers.update(_headers(auth, unknown, logs_in=logs_in))
    if auth.hmac is not None:
        for name in (auth.hmac.timestamp_query, auth.hmac.query):
            if name:
                request.url = request.url.copy_add_param(name, unknown)


def _headers(auth: Auth, unknown: str, *, logs_in: bool) -> dict[str, str]:
    found: dict[str, str] = {}
    if auth.oauth2 is not None:
        name, value = auth.oauth2.header_parts
        found[name] = value.replace("{token}", unknown)
    elif auth.basic is not None:
        found["Authorization"] = f"Basic {unknown}"
    elif auth.bearer is not None:
        found["Authorization"] = f"Bearer {unknown}"
    if auth.login is not None and not logs_in:
        found |= dict.fromkeys(auth.login.headers, unknown) | ({"Cookie": unknown} if auth.login.cookies else {})
    if auth.hmac is not None:
        names = (auth.hmac.timestamp_header, auth.hmac.nonce_header, auth.hmac.header)
        found |= dict.fromkeys((name for name in names if name), unknown)
    return found
