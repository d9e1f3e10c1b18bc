"""A row as the request that goes out, its idempotency key, and how it may be shown. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import httpx
import msgspec

from flows.masking import DOTS, Masker
from flows.pipeline.rendering import Rendering
from flows.records import Parcel, Row

MAX_SHOWN_CHARACTERS = 4000
_USER_AGENT = f"rowrelay/{version('rowrelay')}"
_CREDENTIALS = frozenset(("authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"))
_SCHEME = re.compile(r"(?i)(basic|bearer|digest|token|apikey) ")


ROW, OWN_KEY = "row", "idempotency_key"


def build(
    rendering: Rendering,
    row: Row,
    *,
    key: str,
    secrets: Mapping[str, str],
    more: Mapping[str, Any] | None = None,
) -> httpx.Request:
    """The request of a row. Raises Unsendable (flows.pipeline.template) where the row's values make none.

    `more`: what placeholders stand for beside the columns, e.g. what earlier steps have kept.
    """
    values = {**filling(row, key), **(more or {})} if rendering.needs_more else row.values
    return _build(rendering, values, key=key, secrets=secrets)


def build_batch(
    rendering: Rendering,
    rows: Sequence[Row],
    *,
    key: str,
    own_keys: Sequence[str],
    secrets: Mapping[str, str],
    parts: Sequence[Any] | None = None,
) -> httpx.Request:
    """The request of many rows. `parts`: theirs, where they have been made already. Raises Unsendable."""
    parts = parts or [part_of(rendering, row, own, secrets) for row, own in zip(rows, own_keys, strict=True)]
    return _build(rendering, {OWN_KEY: key}, key=key, secrets=secrets, parts=parts)


def part_of(rendering: Rendering, row: Row, own_key: str, secrets: Mapping[str, str]) -> Any:
    """One row's part of a batch. Raises Unsendable."""
    return rendering.make_part(filling(row, own_key) if rendering.needs_more else row.values, secrets)


def filling(row: Row, key: str) -> dict[str, Any]:
    """What placeholders stand for: the row's columns, and where there are none of that name its number and key."""
    return {ROW: row.row, OWN_KEY: key, **row.values}


def _build(
    rendering: Rendering,
    values: Mapping[str, Any],
    *,
    key: str,
    secrets: Mapping[str, str],
    parts: Sequence[Any] | None = None,
) -> httpx.Request:
    method = rendering.make_method(values)
    url, host = _address(rendering.make_url(values, secrets, key=key))
    content, kind = b"", ""
    if sends := rendering.sends_body(method):
        content, kind = rendering.make_content(values, secrets, key=key, parts=parts), rendering.moving_type(key)
    headers = {
        "Host": host,
        "User-Agent": _USER_AGENT,
        "Accept": rendering.accept,
        "Accept-Encoding": "identity",  # so that the cap on the answer is a cap on memory
        **rendering.make_headers(values, secrets, key=key),
    }
    if kind:
        headers["Content-Type"] = kind
    if sends:
        headers["Content-Length"] = str(len(content))
    elif "Content-Type" in headers and rendering.kind:
        del headers["Content-Type"]
    # With a stream httpx takes the headers as they are, which is half the work.
    request = httpx.Request(method, url, headers=headers, stream=httpx.ByteStream(content))
    request.read()
    request.extensions["secrets"] = rendering.secrets
    request.headers.encoding = "ascii"  # spares httpx a guess for each header, 10 µs a request
    return request


@lru_cache(maxsize=64)  # mostly one address for all rows
def _address(url: str) -> tuple[httpx.URL, str]:
    """The address, and what the Host header says."""
    address = httpx.URL(url)
    return address, address.netloc.decode("ascii")


def idempotency_key(run: str, row: Row, generation: int) -> str:
    """Stable for a row of a run, whoever sends it and how often; another one for each generation.

    A generation begins when somebody asks to send failed rows again: an API that replays stored answers would
    otherwise repeat the old failure. The row's values stand for the body.
    """
    content = msgspec.json.encode((run, row.row, generation, row.values))
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def parcel_keys(run: str, parcel: Parcel, generations: Sequence[int]) -> tuple[str, list[str]]:
    """(the key of a parcel, those of its rows): that of its row, or one for these very rows in this order."""
    keys = [idempotency_key(run, row, generation) for row, generation in zip(parcel.rows, generations, strict=True)]
    if len(keys) == 1:
        return keys[0], keys
    return hashlib.blake2b("".join(keys).encode(), digest_size=16).hexdigest(), keys


def mask(request: httpx.Request, secrets: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The request as it may be shown: `method`, `url`, `headers`, `body`, with dots for secrets and credentials."""
    masker = Masker((secrets or {}).values())
    body = masker.text(request.content.decode("utf-8", errors="replace"))
    return {
        "method": request.method,
        "url": masker.text(_without_password(request.url)),
        "headers": {name: _shown_header(name, value, masker) for name, value in request.headers.items()},
        "body": body if len(body) <= MAX_SHOWN_CHARACTERS else body[:MAX_SHOWN_CHARACTERS] + " …",
    }


def _without_password(url: httpx.URL) -> str:
    _, colon, password = url.userinfo.decode("ascii").partition(":")
    return str(url).replace(f":{password}@", f":{DOTS}@", 1) if colon else str(url)


def _shown_header(name: str, value: str, masker: Masker) -> str:
    if name.lower() not in _CREDENTIALS:
        return masker.text(value)
    scheme = _SCHEME.match(value)
    return (scheme[0] if scheme else "") + DOTS
