"""Sending a request under a permit, and what came of it. An attempt is one arrival, or none."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, Self, cast

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver
from msgspec.structs import replace

from flows.client.answer import GATEWAY_STATUSES, understood
from flows.client.breakage import broken, words_for
from flows.client.certificate import Certified
from flows.client.compiled import Compiled
from flows.client.connections import Connections
from flows.client.credential import Credentials
from flows.client.exchange import NO_NOTE, Exchange, Note, exchange
from flows.client.proxies import Proxies
from flows.client.proxy_trouble import NEEDED, wants_password
from flows.client.question import Question
from flows.client.request import build
from flows.client.transport import Body, Flight, Permit, Transport
from flows.limit.clock import boot_time
from flows.pipeline.definition import Definition
from flows.pipeline.secret_hosts import UNRESTRICTED, Guard, SecretHosts
from flows.records import Parcel, Reply, Row, RowState

__all__ = ["Client", "Permit"]

_ORIGIN = re.compile(r"[A-Za-z]+://[^/?#]*")
_DEAD_CONNECTIONS = 8  # so many connections that the API has closed are stepped over before an attempt is given up


class Client:
    """The API of one definition, over at most `connections` connections. Use it as an async context manager.

    `transport` replaces the network, e.g. httpx.MockTransport; then the permit is checked before it is called.
    `resolver` replaces the system's way to find the API's addresses. `hosts`: where secrets may go. `certified`: the
    certificate that we show. `credentials` are put on each request right before it is written, once there are some.
    Of httpx the requests, the answers and the transport are used. AsyncClient would add what must not happen here
    (redirects, cookies, whole URLs in the log) and about 100 µs a request (bench/client.py).
    Raises SettingError where the environment names a proxy that cannot be used, and the definition wants one.
    """

    def __init__(
        self,
        definition: Definition,
        *,
        secrets: Mapping[str, str],
        connections: int,
        hosts: SecretHosts = UNRESTRICTED,
        transport: httpx.AsyncBaseTransport | None = None,
        resolver: AbstractResolver | None = None,
        certified: Certified | None = None,
    ) -> None:
        self._definition, self._secrets, self._connections = definition, dict(secrets), connections
        self._proxies = Proxies.of(definition, self._secrets)
        hidden = [secret for proxy in self._proxies.used(definition) for secret in proxy.secrets]
        self.compiled = Compiled.of(definition, self._secrets, hidden=hidden)
        self._masker, self._guard = self.compiled.masker, Guard(hosts, self._secrets)
        self._given, self._resolver, self._certified = transport, resolver, certified
        self.credentials: Credentials | None = None
        self._transport: httpx.AsyncBaseTransport | None = None

    async def __aenter__(self) -> Self:
        timeout = self._definition.timeout_seconds
        self._transport = self._given or Transport(
            self._connections,
            timeout_seconds=timeout,
            resolver=self._resolver,
            proxies=self._proxies,
            certified=self._certified,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._transport is not None:
            await self._transport.aclose()

    @property
    def connections(self) -> Connections | None:
        """The connections to the API; None where the network is replaced."""
        if not isinstance(self._transport, Transport):
            return None
        origin = _ORIGIN.match(self._definition.main.url)
        return self._transport.connections(httpx.URL(origin[0] if origin else self._definition.main.url))

    async def admit(self) -> None:
        """Have what lets requests in, before permits are taken. Raises Stopped, which says what to do."""
        if self.credentials is not None:
            await self.credentials.ready()

    def build(self, row: Row, *, key: str) -> httpx.Request:
        """The request of a row. Raises Unsendable."""
        return build(self.compiled.rendering, row, key=key, secrets=self._secrets)

    def exchange(
        self,
        parcel: Parcel,
        *,
        key: str,
        own_keys: Sequence[str] = (),
        parts: Sequence[Any] | None = None,
        note: Note = NO_NOTE,
    ) -> Exchange:
        """All requests of a parcel; each is to be sent by `send`."""
        own_keys = own_keys or [key]
        return exchange(self.compiled, parcel, key=key, own_keys=own_keys, parts=parts, note=note)

    async def send(self, request: httpx.Request, permit: Permit) -> Reply:
        """Have a connection, wait for the permit's start, send, and say what came back.

        The permit is reported on in every case. Raises nothing of the network. A cancelled attempt's permit is `lost`
        if anything was written, else `unused`.
        """
        current = Flight(permit)
        request.extensions["flight"] = current
        question: Question = request.extensions.get("question") or self.compiled.question(None)
        if refused := self._guard.refusal(request):
            permit.unused()
            return Reply(RowState.WAITING, f"{refused}; nothing was sent", wrote=False, attempted=False, stop=True)
        try:
            if isinstance(self._transport, Transport):
                try:
                    await current.prepare(self._transport.connections(request.url))
                except Exception as exc:
                    return self._unanswered(exc, current, question)
            await permit.wait()
            if self.credentials is not None:
                try:
                    why = self.credentials.apply(request)
                except Exception as exc:  # nothing was sent, so that it is no row's trouble
                    current.give_up()
                    why = self._masker.text(f"the request cannot be signed or let in: {exc}")
                    return Reply(RowState.WAITING, why, wrote=False, attempted=False, stop=True)
                if why:
                    current.give_up()
                    return Reply(RowState.WAITING, why, wrote=False, attempted=False, again=True)
            return await self._fly(request, current, question)
        except BaseException:
            current.give_up()
            raise

    async def _fly(self, request: httpx.Request, current: Flight, question: Question) -> Reply:
        definition, permit = self._definition, current.permit
        try:
            async with asyncio.timeout_at(self._bound(permit, question.timeout_seconds)):
                response = await self._head(request, current)
        except Exception as exc:
            return self._unanswered(exc, current, question)
        took = boot_time() - permit.start
        at_edge = response.status_code in GATEWAY_STATUSES and not definition.counts_at_edge
        if not at_edge:
            permit.answered()
        try:
            body, trouble = await self._body(response, current, question.timeout_seconds)
            current.transport = None  # it may carry another's request by now
        finally:
            (permit.lost if at_edge else permit.finished)()
        if response.status_code == NEEDED and current.connections is not None and current.connections.proxy is not None:
            why = f"{wants_password(current.connections.proxy)}; nothing came to the API"
            return Reply(RowState.WAITING, why, NEEDED, attempted=False, stop=True, took_seconds=took)
        status, headers = response.status_code, response.headers
        if self.credentials is not None and (reply := self.credentials.heed(request, status, headers)) is not None:
            return replace(reply, status=status, headers=headers, took_seconds=took)
        return understood(
            response.status_code,
            response.headers,
            body,
            definition,
            question=question,
            trouble=trouble,
            mask=self._masker.text,
            took_seconds=took,
        )

    @staticmethod
    def _bound(permit: Permit, seconds: float) -> float:
        """The moment, by the loop's clock, at which the head must be here. The loop's clock stops in a suspend."""
        until = min(permit.deadline, permit.start + seconds)
        return asyncio.get_running_loop().time() + until - boot_time()

    async def _head(self, request: httpx.Request, current: Flight) -> httpx.Response:
        """The answer, its body still to be read. A connection that the API had closed before is stepped over."""
        if self._transport is None:
            raise RuntimeError("the client is used outside of `async with`")
        if self._given is not None:
            current.clear_to_write()
        for left in reversed(range(_DEAD_CONNECTIONS)):
            try:
                return await self._transport.handle_async_request(request)
            except (aiohttp.ClientError, httpx.TransportError):
                if current.wrote or not current.hung_up or not left:
                    raise
                current.hung_up = False
        raise AssertionError("not reached")

    def _unanswered(self, exc: Exception, current: Flight, question: Question) -> Reply:
        current.give_up()
        took = max(0.0, boot_time() - current.permit.start)
        if current.refused:
            return Reply(RowState.WAITING, current.refused, wrote=False, attempted=False, again=True, took_seconds=took)
        reply = broken(
            exc,
            wrote=current.wrote,
            idempotent=self._definition.idempotent,
            within_seconds=question.timeout_seconds,
            mask=self._masker.text,
        )
        if question.reads and reply.means is RowState.UNKNOWN:  # nothing can have come of it: it is asked again
            reply = replace(reply, means=RowState.WAITING, again=True)
        return replace(reply, took_seconds=took)

    async def _body(self, response: httpx.Response, current: Flight, seconds: float) -> tuple[bytes, str]:
        """As much of the body as is kept, and why that is not all of it. What is not read closes the connection."""
        most = self._definition.most_bytes
        packed = "content-encoding" in response.headers
        if isinstance(response.stream, Body) and not packed and (whole := response.stream.at_once(most)) is not None:
            return whole, ""
        body, trouble = bytearray(), ""
        try:
            async with asyncio.timeout(seconds), aclosing(_parts(response, packed)) as parts:
                async for part in parts:
                    body += part
                    if len(body) > most:
                        trouble = f"the answer is longer than {most:,} bytes"
                        break
        except TimeoutError:
            trouble = f"the answer did not end within {seconds:g} s"
        except Exception as exc:
            trouble = self._masker.text(words_for(exc))
        finally:
            if trouble:
                current.abort()  # as long as the connection is ours
            with suppress(Exception):
                await response.aclose()
        return bytes(body[:most]), trouble


def _parts(response: httpx.Response, packed: bool) -> AsyncGenerator[bytes, None]:
    """The body piece by piece; unpacked only where the API has packed it in spite of `Accept-Encoding: identity`."""
    if packed:
        return cast(AsyncGenerator[bytes, None], response.aiter_bytes())
    return cast(AsyncGenerator[bytes, None], cast(httpx.AsyncByteStream, response.stream).__aiter__())
