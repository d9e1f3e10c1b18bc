"""Signatures: an assertion for a token server, and one over each request. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from flows.errors import SettingError
from flows.pipeline.auth import Hmac, OAuth2
from flows.pipeline.template import FromRow, Secrets, fill, pieces

_UNSIGNED = "unsigned"  # the extension with the address as it was before it was signed
ASSERTION_SECONDS = 180  # some servers take no assertion that lives longer than five minutes


def assertion(oauth2: OAuth2, secrets: Secrets, *, now: float, unique: str) -> str:
    """The signed JWT (RS256) of a service account. `unique`: its `jti`. Raises SettingError for a key that is none."""
    assert oauth2.private_key is not None
    key, about = _private_key(text_of(oauth2.private_key, secrets))
    issuer = oauth2.issuer or oauth2.client_id or about.get("client_email")
    if not issuer:
        raise SettingError("auth.oauth2 says nobody who signs: state client_id or issuer.")
    claims: dict[str, Any] = {
        "iss": text_of(issuer, secrets),
        "sub": text_of(oauth2.user or issuer, secrets),
        "aud": oauth2.audience or text_of(oauth2.token_url, secrets),
        "iat": int(now),
        "exp": int(now) + ASSERTION_SECONDS,
        "jti": unique,
    }
    claims |= {"scope": oauth2.scope} if oauth2.scope else {}
    claims |= filled(oauth2.claims, secrets)
    kid = oauth2.key_id or about.get("private_key_id")
    head = {"alg": "RS256", "typ": "JWT"} | ({"kid": kid} if kid else {})
    signed = b".".join(_url64(json.dumps(part, separators=(",", ":")).encode()) for part in (head, claims))
    return (signed + b"." + _url64(key.sign(signed, padding.PKCS1v15(), hashes.SHA256()))).decode("ascii")


def _private_key(text: str) -> tuple[rsa.RSAPrivateKey, dict[str, Any]]:
    """The key, and what the JSON file of a service account says beside it."""
    wrong = SettingError(
        "The secret of auth.oauth2.private_key is no RSA key.",
        hint="It is a PEM file that begins with -----BEGIN PRIVATE KEY-----, or the JSON file of a service account.",
    )
    about: dict[str, Any] = {}
    try:
        if text.lstrip().startswith("{"):
            about = json.loads(text)
            text = str(about["private_key"])
        key = serialization.load_pem_private_key(text.replace("\\n", "\n").encode(), password=None)
    except (ValueError, KeyError, TypeError):
        raise wrong from None  # its text might show a part of the key
    if not isinstance(key, rsa.RSAPrivateKey):
        raise wrong
    return key, about


def sign(request: httpx.Request, stated: Hmac, secrets: Secrets, *, now: float, nonce: str) -> str:
    """Sign a request that is ready to go; returns the signature. Raises SettingError for a key that is none."""
    request.url = request.extensions.setdefault(_UNSIGNED, request.url)  # it may have been signed before
    moment = _timestamp(stated, now)
    if stated.timestamp_header:
        request.headers[stated.timestamp_header] = moment
    if stated.nonce_header:
        request.headers[stated.nonce_header] = nonce
    if stated.timestamp_query:
        request.url = request.url.copy_add_param(stated.timestamp_query, moment)
    body = request.content
    path, _, query = request.url.raw_path.decode("ascii").partition("?")
    values: dict[str, Any] = {
        "method": request.method,
        "host": request.url.netloc.decode("ascii"),
        "path": path,
        "query": query,
        "body_hash": _written(hashlib.new(stated.algorithm, body).digest(), stated.encoding),
        "timestamp": moment,
        "nonce": nonce,
    }
    text = b"".join(
        body if isinstance(piece, FromRow) and piece.column == "body" else _text(piece, values, secrets).encode()
        for piece in pieces(stated.sign)
    )
    made = _written(hmac.new(_key(stated, secrets), text, stated.algorithm).digest(), stated.encoding)
    shown = "".join(_text(piece, values | {"signature": made}, secrets) for piece in pieces(stated.value))
    if stated.header:
        request.headers[stated.header] = shown
    elif stated.query:
        request.url = request.url.copy_add_param(stated.query, shown)
    return made


def _text(piece: Any, values: Mapping[str, Any], secrets: Secrets) -> str:
    return piece if isinstance(piece, str) else fill(piece, values, secrets)


def _key(stated: Hmac, secrets: Secrets) -> bytes:
    text = text_of(stated.key, secrets)
    try:
        if stated.key_encoding == "hex":
            return bytes.fromhex(text)
        return base64.b64decode(text, validate=True) if stated.key_encoding == "base64" else text.encode()
    except ValueError:
        raise SettingError(f"The secret of auth.hmac.key is not written in {stated.key_encoding}.") from None


def _timestamp(stated: Hmac, now: float) -> str:
    if stated.timestamp == "iso":
        return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(int(now * 1000) if stated.timestamp == "milliseconds" else int(now))


def _written(digest: bytes, encoding: str) -> str:
    return digest.hex() if encoding == "hex" else base64.b64encode(digest).decode("ascii")


def _url64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def text_of(text: str, secrets: Secrets, values: Mapping[str, Any] | None = None) -> str:
    """A text of `auth`, its secrets (and `values`, by name) filled in. Raises Unsendable where one is missing."""
    return "".join(_text(piece, values or {}, secrets) for piece in pieces(text))


def filled(value: Any, secrets: Secrets) -> Any:
    """The same with every text of plain data."""
    if isinstance(value, dict):
        return {key: filled(inner, secrets) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, secrets) for inner in value]
    return text_of(value, secrets) if isinstance(value, str) else value
