"""How a token is asked for, and what the answer is: pure, a generator that yields requests and is fed answers.

    flow = fetching(oauth2, secrets, refresh=…, now=…)
    asked = next(flow)                 # to be sent; or a Pause
    flow.send(Answer(200, …))          # StopIteration.value is the Token

Whatever is not sure to be final is asked again, a refresh token too: if its answer is lost for good, nothing else is
left to try (see flows.credentials.errand for how rarely that is).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Generator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from flows.client.answer import clean
from flows.client.pause import retry_after
from flows.credentials.signing import assertion, filled, text_of
from flows.errors import Stopped
from flows.pipeline.auth import OAuth2
from flows.pipeline.template import Secrets

ATTEMPTS = 3
MOST_BYTES = 1 << 20
_PAUSE_SECONDS = 0.5
_MOST_PAUSE_SECONDS = 30.0
_LATER, _LATER_WORDS = (408, 425, 429), ("temporarily_unavailable", "server_error")
_JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Asked(msgspec.Struct, frozen=True):
    """A request to a token server, always POST."""

    url: str
    headers: dict[str, str]
    body: bytes
    timeout_seconds: float


class Pause(msgspec.Struct, frozen=True):
    """So long nothing is to be asked."""

    seconds: float


class Answer(msgspec.Struct, frozen=True):
    """What came back. `status` is None where nothing did; `trouble` says why, or why the body is not whole."""

    status: int | None
    headers: dict[str, str] = {}
    body: bytes = b""
    trouble: str = ""


class Token(msgspec.Struct, frozen=True):
    """What was granted. `seconds`: how long it lasts from when it came, None where the server does not say."""

    access: str
    refresh: str = ""
    seconds: float | None = None
    scope: str = ""


class TokenRefused(Stopped):
    """The token server refuses us: only a person can mend that."""


class TokenAway(Stopped):
    """The token server gives no answer that says anything; it may later."""


Flow = Generator[Asked | Pause, Answer | None, Token]


def fetching(
    oauth2: OAuth2, secrets: Secrets, *, refresh: str = "", now: Callable[[], float], unique: Callable[[], str]
) -> Flow:
    """Ask until there is a token. `refresh` is the one to be used up. Raises TokenRefused, TokenAway."""
    return asking(
        place_of(oauth2),
        lambda: ask(oauth2, secrets, refresh=refresh, now=now(), unique=unique()),
        attempts=attempts_of(oauth2),
    )


def attempts_of(oauth2: OAuth2) -> int:
    """How often in a row a token is asked for: where each request takes a permit, once."""
    return 1 if oauth2.counts else ATTEMPTS


def exchanging(oauth2: OAuth2, secrets: Secrets, *, code: str, redirect: str, verifier: str) -> Flow:
    """The same for what a person has allowed: the `code` that came to `redirect`. Raises TokenRefused, TokenAway."""
    fields = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect,
        "code_verifier": verifier,
    }
    return asking(place_of(oauth2), lambda: _request(oauth2, secrets, fields))


def place_of(oauth2: OAuth2) -> str:
    """The token server's address, as it may be shown."""
    return oauth2.token_url.partition("?")[0] if "${" not in oauth2.token_url else "the token server"


def asking(where: str, make: Callable[[], Asked], *, attempts: int = ATTEMPTS) -> Flow:
    """Ask what `make` makes, anew for each attempt, until there is a token. Raises TokenRefused, TokenAway."""
    said = ""
    for attempt in range(attempts):
        answer = yield make()
        assert answer is not None
        try:
            return read(answer)
        except _Unclear as exc:
            said = str(exc)
        if attempt + 1 < attempts:
            asked = retry_after(answer.headers) if answer.status is not None else None
            yield Pause(min(asked or _PAUSE_SECONDS * 2.0**attempt, _MOST_PAUSE_SECONDS))
    raise TokenAway(f"No token came from {where}: {said}.", hint="Resume the run when the token server answers again.")


class _Unclear(Exception):
    """An answer that may be another one next time."""


def read(answer: Answer) -> Token:
    """The token of an answer. Raises TokenRefused; _Unclear where it says nothing for good."""
    status, found = answer.status, _json(answer)
    error = found.get("error")
    if status is None or status in _LATER or status >= 500 or error in _LATER_WORDS:
        raise _Unclear(answer.trouble or f"it says {status}")
    if status >= 300 and not found:  # of something in between, that knows nothing of tokens
        raise _Unclear(answer.trouble or f"it says {status}, and nothing that a token server says")
    if error or status >= 400:
        words = error if isinstance(error, str) else error.get("message") if isinstance(error, Mapping) else None
        detail = found.get("error_description") or found.get("message") or ""
        told = ": ".join(clean(str(part))[:200] for part in (words, detail) if part)
        raise TokenRefused(told or f"it says {status}")
    access = found.get("access_token")
    if not isinstance(access, str) or not access:
        if answer.trouble:
            raise _Unclear(answer.trouble)
        raise TokenRefused(f"it says {status}, but its answer holds no access_token")
    if not (access.isascii() and access.isprintable()):
        raise TokenRefused("its token has characters that cannot stand in a header")
    refresh, scope = found.get("refresh_token"), found.get("scope")
    return Token(
        access,
        refresh if isinstance(refresh, str) else "",
        _seconds(found.get("expires_in")),
        scope if isinstance(scope, str) else "",
    )


def _json(answer: Answer) -> Mapping[str, Any]:
    """What the answer says, {} where that is no object. Bytes that are no UTF-8 may stand beside a good token."""
    try:
        text = answer.body.decode("utf-8-sig", "replace")
        found = json.loads(text, strict=False, parse_int=float)  # an int of 5,000 digits would be refused
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _seconds(found: Any) -> float | None:
    if isinstance(found, bool):
        return None
    try:
        seconds = float(found)
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if 0 < seconds < 1e9 else None


def ask(oauth2: OAuth2, secrets: Secrets, *, refresh: str, now: float, unique: str) -> Asked:
    """The request of a grant. Raises Unsendable, SettingError."""
    own: dict[str, Any] = {"grant_type": oauth2.grant}
    if oauth2.grant == "refresh_token":
        own["refresh_token"] = refresh
    elif oauth2.grant == "password":
        own |= {
            "username": text_of(oauth2.user or "", secrets),
            "password": text_of(oauth2.password or "", secrets),
        }
    elif oauth2.grant == "jwt_bearer":
        own |= {"grant_type": _JWT, "assertion": assertion(oauth2, secrets, now=now, unique=unique)}
    if oauth2.scope:
        own["scope"] = oauth2.scope
    return _request(oauth2, secrets, own)


def _request(oauth2: OAuth2, secrets: Secrets, own: Mapping[str, Any]) -> Asked:
    fields = dict(own)
    client, secret = (text_of(part or "", secrets) for part in (oauth2.client_id, oauth2.client_secret))
    headers = {"Accept": "application/json"}
    if oauth2.client == "basic":
        pair = f"{quote(client, safe='')}:{quote(secret, safe='')}"  # RFC 6749, 2.3.1
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode("ascii")
    elif oauth2.grant != "jwt_bearer" or secret:
        fields |= ({"client_id": client} if client else {}) | ({"client_secret": secret} if secret else {})
    fields |= filled(oauth2.extra, secrets)
    if oauth2.body == "json":
        body, headers["Content-Type"] = json.dumps(fields).encode(), "application/json"
    else:
        body = urlencode({name: _plain(value) for name, value in fields.items()}).encode()
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    return Asked(text_of(oauth2.token_url, secrets), headers, body, oauth2.timeout_seconds)


def _plain(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
