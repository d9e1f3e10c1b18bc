"""The body of an answer as a JSON value, as far as it can be read: pure.

Servers pack without being asked, print warnings before their JSON, write NaN, halves of surrogate pairs and other
encodings than they say. The API acted all the same, and what it said (an id) is wanted.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Mapping
from itertools import islice
from typing import Any

import msgspec

Headers = Mapping[str, str]

_MARK = b"\xef\xbb\xbf"
_PACKED = frozenset(("x-gzip", "br", "zstd"))  # gzip and deflate are unpacked as they are read
_WARNING_CHARACTERS, _TRIES = 16_384, 100  # so far, and at so many places, JSON is looked for behind a warning
_DECODER = json.JSONDecoder(parse_constant=lambda name: None)  # NaN and infinities
_WARNING = re.compile(rb"\A\s*(<br|<b>|<p>|(PHP )?(Warning|Notice|Deprecated|Strict Standards):)", re.IGNORECASE)
_PAGE = re.compile(rb"\A\s*(<\?xml[^>]*>\s*|<!--.*?-->\s*)*<(!doctype html|html)\b", re.IGNORECASE | re.DOTALL)


def unpacked(body: bytes, headers: Headers, most: int) -> bytes:
    """The body as it was before the server packed it; at most so many bytes. Raises ValueError."""
    if "content-encoding" not in headers or not body:
        return body
    coding = headers["content-encoding"].strip().lower()
    if coding not in _PACKED:
        return body
    try:
        return _unpack(body, coding, most)
    except (OSError, EOFError, zlib.error, ImportError, NotImplementedError) as exc:
        raise ValueError(f"the answer is packed ({coding}) and cannot be unpacked") from exc


def _unpack(body: bytes, coding: str, most: int) -> bytes:
    import pyarrow as pa  # with the rows; and it knows what Python's own library does not

    if coding == "x-gzip":
        return gzip.GzipFile(fileobj=pa.BufferReader(body)).read(most)
    stream = pa.CompressedInputStream(pa.BufferReader(body), "brotli" if coding == "br" else "zstd")
    return bytes(stream.read(most))


def parsed(body: bytes, headers: Headers) -> Any:
    """The JSON value. NaN and infinities are null, characters that cannot be are U+FFFD. Raises ValueError."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = as_text(body, headers)
    try:
        return _DECODER.decode(text)
    except RecursionError as exc:
        raise ValueError(str(exc)) from exc


def after_warning(body: bytes, headers: Headers) -> Any:
    """The JSON object or list that a body ends in, behind a warning of the server. Raises ValueError."""
    if is_page(body) or not (_WARNING.match(body) or says_json(headers)):
        raise ValueError("no warning before JSON")
    text = as_text(body, headers).rstrip()
    for found in islice(re.finditer(r"[{\[]", text[:_WARNING_CHARACTERS]), _TRIES):
        try:
            value, end = _DECODER.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            continue
        if end == len(text):
            return value
    raise ValueError("no JSON at the end")


def as_text(body: bytes, headers: Headers) -> str:
    """The body as text, in the encoding that it says or else UTF-8."""
    encoding = _charset(headers) or "utf-8-sig"
    try:
        return body.decode(encoding, errors="replace")
    except (LookupError, UnicodeError):
        return body.decode("utf-8-sig", errors="replace")


def says_json(headers: Headers) -> bool:
    """Whether an answer calls itself JSON."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def is_page(body: bytes) -> bool:
    """Whether a body is a whole HTML page."""
    return _PAGE.match(body[:4096].removeprefix(_MARK)) is not None


def is_html(headers: Headers, body: bytes) -> bool:
    """Whether people are meant to read it: a page, or something that says so and is no warning before JSON."""
    if is_page(body):
        return True
    start = body[:512].removeprefix(_MARK).lstrip()
    return "html" in headers.get("content-type", "").lower() and start.startswith(b"<") and not _WARNING.match(start)


def _charset(headers: Headers) -> str:
    _, _, given = headers.get("content-type", "").lower().partition("charset=")
    name = given.partition(";")[0].strip(" \"'")
    return "" if name in ("utf-8", "utf8") else name
