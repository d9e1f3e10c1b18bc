"""What lets the requests of one sender in: token, password, session and signature together, as its client asks."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from uuid import uuid4

import httpx
import redis

from flows.client.client import Client
from flows.client.credential import turned_away
from flows.credentials.obstacle import stopped_of
from flows.credentials.session import LOGS_IN, Session
from flows.credentials.signing import sign, text_of
from flows.credentials.standing import Standing
from flows.credentials.tokens import Tokens
from flows.credentials.vault import Vault
from flows.credentials.wire import wire_of
from flows.errors import LimitLatched, SettingError, Stopped
from flows.limit.clock import boot_time
from flows.limit.limiter import Limit, Permit
from flows.limit.places import Places
from flows.pipeline.auth import Auth
from flows.pipeline.definition import Definition
from flows.pipeline.hosts import plain_host
from flows.pipeline.template import Secrets
from flows.records import Reply
from flows.settings import Settings

_MARK = "credentials"


class Access:
    """Of one definition in one process. To be made in a running loop.

    `event` is told in plain words what people should know. `places`: those that its own requests take under the
    limit. `run`: in whose name it is latched.
    """

    def __init__(
        self,
        definition: Definition,
        auth: Auth,
        secrets: Secrets,
        settings: Settings,
        *,
        redis_url: str,
        redis_client: redis.Redis,
        client: Client,
        limit: Limit,
        event: Callable[[str], None],
        places: Places | None = None,
        run: str = "",
    ) -> None:
        self._auth, self._secrets, self._limit, self._event = auth, secrets, limit, event
        self._masker = client.compiled.masker
        self._places = places
        self._definition, self._hosts = definition, dict[bytes, bool]()
        self._stopped: Stopped | None = None
        self._told = 0  # the last generation of which people have heard that it did not hold
        self._fixed = self._fixed_header()
        self._try_out()
        self._tokens = (
            Tokens(
                auth.oauth2,
                secrets,
                Vault.of(settings),
                redis_url,
                redis_client,
                pipeline=definition.name,
                wire=wire_of(definition, secrets, settings.secrets),
                acquire=self._permit,
                on_token=self._masker.learn,
                event=event,
                give_up_seconds=settings.give_up_seconds,
            )
            if auth.oauth2 is not None
            else None
        )
        self._session = (
            Session(
                definition,
                auth.login,
                secrets,
                acquire=self._permit,
                send=client.send,
                pause=limit.pause,
                latch=lambda reason: self._latch(reason, run),
                hide=self._masker.learn,
            )
            if auth.login is not None
            else None
        )

    def _lets_in(self, raw_host: bytes) -> bool:
        if (found := self._hosts.get(raw_host)) is None:  # a definition's hosts are fixed, so that they are few
            found = self._hosts[raw_host] = self._definition.lets_in(plain_host(raw_host.decode("ascii")))
        return found

    async def _permit(self) -> Permit:
        (permit,) = await self._limit.acquire(1, self._places)
        return permit

    async def _latch(self, reason: str, run: str) -> Stopped:
        await self._limit.latch(reason, run)
        return LimitLatched.of(self._limit.each[0].name, reason)

    def _fixed_header(self) -> str:
        """What stands in Authorization as long as the run goes on."""
        if (basic := self._auth.basic) is not None:
            pair = f"{text_of(basic.user, self._secrets)}:{text_of(basic.password, self._secrets)}"
            coded = base64.b64encode(pair.encode()).decode("ascii")
            self._masker.learn([coded], lasting=True)
            return f"Basic {coded}"
        bearer = text_of(self._auth.bearer or "", self._secrets).strip()
        if not (bearer.isascii() and bearer.isprintable()):
            raise SettingError("The secret of auth.bearer has characters that cannot stand in a header.")
        return f"Bearer {bearer}" if bearer else ""

    def _try_out(self) -> None:
        """What could not go out is found before the first row. Raises SettingError."""
        if self._auth.hmac is not None:
            sign(httpx.Request("POST", "https://host/"), self._auth.hmac, self._secrets, now=time.time(), nonce="0")
        if self._auth.oauth2 is not None:
            shown = text_of(self._auth.oauth2.header_parts[1], self._secrets, {"token": "t"})
            if not (shown.isascii() and shown.isprintable()):
                raise SettingError("A secret of auth.oauth2.header has characters that cannot stand in a header.")

    async def ready(self) -> None:
        """Have what requests need, before permits are taken. Raises Stopped, which says what to do."""
        if self._stopped is not None:
            raise self._stopped
        try:
            if self._tokens is not None:
                await self._tokens.ready()
            if self._session is not None:
                await self._session.ready()
        except Exception as exc:  # no row's trouble, whatever it is
            raise stopped_of(exc, self._masker) from exc

    async def aclose(self) -> None:
        """Nothing more is sent."""
        if self._tokens is not None:
            await self._tokens.aclose()

    def apply(self, request: httpx.Request) -> str:
        """Put all of it on a request that is about to go; "" or why it cannot go now.

        A request to a host that is to have none of it goes as it is.
        """
        if not self._lets_in(request.url.raw_host):
            return ""
        if self._fixed:
            request.headers["Authorization"] = self._fixed
        if self._tokens is not None and (oauth2 := self._auth.oauth2) is not None:
            if not (access := self._tokens.access):
                return "the token has run out"
            name, value = oauth2.header_parts
            request.headers[name] = text_of(value, self._secrets, {"token": access})
            request.extensions[_MARK] = self._tokens.standing.generation
        if self._session is not None and LOGS_IN not in request.extensions:
            if not self._session.standing.holds:
                return "the session is over"
            self._session.apply(request)
            request.extensions[_MARK] = self._session.standing.generation
        if self._auth.hmac is not None:
            made = sign(request, self._auth.hmac, self._secrets, now=time.time(), nonce=uuid4().hex)
            self._masker.learn_briefly(made)
        return ""

    def heed(self, request: httpx.Request, status: int, headers: Mapping[str, str]) -> Reply | None:
        """A 401, or what says that a session is over: the row may go again, with what is fetched anew."""
        if LOGS_IN in request.extensions or (generation := request.extensions.get(_MARK)) is None:
            return None
        what = self._session or self._tokens
        assert what is not None
        standing: Standing = what.standing
        if (reply := turned_away(self._auth, status, headers)) is None:
            standing.worked(generation)
            return None
        if not standing.refused(generation, boot_time()):
            self._stop(status)
        elif standing.refused_up_to == generation and self._told != generation:
            self._told = generation
            self._event(f"The API says {status}: {'logging in again' if self._session else 'the token is renewed'}")
        return reply

    def _stop(self, status: int) -> None:
        if self._session is not None:
            why, hint = "a session that was just opened", "Set right what auth.login says, then resume the run."
        else:
            why = "a token that was just fetched"
            hint = "Look whether the account may do this, and whether auth.oauth2 asks for the right scope."
            hint += " Then resume the run."
        self._stopped = self._stopped or Stopped(f"The API says {status} to {why}.", hint=hint)
