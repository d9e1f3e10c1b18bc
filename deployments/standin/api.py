"""The stand-in API as an ASGI application, its knobs and its control pages."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import hashlib
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl

import msgspec
from pydantic import BaseModel, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from deployments.standin.answer import Answer, answer
from deployments.standin.arrivals import Arrival, Arrivals
from deployments.standin.faults import FAULTS, PASSIVE_FAULTS, Misbehaviour, answer_with

BAN_PAGE = (
    b"<!DOCTYPE html><html><head><title>Access denied</title></head><body><h1>Access denied</h1>"
    b"<p>Too many requests came from your address. Write to support to have it opened again.</p></body></html>"
)


class Knobs(BaseModel, extra="forbid", frozen=True):
    """How the stand-in behaves; each can be changed while it runs."""

    requests: int | None = Field(default=7, ge=1, description="Requests allowed in any window; null for no limit")
    window_seconds: float = Field(default=1.0, gt=0, description="Length of the window")
    ban_after: int | None = Field(
        default=20, ge=1, description="Violations until everything is answered 403; null for never"
    )
    retry_after_seconds: float | None = Field(
        default=None, ge=0, description="Retry-After of 429 and 503; null for no header"
    )
    retry_after_form: Literal["seconds", "date"] = Field(default="seconds", description="How Retry-After is written")
    jitter_seconds: float = Field(
        default=0.0, ge=0, description="A request is counted up to this long after it was read"
    )
    delay_min_seconds: float = Field(default=0.0, ge=0, description="Least time from the arrival to the answer")
    delay_max_seconds: float = Field(default=0.0, ge=0, description="Most time from the arrival to the answer")
    hang_seconds: float = Field(default=60.0, ge=0, description="How long a hanging or stalled answer is held")
    trickle_seconds: float = Field(default=0.1, ge=0, description="Pause between the bytes of a trickled head")
    huge_bytes: int = Field(default=50_000_000, ge=0, description="Size of a huge answer")
    idempotent: bool = Field(default=False, description="Honour Idempotency-Key: a repeated key gets the stored answer")
    tag: str = Field(default="", description="Field of the body that is logged with the arrival")
    faults: dict[Literal[FAULTS], float] = Field(default_factory=dict, description="Share of each fault, 0 to 1")  # type: ignore[valid-type]


class StandIn:
    """The API itself, as an ASGI application. It needs deployments.standin.server.Protocol below it."""

    def __init__(self, knobs: Knobs | None = None, *, log: Path | None = None, details: bool = True) -> None:
        self.knobs = knobs or Knobs()
        self.arrivals = Arrivals(log=log, details=details)
        self.banned = False
        self._refuse_until = 0
        self._last_id = 100
        self._stored: dict[str, tuple[str, Answer]] = {}
        self._under_way: set[str] = set()
        pages = self.pages()
        self._control = Starlette(routes=pages)
        self._own = frozenset(page.path for page in pages)

    def pages(self) -> list[Route]:
        """What is answered about the stand-in itself, and is no arrival."""
        return [
            Route("/control", self.control, methods=["GET", "PUT"]),
            Route("/report", self.report),
            Route("/arrivals", self.stream),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Everything but the control pages is an arrival."""
        if scope["type"] != "http":
            return
        if scope["path"] in self._own:
            await self._control(scope, receive, send)
            return
        at, transport = scope["standin"]
        if self.knobs.jitter_seconds:
            await asyncio.sleep(random.uniform(0, self.knobs.jitter_seconds))
            at = time.monotonic_ns()
        arrival = Arrival(at, scope["method"], scope["path"], query=scope["query_string"].decode("latin-1"))
        kind = self._admit(arrival) or self._draw()
        body = await self._read(scope, arrival, receive)
        try:
            await self._answer(
                kind, arrival, body, Misbehaviour(self.knobs, transport, receive, send, self._retry_after())
            )
        finally:
            self.arrivals.settle(arrival)

    def _admit(self, arrival: Arrival) -> str:
        """Count the arrival; why it is refused, or nothing."""
        knobs = self.knobs
        in_window = self.arrivals.add(arrival, window_ns=round(knobs.window_seconds * 1e9))
        over = knobs.requests is not None and in_window > knobs.requests
        if over:
            self.arrivals.refused += 1
            if knobs.ban_after is not None and self.arrivals.refused >= knobs.ban_after:
                self.banned = True
        if self.banned:
            return "ban"
        return "too_many" if over or arrival.at < self._refuse_until else ""

    def _draw(self) -> str:
        """A fault, by its share of the requests, or nothing."""
        point = random.random()
        for kind, share in self.knobs.faults.items():
            point -= share
            if point < 0:
                return str(kind)
        return ""

    async def _read(self, scope: Scope, arrival: Arrival, receive: Receive) -> bytes:
        parts = []
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        for name, value in scope["headers"]:
            if name == b"idempotency-key":
                arrival.key = value.decode("latin-1")
            elif name == b"content-type":
                arrival.content_type = value.decode("latin-1")
        body = b"".join(parts)
        arrival.digest = hashlib.blake2b(body, digest_size=8).hexdigest() if body else ""
        if self.knobs.tag:  # before anything is made of it: what goes wrong arrived all the same
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                fields = _fields(body)
                arrival.tag = str(fields.get(self.knobs.tag, "")) if isinstance(fields, dict) else ""
        return body

    async def _answer(self, kind: str, arrival: Arrival, body: bytes, wrongly: Misbehaviour) -> None:
        send = wrongly.send
        if kind == "ban":
            arrival.answer = 403
            await answer_with(send, 403, BAN_PAGE, content_type=b"text/html; charset=utf-8")
        elif kind == "too_many":
            arrival.answer = 429
            await answer_with(send, 429, b'{"error": "too many requests"}', self._retry_after())
        elif kind == "drop":
            arrival.answer = kind
            await wrongly.show(kind)
        else:
            await self._work(kind, arrival, body, wrongly)

    async def _work(self, kind: str, arrival: Arrival, body: bytes, wrongly: Misbehaviour) -> None:
        arrival.answer = kind
        with self._working_on(arrival) as free:
            told = self._act(arrival, body, free=free) if kind not in PASSIVE_FAULTS else Answer(0, b"")
            if self.knobs.delay_max_seconds:
                least = self.knobs.delay_min_seconds
                await asyncio.sleep(random.uniform(least, max(least, self.knobs.delay_max_seconds)))
            if kind:
                await self._spoil(kind, told, wrongly)
            else:
                arrival.answer = told.status
                await answer_with(wrongly.send, told.status, told.body, told.headers)

    async def _spoil(self, kind: str, told: Answer, wrongly: Misbehaviour) -> None:
        """Let a fault take the place of the answer."""
        await wrongly.show(kind)

    @contextlib.contextmanager
    def _working_on(self, arrival: Arrival) -> Iterator[bool]:
        """Hold the arrival's key; gives whether it was free."""
        key = arrival.key if self.knobs.idempotent else ""
        free = not key or key not in self._under_way
        if key and free:
            self._under_way.add(key)
        try:
            yield free
        finally:
            if free:
                self._under_way.discard(key)

    def _act(self, arrival: Arrival, body: bytes, *, free: bool) -> Answer:
        """Do what is asked; the answer. A stored answer is given again without acting."""
        key = arrival.key if self.knobs.idempotent else ""
        if not free:
            return answer(409, {"error": "a request with this Idempotency-Key is under way"})
        if key in self._stored:
            digest, told = self._stored[key]
            same = digest == arrival.digest
            return told if same else answer(422, {"error": "this Idempotency-Key came with another body"})
        try:
            fields = self._parse(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return answer(400, {"error": "the body is neither JSON nor a form"})
        arrival.acted = True
        told = self._resource(arrival, fields)
        if key and arrival.acted:
            self._stored[key] = (arrival.digest, told)
        return told

    def _parse(self, body: bytes) -> Any:
        """What a body says. Raises msgspec.DecodeError or UnicodeDecodeError."""
        return _fields(body)

    def _resource(self, arrival: Arrival, fields: Any) -> Answer:
        """Act; the answer. Without effect, so that asking again is right: `arrival.acted` is made false."""
        name = arrival.path.rstrip("/").rpartition("/")[2]
        number = int(name) if name.isdecimal() else None
        if arrival.method in ("POST", "PUT", "PATCH"):
            if number is None:
                self._last_id += 1
            made = {**(fields if isinstance(fields, dict) else {"value": fields}), "id": number or self._last_id}
            return answer(201 if arrival.method == "POST" else 200, made)
        if arrival.method == "GET":
            return answer(200, {"userId": 1, "id": number or 1, "title": "a title", "body": "a body"})
        return answer(200, {})

    def _retry_after(self) -> list[tuple[bytes, bytes]]:
        seconds = self.knobs.retry_after_seconds
        if seconds is None:
            return []
        if self.knobs.retry_after_form == "date":
            return [(b"retry-after", email.utils.formatdate(math.ceil(time.time() + seconds), usegmt=True).encode())]
        return [(b"retry-after", str(math.ceil(seconds)).encode())]

    async def control(self, request: Request) -> Response:
        """GET: the knobs. PUT: change some of them, or act: `reset`, `ban`, `refuse_seconds` (429 for so long)."""
        if request.method == "PUT":
            try:
                change = await request.json()
                self.turn(**change)
            except (ValidationError, ValueError, TypeError) as exc:
                return PlainTextResponse(f"{exc}\n", status_code=422)
        return JSONResponse({**self.knobs.model_dump(), "banned": self.banned})

    def turn(self, *, reset: bool = False, ban: bool | None = None, refuse_seconds: float = 0, **knobs: Any) -> None:
        """Change knobs, forget everything (`reset`), start or end a ban, or answer 429 for some seconds.

        Raises pydantic's ValidationError for an unknown knob or an impossible value; then nothing is changed.
        """
        self.knobs = type(self.knobs).model_validate({**self.knobs.model_dump(), **knobs})
        if reset:
            self.forget()
        if ban is not None:
            self.banned = ban
        if refuse_seconds:
            self._refuse_until = time.monotonic_ns() + round(refuse_seconds * 1e9)

    def forget(self) -> None:
        """Begin anew: nothing arrived, nothing was created, nobody is banned."""
        self.arrivals.clear()
        self.banned, self._refuse_until, self._last_id, self._stored = False, 0, 100, {}

    async def report(self, request: Request) -> Response:
        """What arrived. `?window=` counts in windows of another length, `?allowed=` against another number."""
        window = float(request.query_params.get("window", self.knobs.window_seconds))
        allowed = request.query_params.get("allowed")
        return JSONResponse(self.facts(window_seconds=window, allowed=int(allowed) if allowed else self.knobs.requests))

    def facts(self, *, window_seconds: float | None = None, allowed: int | None = None) -> dict[str, Any]:
        """The report as a dict."""
        window = window_seconds or self.knobs.window_seconds
        return {
            **self.arrivals.report(window_seconds=window, allowed=allowed or self.knobs.requests),
            "banned": self.banned,
            "created": self._last_id - 100,
        }

    async def stream(self, request: Request) -> Response:
        """Every arrival as a line of JSON."""
        return StreamingResponse(self.arrivals.lines(), media_type="application/x-ndjson")


def _fields(body: bytes) -> Any:
    if not body:
        return {}
    if body[:1] in b'{["' or body[:1].isdigit():
        return msgspec.json.decode(body)
    if b"=" in body:
        return dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True))
    return msgspec.json.decode(body)
