"""Reading answers as curl and other clients do: whatever status line was read counts.

aiohttp's parser refuses a whole answer for one odd header, or for a byte too many behind the body, and what it had read
is gone. Here such a head is written anew without what is odd, and read again; the connection is not used afterwards, so
that nothing left over can be taken for the next answer. Answers without a fault pass through aiohttp's parser alone.
"""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpResponseParser, RawResponseMessage
from aiohttp.http_exceptions import LineTooLong
from aiohttp.streams import StreamReader

MAX_HEAD_BYTES = 100_000
_MAX_HEADERS = MAX_HEAD_BYTES // 4
_BUFFER_BYTES = 1 << 16
_STATUS_LINE = re.compile(rb"\s*HTTP/\d+(?:\.\d+)? +([1-9]\d\d)(?:[ \r][^\n]*)?\n")
_END = re.compile(rb"\r?\n\r?\n")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_OURS = (b"connection", b"keep-alive", b"upgrade", b"proxy-connection")  # what they say is decided here


Answer = tuple[RawResponseMessage, StreamReader]


class Protocol(ResponseHandler):
    """aiohttp's end of a connection, with a tolerant parser."""

    def expect(self, *, with_body: bool) -> Parser:
        """Read one more answer; one to HEAD has no body."""
        self._skip_payload = not with_body
        self._parser = parser = Parser(self, self._loop, with_body=with_body)
        return parser


class Connector(aiohttp.TCPConnector):
    """aiohttp's maker of connections, with ends that are tolerant. To be made in a running loop."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(Protocol, loop=self._loop)  # type: ignore[assignment]


class Parser(HttpResponseParser):
    """Reads one answer."""

    def __init__(self, protocol: Protocol, loop: asyncio.AbstractEventLoop, *, with_body: bool) -> None:
        self._answers, self._loop, self._with_body = protocol, loop, with_body
        self._begin()
        self._seen: bytes | None = b""  # all that has come, until the head of the answer is understood
        self._refused: Exception | None = None  # why aiohttp's parser has refused what has come

    def _begin(self) -> None:
        super().__init__(
            self._answers,
            self._loop,
            _BUFFER_BYTES,
            payload_exception=aiohttp.ClientPayloadError,
            response_with_body=self._with_body,
            read_until_eof=True,
            auto_decompress=False,
            max_line_size=MAX_HEAD_BYTES,
            max_field_size=MAX_HEAD_BYTES,
            max_headers=_MAX_HEADERS,
        )

    def feed_data(self, data: bytes, *_: Any, **__: Any) -> tuple[list[Answer], bool, bytes]:
        """As aiohttp's. Raises HttpProcessingError where there is no status line."""
        if self._seen is None:
            return super().feed_data(data)
        self._seen += data
        if self._refused is None:
            try:
                result = super().feed_data(data)
            except Exception as exc:
                self._refused = exc
            else:
                if result[0] and _is_final(result[0][-1][0].code):
                    self._seen = None
                if self._seen is None or len(self._seen) <= MAX_HEAD_BYTES:
                    return result
        self._seen = _without_interim(self._seen)
        if len(self._seen) <= MAX_HEAD_BYTES and _goes_on(self._seen):
            return [], False, b""
        if (found := self._read_again()) is None:
            raise self._refused or LineTooLong(b"", MAX_HEAD_BYTES)
        return [found], False, b""

    def broken_off(self) -> Answer | None:
        """What was read of an answer whose connection ended within its head; None without a whole status line."""
        return self._read_again() if self._seen else None

    def _read_again(self) -> Answer | None:
        seen, self._seen = _without_interim(self._seen or b""), None
        status = _STATUS_LINE.match(seen)
        if status is None or not _is_final(int(status[1])):
            return None
        end = _END.search(seen, status.end() - 2)
        head, body = (seen[status.end() : end.start()], seen[end.end() :]) if end else (seen[status.end() :], b"")
        lines = head.splitlines() if end else head.splitlines()[:-1]
        self._begin()
        messages, _, _ = super().feed_data(_rewritten(status[1], lines, body if end else None))
        message, content = messages[-1]
        self._answers.force_close()
        if end is None:
            content.set_exception(aiohttp.ClientPayloadError("its head was too long, or broke off"))
        elif body:
            self._read_body(content, body)
        return message, content

    def _read_body(self, content: StreamReader, body: bytes) -> None:
        try:
            super().feed_data(body)
        except Exception as exc:
            if not content.is_eof():
                broken = aiohttp.ClientPayloadError()
                broken.__cause__ = exc
                content.set_exception(broken)


def _is_final(code: int) -> bool:
    return code >= 200 or code == 101


def _without_interim(seen: bytes) -> bytes:
    while (status := _STATUS_LINE.match(seen)) and not _is_final(int(status[1])) and (end := _END.search(seen)):
        seen = seen[end.end() :]
    return seen


def _goes_on(seen: bytes) -> bool:
    """Whether this is the beginning of a head."""
    if b"\n" in seen.lstrip():
        return bool(_STATUS_LINE.match(seen)) and not _END.search(seen)
    return seen.lstrip()[:5] == b"HTTP/"[: len(seen.lstrip())]


def _rewritten(status: bytes, lines: list[bytes], body: bytes | None) -> bytes:
    """A head that every parser takes, for these header lines. `body` is what has come of it, None: it never will."""
    kept, lengths, chunked = [b"HTTP/1.1 " + status + b" "], [], False
    for line in lines:
        name, colon, value = (part.strip() for part in line.partition(b":"))
        if line[:1] in b" \t" or not colon or not _NAME.fullmatch(name) or _CONTROL.search(value):
            continue
        if len(line) > MAX_HEAD_BYTES:
            continue
        if name.lower() == b"content-length":
            lengths.append(value.partition(b",")[0].strip())
        elif name.lower() == b"transfer-encoding":
            chunked = chunked or b"chunked" in value.lower()
        elif name.lower() not in _OURS:
            kept.append(name + b": " + value)
    if body is None:
        kept.append(b"Content-Length: 1")
    elif chunked:
        kept.append(b"Transfer-Encoding: chunked")
    elif lengths and lengths[0].isdigit():
        kept.append(b"Content-Length: %d" % _length(int(lengths[0]), body))
    return b"\r\n".join([*kept, b"Connection: close", b"", b""])


def _length(stated: int, body: bytes) -> int:
    """Some count characters instead of bytes: what is JSON only with the bytes behind it has these, too."""
    if len(body) <= stated:
        return stated
    with suppress(ValueError):
        json.loads(body[:stated])
        return stated
    return len(body)
