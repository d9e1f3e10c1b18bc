"""A session with the API: a request before the first one, whose cookies and values go with all others."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import httpx

from flows.client import retry
from flows.client.reading import parsed
from flows.client.request import build
from flows.credentials.signing import text_of
from flows.credentials.standing import Standing
from flows.errors import Stopped
from flows.limit.clock import Clock, boot_time
from flows.limit.limiter import Permit
from flows.pipeline.auth import Login
from flows.pipeline.definition import Definition
from flows.pipeline.expression import search
from flows.pipeline.rendering import Rendering
from flows.pipeline.template import Secrets, Unsendable
from flows.records import Reply, Row

ATTEMPTS = 6
LOGS_IN = "login"  # the extension of a request that opens a session
_LEAST_HIDDEN = 8  # characters: a cookie that says `de` or `1` is no secret, and stands in every other text
_HINT = "Set right what auth.login says, or its secrets, then resume the run."


class Session:
    """Of one process. `acquire` grants a permit, `send` sends under it: logging in is an arrival like others.

    `latch` shuts the limit after a ban, and returns what to raise.
    """

    def __init__(
        self,
        definition: Definition,
        login: Login,
        secrets: Secrets,
        *,
        acquire: Callable[[], Awaitable[Permit]],
        send: Callable[[httpx.Request, Permit], Awaitable[Reply]],
        pause: Callable[[float, str], Awaitable[None]],
        latch: Callable[[str], Awaitable[Stopped]],
        hide: Callable[[Sequence[str]], None],
        clock: Clock = boot_time,
    ) -> None:
        self._login, self._secrets = login, secrets
        self._acquire, self._send, self._pause, self._hide, self._clock = acquire, send, pause, hide, clock
        self._latch = latch
        self._rendering = Rendering.of(definition, login.opening)
        self._cookies = httpx.Cookies()
        self._headers: dict[str, str] = {}
        self._lock = asyncio.Lock()
        self._rng = random.Random()
        self.standing = Standing()

    def apply(self, request: httpx.Request) -> None:
        """Put the session on a request."""
        if self._login.cookies:
            request.headers.pop("Cookie", None)  # of a session before, where it goes again
            self._cookies.set_cookie_header(request)
        for name, value in self._headers.items():
            request.headers[name] = value

    async def ready(self) -> None:
        """Have a session. Raises Stopped where there is none to be had."""
        if self.standing.holds:
            return
        async with self._lock:
            if not self.standing.holds:
                await self._log_in()

    async def _log_in(self) -> None:
        after_refusal = self.standing.generation > 0
        for attempt in range(1, ATTEMPTS + 1):
            try:
                request = build(self._rendering, Row(0, 0, {}), key="", secrets=self._secrets)
            except Unsendable as exc:
                raise Stopped(f"The login makes no request: {exc.message}", hint=_HINT) from exc
            request.extensions[LOGS_IN] = True
            reply = await self._send(request, await self._acquire())
            if reply.status is not None and reply.status < 400:
                self._begin(request, reply)
                generation = self.standing.generation + 1
                self.standing.begin(generation, since=self._clock(), after_refusal=after_refusal)
                return
            if reply.ban:
                raise await self._latch(reply.reason)
            if reply.pause_seconds:
                await self._pause(reply.pause_seconds, reply.reason)
            elif reply.status is not None and reply.status < 500:
                raise Stopped(f"The login was refused: {reply.reason}.", hint=_HINT)
            last = reply.reason
            if attempt < ATTEMPTS and reply.attempted:
                await asyncio.sleep(retry.backoff(attempt, self._rng))
            elif reply.no_connection:
                await asyncio.sleep(retry.before_connecting(attempt, self._rng))
        raise Stopped(f"No login came about: {last}.", hint="Resume the run when the API answers again.")

    def _begin(self, request: httpx.Request, reply: Reply) -> None:
        answer = httpx.Response(reply.status or 0, headers=reply.headers, request=request)
        cookies = httpx.Cookies()
        cookies.extract_cookies(answer)
        body: Any = None
        with suppress(ValueError):
            body = parsed(reply.body, reply.headers)
        kept = {name: search(path, body, reply.headers, {}) for name, path in self._login.keep.items()}
        if missing := [self._login.keep[name] for name, value in kept.items() if value is None]:
            raise Stopped(f"The answer to the login has no {', '.join(missing)}.", hint=_HINT)
        if self._login.cookies and not len(cookies) and not self._login.headers:
            raise Stopped("The answer to the login sets no cookie, so that there is no session.", hint=_HINT)
        headers = {name: text_of(text, self._secrets, kept) for name, text in self._login.headers.items()}
        if odd := [name for name, value in headers.items() if not (value.isascii() and value.isprintable())]:
            raise Stopped(f"What the login answered cannot stand in the header {odd[0]}.", hint=_HINT)
        self._cookies, self._headers = cookies, headers
        secret = [*(cookie.value or "" for cookie in cookies.jar), *(str(value) for value in kept.values())]
        self._hide([text for text in secret if len(text) >= _LEAST_HIDDEN])
