"""What lets a request in, as the client sees it: put on right before the write, and told what came back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import httpx

from flows.masking import DOTS
from flows.pipeline.auth import Auth
from flows.records import Reply


class Credentials(Protocol):
    """What goes with each request. It may change at any time: a request gets what holds at that moment."""

    async def ready(self) -> None:
        """Have what requests need, before permits are taken. Raises Stopped where there is none to be had."""

    def apply(self, request: httpx.Request) -> str:
        """Put it on a request that is about to go; "" or why it cannot go now."""

    def heed(self, request: httpx.Request, status: int, headers: Mapping[str, str]) -> Reply | None:
        """What an answer means if it says that the credentials do not hold; None where it does not."""


def shown_headers(auth: Auth) -> dict[str, str]:
    """The headers that requests will have, with dots for what is not fetched before something is sent."""
    found: dict[str, str] = {}
    if auth.oauth2 is not None:
        name, value = auth.oauth2.header_parts
        found[name] = value.replace("{token}", DOTS)
    elif auth.basic is not None:
        found["Authorization"] = f"Basic {DOTS}"
    elif auth.bearer is not None:
        found["Authorization"] = f"Bearer {DOTS}"
    if auth.login is not None:
        found |= dict.fromkeys(auth.login.headers, DOTS) | ({"Cookie": DOTS} if auth.login.cookies else {})
    if auth.hmac is not None:
        names = (auth.hmac.timestamp_header, auth.hmac.nonce_header, auth.hmac.header)
        found |= dict.fromkeys((name for name in names if name), DOTS)
    return found
