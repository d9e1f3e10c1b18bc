"""Connecting an account, and how it stands, for people: what `rowrelay auth`, the Status page and HTTP say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

import redis

from flows.credentials.connecting import Consent, NotAllowed
from flows.credentials.grant import Token, TokenAway, TokenRefused, exchanging
from flows.credentials.obstacle import belongs_to
from flows.credentials.signing import text_of
from flows.credentials.store import About, Store, about_of, forget, inherit, owner
from flows.credentials.tokens import Tokens, whose
from flows.credentials.vault import Vault
from flows.credentials.wire import driven, wire_of
from flows.errors import LedgerError, SettingError
from flows.ledger.connection import translated
from flows.limit.limiter import Limiter, Permit
from flows.limit.places import Places
from flows.masking import Masker
from flows.pipeline.auth import OAuth2
from flows.pipeline.definition import Definition
from flows.pipeline.secret import secrets_of
from flows.settings import Settings

_WAIT_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Standing:
    """How a pipeline's token stands. `connected`: there is one, or the next run will fetch one by itself.

    `expires` is in Unix seconds, None where nobody knows or there is none; `held` whether there is a token.
    """

    pipeline: str
    grant: str
    name: str
    connected: bool
    held: bool
    expires: float | None
    trouble: str

    @property
    def well(self) -> bool:
        """Whether the next run will be let in, as far as is known."""
        return self.connected and not self.trouble

    def words(self, *, now: float, until: str = "") -> str:
        """In a sentence; `until` is when the token runs out, as people write it."""
        if self.trouble:
            return f"The token server refused us: {self.trouble}. {self.todo}"
        if not self.connected:
            return f"It is not connected to its account. {self.todo}"
        if not self.held or (self.expires is not None and self.expires <= now):
            return "The next run fetches a token."
        if self.expires is None:
            return "It has a token, of which the server does not say how long it lasts."
        return f"Its token lasts until {until}, and is renewed by itself."

    @property
    def todo(self) -> str:
        """What helps where it is not well."""
        if self.well:
            return ""
        if self.grant != "refresh_token":
            return "Set the credentials right that auth.oauth2 names."
        return f"Connect it: `rowrelay auth {self.pipeline}`."


def standing(client: redis.Redis, definition: Definition) -> Standing | None:
    """How the token of a pipeline stands; None where it has none. Raises StackError, LedgerError."""
    oauth2 = definition.auth.oauth2 if definition.auth is not None else None
    if oauth2 is None:
        return None
    return _standing(definition.name, oauth2, about_of(client, _name(client, oauth2, definition.name)))


def _name(client: redis.Redis, oauth2: OAuth2, pipeline: str) -> str:
    """What its token is called. Raises StackError, LedgerError."""
    name = oauth2.token_name(pipeline)
    with translated():
        inherit(client, name, oauth2.former_name, pipeline)
    return name


def _standing(pipeline: str, oauth2: OAuth2, about: About | None) -> Standing:
    there = about is not None and bool(about.obtained)
    by_itself = oauth2.grant != "refresh_token" or oauth2.refresh_token is not None
    return Standing(
        pipeline=pipeline,
        grant=oauth2.grant,
        name=oauth2.token_name(pipeline),
        connected=there or by_itself,
        held=there,
        expires=about.expires if about is not None else None,
        trouble=about.trouble if about is not None else "",
    )


class Account:
    """The account of one pipeline, in the hands of a person. Raises StackError, LedgerError, SettingError.

    `places`: those that a token request takes under the limit, where it counts.
    """

    def __init__(
        self,
        definition: Definition,
        settings: Settings,
        redis_url: str,
        client: redis.Redis,
        *,
        places: Places | None = None,
    ) -> None:
        oauth2 = definition.auth.oauth2 if definition.auth is not None else None
        if oauth2 is None:
            raise SettingError(
                f"Pipeline {definition.name} has no oauth2 under auth, so that there is no account to connect."
            )
        self.definition, self.oauth2 = definition, oauth2
        self._places = places
        self._settings, self._redis_url, self._client = settings, redis_url, client
        self.secrets: Mapping[str, str] = secrets_of(definition, settings.secrets)
        self._vault = Vault.of(settings)
        self._wire = wire_of(definition, self.secrets, settings.secrets)
        self._name = _name(client, oauth2, definition.name)

    def ready(self) -> Standing:
        """Have a token that holds, by what is stored or stated. Raises Stopped where there is none to be had."""
        with translated():
            asyncio.run(self._ready())
        return self.standing()

    async def _ready(self) -> None:
        async with Limiter(self._redis_url) as limiter:
            limit = limiter.limit(*self.definition.limit_terms)

            async def acquire() -> Permit:
                (permit,) = await limit.acquire(1, self._places)
                return permit

            tokens = Tokens(
                self.oauth2,
                self.secrets,
                self._vault,
                self._redis_url,
                self._client,
                pipeline=self.definition.name,
                wire=self._wire,
                acquire=acquire,
            )
            await tokens.ready()

    def begin(self, refresh: str) -> None:
        """Go on from this refresh token from now on, whatever was there before."""
        self._put(Token("", refresh, 0.001))

    def exchange(self, consent: Consent, code: str) -> None:
        """Have the tokens for what a person has allowed. Raises TokenRefused, TokenAway, NotAllowed."""
        flow = exchanging(self.oauth2, self.secrets, code=code, redirect=consent.redirect, verifier=consent.verifier)
        mask = Masker([*self.secrets.values(), code, consent.verifier]).text
        try:
            token = driven(flow, wire=self._wire)
        except (TokenRefused, TokenAway) as exc:
            raise type(exc)(mask(exc.message), hint=exc.hint) from None
        if not token.refresh:
            raise NotAllowed(
                "The server gave a token, but no refresh token, so that it could not be renewed.",
                hint="Ask for offline access: many servers want a scope such as offline_access for that.",
            )
        self._put(token)

    def _put(self, token: Token) -> None:
        stated = self.oauth2.refresh_token
        first = self._vault.print_of(text_of(stated, self.secrets)) if stated is not None else ""
        store = Store(
            self._client,
            self._vault,
            self._name,
            owner=owner(),
            pipeline=self.definition.name,
            whose=whose(self.oauth2, self.secrets, self._vault),
        )
        until = time.monotonic() + _WAIT_SECONDS
        with translated():
            while True:
                taken, held = store.take(10.0)
                if taken and store.is_foreign(held):
                    store.free()
                    raise belongs_to(held, self.oauth2, self.definition.name)
                if taken and store.put(held.generation, token, why="connected", first=first):
                    return
                if time.monotonic() > until:
                    raise LedgerError("Another process has been renewing the token for too long.")
                time.sleep(0.2)

    def forget(self) -> bool:
        """Forget what is stored; whether there was anything."""
        return forget(self._client, self._name)

    def standing(self) -> Standing:
        """How it stands."""
        return _standing(self.definition.name, self.oauth2, about_of(self._client, self._name))
