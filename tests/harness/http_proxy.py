"""A small HTTP proxy: CONNECT and absolute form, with or without a password, or saying what it is told to say."""

from __future__ import annotations

import contextlib
import socket
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest


class HttpProxy:
    """Leads everything to `target` (host and port), whatever it is asked for. `heads` are the requests it was sent.

    `user`: "user:password" that it wants. `says`: the bytes that it answers with in place of doing anything.
    """

    def __init__(self, target: tuple[str, int], *, user: str = "", says: bytes = b"", silent: bool = False) -> None:
        self.heads: list[bytes] = []
        self.connections = 0
        self._target, self._says, self._silent = target, says, silent
        self.takes(user)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """As a definition names it."""
        return f"http://127.0.0.1:{self.port}"

    def with_user(self, user: str) -> str:
        """The same with a user and a password in front."""
        return f"http://{user}@127.0.0.1:{self.port}"

    def takes(self, user: str) -> None:
        """From now on it wants this `user:password`; "" for none."""
        self._user = b64encode(user.encode()) if user else b""

    def close(self) -> None:
        """End it, and all that goes through it."""
        self._listener.close()
        for sock in self._open:
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                self._open.append(sock)
                threading.Thread(target=self._run, args=(sock,), daemon=True).start()

    def _run(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            self._serve(sock)
        sock.close()

    def _serve(self, sock: socket.socket) -> None:
        data = _head(sock)
        while data:
            head, _, body = data.partition(b"\r\n\r\n")
            self.heads.append(head)
            if self._silent:
                sock.recv(1)
                return
            if self._user and b"Proxy-Authorization: Basic " + self._user not in head:
                sock.sendall(
                    b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=p\r\n"
                    b"Content-Type: text/html\r\nContent-Length: 11\r\n\r\n<p>who?</p>"
                )
            elif self._says:
                sock.sendall(self._says)
            elif head.startswith(b"CONNECT "):
                self._tunnel(sock)
                return
            else:
                sock.sendall(self._forwarded(head, body, sock))
            data = _head(sock)

    def _tunnel(self, sock: socket.socket) -> None:
        with socket.create_connection(self._target) as far:
            self._open.append(far)
            sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(far, sock), daemon=True)
            back.start()
            _pump(sock, far)
            back.join(5)

    def _forwarded(self, head: bytes, body: bytes, sock: socket.socket) -> bytes:
        first, *lines = head.split(b"\r\n")
        method, url, version = first.split(b" ")
        address = urlsplit(url)
        if address.scheme != b"http":
            return b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
        path = address.path + (b"?" + address.query if address.query else b"")
        lines = [line for line in lines if not line.lower().startswith(b"proxy-")]
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        while len(body) < length:
            body += sock.recv(65536)
        with socket.create_connection(self._target) as far:
            far.sendall(b"\r\n".join([b" ".join((method, path, version)), *lines]) + b"\r\n\r\n" + body)
            answer = _head(far)
            length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            while len(answer.partition(b"\r\n\r\n")[2]) < length:
                answer += far.recv(65536)
        return answer


def _head(sock: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65536)
        if not part:
            return b""
        data += part
    return data


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            target.sendall(part)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


Proxied = Callable[..., HttpProxy]


@pytest.fixture
def proxied() -> Iterator[Proxied]:
    """Starts proxies, which end with the test."""
    made: list[HttpProxy] = []

    def start(url: str, **how: object) -> HttpProxy:
        address = urlsplit(url)
        made.append(HttpProxy((address.hostname or "", address.port or 80), **how))  # type: ignore[arg-type]
        return made[-1]

    yield start
    for each in made:
        each.close()
