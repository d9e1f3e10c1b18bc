"""The token of an account as one process has it: read from Redis, renewed under a lock by one process for all."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

import redis

from flows.credentials.errand import START_SECONDS, Errand, Sent
from flows.credentials.grant import Asked, TokenAway, TokenRefused, ask, attempts_of, fetching, place_of
from flows.credentials.obstacle import begun_elsewhere, belongs_to, not_connected, refusal, sealed, stopped_of
from flows.credentials.paying import Acquire, Overtaken, Paying
from flows.credentials.signing import text_of
from flows.credentials.standing import Standing
from flows.credentials.store import HOLD_SECONDS, Held, Store, inherit, owner
from flows.credentials.vault import Vault
from flows.credentials.wire import DIRECTLY, Wire, driven
from flows.errors import Stopped
from flows.limit.clock import Clock, boot_time
from flows.masking import Masker
from flows.pipeline.auth import OAuth2
from flows.pipeline.template import Secrets

T = TypeVar("T")

PATIENCE_SECONDS = 60.0  # so long a token server, or a process that renews, is waited for
_LOOK_SECONDS = (0.05, 0.2)  # between two looks at what another process renews
_MARGIN, _MOST_MARGIN_SECONDS = 0.2, 60.0  # of its life; it is renewed when no more is left
_EDGE_SECONDS = 2.0  # so long before its end it is not sent any more: requests take their time to arrive
_MOST_FETCHED = 2  # in one go: what is void when it comes would be fetched for ever
_AGAIN_SECONDS = 5.0  # between two tries to renew a token that still holds


def margin(lifetime: float) -> float:
    """Seconds before its end at which a token is renewed."""
    return min(_MOST_MARGIN_SECONDS, lifetime * _MARGIN)


class Tokens:
    """One token, for one process. `acquire` grants the permits of token requests that count.

    `event` is told in plain words what people should know. `give_up_seconds`: how long a Redis that is away is waited
    for, if that is longer than a token server is.
    """

    def __init__(
        self,
        oauth2: OAuth2,
        secrets: Secrets,
        vault: Vault,
        redis_url: str,
        client: redis.Redis,
        *,
        pipeline: str,
        wire: Wire = DIRECTLY,
        acquire: Acquire | None = None,
        on_token: Callable[[Sequence[str]], None] = lambda texts: None,
        event: Callable[[str], None] = lambda text: None,
        give_up_seconds: float = 0.0,
        clock: Clock = boot_time,
    ) -> None:
        self._oauth2, self._secrets, self._vault, self._redis_url = oauth2, secrets, vault, redis_url
        self._pipeline, self._wire = pipeline, wire
        self._on_token, self._event, self._clock = on_token, event, clock
        self._name = oauth2.token_name(pipeline)
        ours = whose(oauth2, secrets, vault)
        self._store = Store(client, vault, self._name, owner=owner(), pipeline=pipeline, whose=ours)
        self._paying = Paying(acquire if oauth2.counts else None, self._store, clock)
        self._inherit = partial(inherit, client, self._name, oauth2.former_name, pipeline)
        self._masker = Masker(secrets.values())
        self._first = self._print()
        self._access = ""
        self._renew_at = self._ends_at = 0.0
        # Whoever is asked may take all of its time, and nobody who waits for that is to give up before.
        self._patience = max(PATIENCE_SECONDS, START_SECONDS + oauth2.timeout_seconds + HOLD_SECONDS)
        self._give_up = max(self._patience, give_up_seconds)
        self._lock = asyncio.Lock()
        self._on_errand = False
        self._beside: asyncio.Task[None] | None = None
        self._failed: Stopped | None = None
        self.standing = Standing()

    def _print(self) -> str:
        """What the stored token must have begun with: another secret, scope or client is another token."""
        if self._oauth2.grant == "refresh_token":
            stated = self._oauth2.refresh_token
            return self._vault.print_of(text_of(stated, self._secrets)) if stated is not None else ""
        stated_all = self._oauth2.model_dump_json(exclude={"counts", "timeout_seconds", "header", "name"})
        return self._vault.print_of("\0".join([stated_all, *(self._secrets[name] for name in sorted(self._secrets))]))

    @property
    def is_ready(self) -> bool:
        """Whether there is a token that holds for a while."""
        return self.standing.holds and self._clock() < self._renew_at

    @property
    def access(self) -> str:
        """The token, "" where none holds."""
        return self._access if self.standing.holds and self._clock() < self._ends_at else ""

    async def ready(self) -> None:
        """Have a token that holds. Raises Stopped where there is none to be had, and says what to do.

        One that lasts a little longer is renewed beside what goes on.
        """
        if self._failed is not None:
            raise self._failed
        if self.is_ready:
            return
        if self.access:
            if self._beside is None or self._beside.done():
                self._beside = asyncio.create_task(self._renew_beside())
            return
        await self._renew_once()

    async def _renew_once(self) -> None:
        async with self._lock:
            if not self.is_ready:
                await self._renew()

    async def _renew_beside(self) -> None:
        try:
            await self._renew_once()
        except Exception as exc:
            self._failed = stopped_of(exc, self._masker)

    async def aclose(self) -> None:
        """Nobody needs another token. What is being renewed is waited for by the process that does."""
        if self._beside is not None:
            self._beside.cancel()
            await asyncio.gather(self._beside, return_exceptions=True)

    async def _renew(self) -> None:
        began, fetched, told = self._clock() - self._paying.waited_seconds, 0, False
        why = "refused" if self.standing.generation and not self.standing.holds else "expiry"
        while True:
            pause, patience = 1.0, self._patience
            try:
                if not self.standing.generation:
                    await self._call(self._inherit)
                held = await self._call(self._store.look)
                if self._adopted(held):
                    return
                if fetched < _MOST_FETCHED and await self._fetched(held, why):
                    fetched += 1
                    continue  # what is stored now is what holds
                if fetched:
                    raise TokenAway(f"The tokens of {place_of(self._oauth2)} run out before they can be used.")
                trouble: Stopped = TokenAway("Another process has been renewing the token for too long.")
                pause = random.uniform(*_LOOK_SECONDS)
            except redis.RedisError as exc:
                trouble, patience = TokenAway(f"Redis does not tell the token: {exc}"), self._give_up
            except TokenAway as exc:
                trouble = exc
                if self.standing.holds and self._clock() < self._ends_at:
                    self._renew_at = min(self._ends_at, self._clock() + _AGAIN_SECONDS)
                    self._event(f"{exc.message} The token that there is lasts {self._ends_at - self._clock():.0f} s.")
                    return
            if fetched or self._clock() - self._paying.waited_seconds >= began + patience:
                raise trouble
            if pause == 1.0 and not told:
                told = True
                self._event(f"{trouble.message} It is asked again for {patience:.0f} s.")
            await asyncio.sleep(pause)

    def _is_ours(self, held: Held) -> bool:
        return bool(held.generation) and not held.sealed and held.first == self._first

    def _is_ours_by_all(self, held: Held) -> bool:
        """Whether one of an earlier version is ours whoever stored it: `first` says all that it was asked for with."""
        return not held.whose and self._oauth2.grant != "refresh_token" and self._oauth2.name is None

    def _adopted(self, held: Held) -> bool:
        """Use what is stored from now on, if it will do. Raises Stopped where it is another's."""
        if self._store.is_foreign(held) and not self._is_ours_by_all(held):
            raise belongs_to(held, self._oauth2, self._pipeline)
        if not self._is_ours(held) or not held.access or held.generation <= self.standing.refused_up_to:
            return False
        left, lifetime = held.left, held.lifetime
        spare = margin(lifetime) if lifetime is not None else 0.0
        if left is not None and left <= spare:
            return False
        now = self._clock()
        if held.generation != self.standing.generation:
            since = now - max(0.0, held.now - held.obtained)
            self.standing.begin(held.generation, since=since, after_refusal=held.why == "refused")
            self._on_token([held.access, held.refresh])
        self._access = held.access
        self._ends_at = float("inf") if left is None else now + left - min(_EDGE_SECONDS, spare / 4)
        self._renew_at = float("inf") if left is None else now + left - spare
        return True

    async def _fetched(self, seen: Held, why: str) -> bool:
        """Renew it if nobody else does; False where somebody does. Raises TokenRefused, TokenAway."""
        taken, held = await self._call(self._store.take, START_SECONDS)
        if not taken:
            return False
        if held.generation != seen.generation:
            await self._call(self._store.free)
            return True
        if self._paying.counts:  # the lock is for whoever gets a permit first
            await self._call(self._store.free)
        try:
            if self._oauth2.grant == "refresh_token":
                await self._use_up(held, why)
            else:
                await self._fetch(held, why)
        except Overtaken:
            await self._call(self._store.free)
            return False
        except TokenRefused as exc:
            told = self._masker.text(exc.message)
            await self._call(self._store.fail, held.generation, told)
            raise refusal(told, held, self._oauth2, self._pipeline) from None
        except BaseException:
            if not self._on_errand:  # while a refresh token is being used up nobody else may use it
                await asyncio.shield(self._call(self._store.free))
            raise
        return True

    async def _fetch(self, held: Held, why: str) -> None:
        """By what the definition has, which may be asked for as often as one likes."""
        flow = fetching(self._oauth2, self._secrets, now=time.time, unique=lambda: uuid4().hex)
        try:
            async with self._paying.paid(held):
                token = await self._call(driven, flow, wire=self._wire, before=self._hold, sleep=self._store.pause)
        except TokenAway as exc:
            raise TokenAway(self._masker.text(exc.message), hint=exc.hint) from None
        why = why if held.generation else "start"
        await self._call(self._store.put, held.generation, token, why=why, first=self._first)

    def _hold(self, asked: Asked) -> None:
        """Nobody else is to ask as long as this request may take. Raises TokenAway where somebody does already."""
        if not self._store.hold(asked.timeout_seconds + HOLD_SECONDS):
            raise TokenAway("Another process renews the token.")

    async def _use_up(self, held: Held, why: str) -> None:
        """By the refresh token, which may be void as soon as it was used."""
        self._on_errand = False
        before, first = self._refresh_token(held), self._first
        if (token := self._store.shelved(held.generation, first)) is not None:
            await self._call(self._store.put, held.generation, token, why=why, first=first)
            self._store.unshelve(held.generation, first)
            return
        if held.intent is not None:
            self._event("An earlier renewal of the token was interrupted; its refresh token is tried again.")
        asked = ask(self._oauth2, self._secrets, refresh=before, now=time.time(), unique=uuid4().hex)
        errand = Errand(
            redis_url=self._redis_url,
            key=self._vault.key,
            folder=str(self._vault.folder),
            name=self._store.name,
            pipeline=self._pipeline,
            owner=self._store.owner,
            generation=held.generation,
            why=why if held.generation else "start",
            first=first,
            before=before,
            where=place_of(self._oauth2),
            asked=asked,
            attempts=attempts_of(self._oauth2),
            wire=self._wire,
            hide=tuple(self._secrets.values()),
            whose=self._store.whose,
        )
        sent = await self._call(Sent, errand)
        try:
            async with self._paying.paid(held):
                self._on_errand = True
                came = await self._call(sent.go)
                self._on_errand = False
        except BaseException:
            if not self._on_errand:  # else the thread that waits for it leaves it
                await asyncio.shield(self._call(sent.leave))
            raise
        if came.refused:
            raise TokenRefused(came.refused)
        if came.away:
            raise TokenAway(came.away)

    def _refresh_token(self, held: Held) -> str:
        """The one to be used. Raises Stopped where there is none."""
        if held.sealed:
            raise sealed(self._pipeline)
        if self._is_ours(held):
            if held.refresh:
                return held.refresh
            raise TokenRefused("the server gave no refresh token")
        if held.generation and self._oauth2.name is not None and held.pipeline != self._pipeline:
            raise begun_elsewhere(held, self._oauth2.name, self._pipeline)
        if self._oauth2.refresh_token is None:
            raise not_connected(self._pipeline)
        return text_of(self._oauth2.refresh_token, self._secrets)

    async def _call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        return await asyncio.to_thread(function, *args, **kwargs)


def whose(oauth2: OAuth2, secrets: Secrets, vault: Vault) -> str:
    """A fingerprint of where the refresh token of an account may go, and for which client."""
    lasting = "refresh_token" if oauth2.grant == "refresh_token" else ""
    stated = (oauth2.token_url, oauth2.client_id or "")
    return vault.print_of("\0".join([lasting, *(text_of(text, secrets) for text in stated)]))
