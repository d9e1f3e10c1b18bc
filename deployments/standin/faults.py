"""Answers that go wrong, for a stand-in that has to show what a sender makes of them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Sequence
from typing import Protocol

from starlette.types import Receive, Send

PASSIVE_FAULTS = (  # the API did not act
    *("error", "bad_gateway", "gateway_timeout", "unavailable", "drop"),
    *("unauthorized", "unprocessable"),
)
ACTED_FAULTS = (
    *("reset", "close", "hang", "stalled", "trickled", "huge"),
    *("invalid_json", "wrong_type", "html", "no_content", "redirect"),
)
FAULTS = PASSIVE_FAULTS + ACTED_FAULTS
JSON, HTML = b"application/json; charset=utf-8", b"text/html"
_PLAIN = {  # whole answers: status, body, content type
    "error": (500, b'{"error": "internal error"}', JSON),
    "unauthorized": (401, b'{"error": "the token has expired"}', JSON),
    "unprocessable": (422, b'{"error": "the title is taken"}', JSON),
    "bad_gateway": (502, b"<html><body>Bad gateway</body></html>", HTML),
    "gateway_timeout": (504, b"<html><body>Gateway time-out</body></html>", HTML),
    "unavailable": (503, b'{"error": "unavailable"}', JSON),
    "invalid_json": (201, b'{"id": 101, "title"', JSON),
    "wrong_type": (201, b"created", b"text/plain"),
    "html": (200, b"<!DOCTYPE html><html><body>Please log in</body></html>", HTML),
    "no_content": (204, b"", JSON),
    "redirect": (302, b"", JSON),
}
Headers = Sequence[tuple[bytes, bytes]]


async def answer_with(
    send: Send, status: int, body: bytes, headers: Headers = (), *, content_type: bytes = JSON
) -> None:
    """A whole answer, with its length; a 204 goes out without the headers of a body."""
    described = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    head = [*headers] if status == 204 else [*described, *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


class Manner(Protocol):
    """The numbers that faults depend on."""

    @property
    def hang_seconds(self) -> float:
        """How long nothing is said."""

    @property
    def trickle_seconds(self) -> float:
        """Pause between the bytes of a head."""

    @property
    def huge_bytes(self) -> int:
        """Size of a huge answer."""


class Misbehaviour:
    """One answer that goes wrong: a plain one, or a method. Those that HTTP forbids write to the socket themselves."""

    def __init__(
        self, manner: Manner, transport: asyncio.Transport, receive: Receive, send: Send, retry: Headers
    ) -> None:
        self.manner, self.transport, self.receive, self.send, self.retry = manner, transport, receive, send, retry

    async def show(self, kind: str) -> None:
        """Answer in that way; ends when the connection is free again, or gone."""
        if kind in _PLAIN:
            status, body, content_type = _PLAIN[kind]
            headers = {"unavailable": self.retry, "redirect": ((b"location", b"/elsewhere"),)}.get(kind, ())
            await answer_with(self.send, status, body, headers, content_type=content_type)
        else:
            await getattr(self, f"_{kind}")()

    async def _huge(self) -> None:
        start, end = b'{"id": 101, "padding": "', b'"}'
        left = self.manner.huge_bytes - len(start) - len(end)
        head = [(b"content-type", JSON), (b"content-length", str(self.manner.huge_bytes).encode())]
        await self.send({"type": "http.response.start", "status": 201, "headers": head})
        await self.send({"type": "http.response.body", "body": start, "more_body": True})
        while left > 0 and not self.transport.is_closing():
            part = b"x" * min(left, 65536)
            left -= len(part)
            await self.send({"type": "http.response.body", "body": part, "more_body": True})
        await self.send({"type": "http.response.body", "body": end})

    async def _drop(self) -> None:
        await self._reset()

    async def _reset(self) -> None:
        if sock := self.transport.get_extra_info("socket"):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
        await self._gone()

    async def _close(self) -> None:
        self.transport.close()
        await self._gone()

    async def _hang(self) -> None:
        """Say nothing until the client goes or `hang_seconds` are over."""
        try:
            async with asyncio.timeout(self.manner.hang_seconds):
                await self._gone()
        except TimeoutError:
            await self._reset()

    async def _stalled(self) -> None:
        head = b"HTTP/1.1 201 Created\r\ncontent-type: " + JSON + b"\r\ncontent-length: 1000\r\n\r\n"
        self.transport.write(head + b'{"id"')
        await self._hang()

    async def _trickled(self) -> None:
        head = b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 11\r\nconnection: close"
        for byte in head + b"\r\n\r\n":
            if self.transport.is_closing():
                break
            self.transport.write(bytes((byte,)))
            await asyncio.sleep(self.manner.trickle_seconds)
        self.transport.write(b'{"id": 101}')
        await self._close()

    async def _gone(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
