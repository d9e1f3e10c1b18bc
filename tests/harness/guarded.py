"""An API that lets in only who has logged in, or has signed: a session with a CSRF token as SAP has it, over TLS too.

with Guarded(lasts=5) as api:        # a session lasts five rows
    api.url + "/login", api.url + "/rows"
"""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import uuid4


@dataclass
class Guarded:
    """The API. `ends_with`: the status that says that a session is over. `tls`: what its connections need.

    It wants a session, or a signature (`signed_with`), or `both`.
    """

    lasts: int = 1_000_000
    both: bool = False
    ends_with: int = 403
    user: tuple[str, str] | None = None  # of basic
    signed_with: bytes = b""
    tls: ssl.SSLContext | None = None
    refuses_logins: int = 0  # so many are answered 503
    url: str = ""
    logins: int = 0
    refused: int = 0
    secrets: list[str] = field(default_factory=list)  # every cookie, token and signature
    rows: Counter[int] = field(default_factory=Counter)
    fails_rows: frozenset[int] = frozenset()  # these it finds wrong, and says back all that let them in
    peers: list[dict[str, Any]] = field(default_factory=list)  # the certificates of who came
    ages: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._sessions: dict[str, tuple[str, int]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http{'s' if self.tls else ''}://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def log_in(self, headers: dict[str, str]) -> tuple[int, Any, dict[str, str]]:
        with self._lock:
            self.logins += 1
            if self.refuses_logins >= self.logins:
                return 503, {}, {}
            if headers.get("x-csrf-token") != "Fetch":
                return 400, {"error": "what for?"}, {}
            session, token = f"ses-{uuid4().hex}", f"tok-{uuid4().hex}"
            self._sessions[session] = (token, self.lasts)
            self.secrets += [session, token]
            return 200, {}, {"X-CSRF-Token": token, "Set-Cookie": f"SAP_SESSIONID={session}; Path=/; HttpOnly"}

    def row(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any, dict[str, str]]:
        with self._lock:
            if self.signed_with and not self._is_signed(method, path, headers, body):
                self.refused += 1
                return 400, {"error": "the signature is wrong"}, {}
            cookie = SimpleCookie(headers.get("cookie", "")).get("SAP_SESSIONID")
            if self.both or (not self.signed_with and self.tls is None):
                token, left = self._sessions.get(cookie.value if cookie else "", ("", 0))
                if cookie is None or not left or headers.get("x-csrf-token") != token:
                    self.refused += 1
                    return self.ends_with, {}, {"X-CSRF-Token": "required"} if self.ends_with == 403 else {}
                self._sessions[cookie.value] = (token, left - 1)
            number = int(json.loads(body)["id"])
            said = [headers.get(name, "") for name in ("cookie", "x-csrf-token", "x-sign", "authorization")]
            if number in self.fails_rows:
                return 422, {"error": " ".join(said)}, {"X-Because": said[0]}
            self.rows[number] += 1
            return 201, {"said": " ".join(said)}, {}

    def _is_signed(self, method: str, path: str, headers: dict[str, str], body: bytes) -> bool:
        whole = f"{method}\n{path}\n{headers.get('x-time')}\n".encode() + body
        made = hmac.new(self.signed_with, whole, hashlib.sha256).hexdigest()
        self.secrets.append(made)
        return headers.get("x-sign") == f"v1={made}"


def _handler(api: Guarded) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            if isinstance(self.connection, ssl.SSLSocket):
                api.peers.append(dict(self.connection.getpeercert() or {}))
            if urlsplit(self.path).path == "/login":
                status, said, more = api.log_in(headers)
            else:
                status, said, more = api.row(self.command, self.path, headers, body)
            content = json.dumps(said).encode()
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(content)),
                **more,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _answer

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    return Handler
