"""A token server and an API that takes its tokens, in threads of this process: it counts, and trusts no client.

with OAuth(lifetime=2.0) as server:
    server.url + "/token", server.url + "/rows"

Refresh tokens are used up by each renewal. What a second use of one does is `reuse`: None revokes all that came of it
(RFC 9700, 4.14.2), a number of seconds is a grace in which the same answer is given again (Auth0, Okta).
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

CLIENT, SECRET = "the-client", "cLs3cretQ7vTz9Lm"


@dataclass
class Grant:
    """What one account has allowed: one refresh token holds at a time."""

    refresh: str
    used: dict[str, tuple[float, dict[str, Any]]] = field(default_factory=dict)
    revoked: bool = False


@dataclass
class OAuth:
    """The server. `says` replaces answers to token requests, each once; `hold_seconds` passes after a token was used
    up, before the answer leaves; `queue_seconds`, before a token request is counted.
    """

    lifetime: float | None = 3600.0
    stated: float | None = -1.0  # what it says of the lifetime; -1: the truth
    reuse: float | None = None
    rotates: bool = True
    hold_seconds: float = 0.0
    queue_seconds: float = 0.0
    says: list[tuple[int, Any]] = field(default_factory=list)
    url: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)
    issued: list[str] = field(default_factory=list)  # every token of either kind
    grants: list[Grant] = field(default_factory=list)
    rows: Counter[int] = field(default_factory=Counter)
    arrived: list[float] = field(default_factory=list)  # the moments of requests at the API
    refused: int = 0  # requests at the API that had no token that holds
    heard: list[dict[str, str]] = field(default_factory=list)  # the headers of those that had
    refuses_all: bool = False
    refuses_rows: frozenset[int] = frozenset()
    fails_rows: frozenset[int] = frozenset()  # these it finds wrong, and says back all that let them in
    signatures: list[str] = field(default_factory=list)  # what came as the parameter `sig`

    def __post_init__(self) -> None:
        self._access: dict[str, tuple[float, Grant | None]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def allow(self) -> str:
        """A person allows it: the first refresh token."""
        grant = Grant(f"rfr-{uuid4().hex}")
        self.grants.append(grant)
        self.issued.append(grant.refresh)
        return grant.refresh

    def revoke_access(self) -> None:
        """No access token that was given out holds any more."""
        with self._lock:
            self._access.clear()

    def token(self, fields: dict[str, str]) -> tuple[int, Any]:
        """The answer to a token request."""
        with self._lock:
            self.asked.append(fields)
            self.moments.append(time.monotonic())
            if self.says:
                return self.says.pop(0)
            known = fields.get("client_id") == CLIENT and fields.get("client_secret") == SECRET
            if not known and "assertion" not in fields:
                return 401, {"error": "invalid_client"}
            if fields["grant_type"] == "authorization_code":
                return 200, self._made(next(grant for grant in self.grants if grant.refresh == fields["code"]))
            if fields["grant_type"] != "refresh_token":
                return 200, self._made(None)
            return self._renewed(fields.get("refresh_token", ""))

    def _renewed(self, refresh: str) -> tuple[int, Any]:
        for grant in self.grants:
            if grant.refresh == refresh and not grant.revoked:
                made = self._made(grant)
                grant.used[refresh] = (time.monotonic(), made)
                return 200, made
            if refresh in grant.used:
                at, before = grant.used[refresh]
                if self.reuse is not None and time.monotonic() < at + self.reuse:
                    return 200, before
                grant.revoked = True
                self._access = {token: kept for token, kept in self._access.items() if kept[1] is not grant}
        return 400, {"error": "invalid_grant", "error_description": f"the refresh token {refresh} is void"}

    def _made(self, grant: Grant | None) -> dict[str, Any]:
        access = f"acc-{uuid4().hex}"
        self.issued.append(access)
        self._access[access] = (time.monotonic() + (self.lifetime or 1e9), grant)
        made: dict[str, Any] = {"access_token": access, "token_type": "Bearer"}
        stated = self.lifetime if self.stated == -1.0 else self.stated
        if stated is not None:
            made["expires_in"] = stated
        if grant is not None and self.rotates:
            grant.refresh = f"rfr-{uuid4().hex}"
            self.issued.append(grant.refresh)
            made["refresh_token"] = grant.refresh
        return made

    def api(self, row: int, headers: dict[str, str]) -> tuple[int, Any]:
        """The answer to a row."""
        with self._lock:
            self.arrived.append(time.monotonic())
            token = headers.get("authorization", "").rpartition(" ")[2]
            until, _ = self._access.get(token, (0.0, None))
            if self.refuses_all or row in self.refuses_rows or until <= time.monotonic():
                self.refused += 1
                return 401, {"error": f"the token {token} does not hold"}
            self.heard.append(headers)
            if row in self.fails_rows:
                return 422, {"error": f"{headers['authorization']} does not help", "asked": headers["the address"]}
            self.rows[row] += 1
            return 201, {"id": row, "said": " ".join([token, *self.signatures[-1:]])}


def _handler(server: OAuth) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if urlsplit(self.path).path == "/token":
                time.sleep(server.queue_seconds)
                status, body = server.token(self._fields(raw))
                time.sleep(server.hold_seconds)
            else:
                headers = {name.lower(): value for name, value in self.headers.items()} | {"the address": self.path}
                server.signatures += parse_qs(urlsplit(self.path).query).get("sig", [])
                status, body = server.api(int(json.loads(raw)["id"]), headers)
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _fields(self, raw: bytes) -> dict[str, str]:
            if self.headers["Content-Type"] == "application/json":
                fields = {name: str(value) for name, value in json.loads(raw).items()}
            else:
                fields = {name: values[0] for name, values in parse_qs(raw.decode()).items()}
            scheme, _, coded = self.headers.get("Authorization", "").partition(" ")
            if scheme == "Basic":
                user, _, password = base64.b64decode(coded).decode().partition(":")
                fields |= {"client_id": unquote(user), "client_secret": unquote(password), "by": "basic"}
            return fields

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    return Handler
