"""An API that answers as a function says, and whole deliveries to it in this process."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec

from flows.ledger.connection import connect
from flows.ledger.keys import Record
from flows.ledger.view import View
from tests.harness.engine import deliver
from tests.harness.limits import long_known

Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]]
Script = Callable[[str, str, bytes], Answer]
"""(method, path, body) → (status, JSON or bytes, more headers)."""


@dataclass
class Scripted:
    """The API, and where deliveries to it leave their traces. `asked` has method and path of each request, in order."""

    url: str
    redis_url: str
    folder: Path
    asked: list[str]
    reason: str = ""  # why the last delivery ended early

    @property
    def view(self) -> View:
        """What the ledger has."""
        return View(connect(self.redis_url))

    def deliver(self, definition: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, int]:
        """Deliver these rows, or resume their run; returns the counts that are not 0."""
        whole = {"name": "scripted", "limit": {"name": "scripted", "in_flight": 4, "grace_seconds": 0.2}, **definition}
        pipeline, file = self.folder / "scripted.yaml", self.folder / "rows.csv"
        pipeline.write_bytes(msgspec.json.encode(whole))
        file.write_text("\n".join([",".join(lines[0]), *(",".join(map(str, row.values())) for row in lines)]) + "\n")
        long_known(self.view.client, whole["limit"]["name"])
        found = deliver(
            redis_url=self.redis_url,
            data=str(self.folder / "data"),
            pipeline=str(pipeline),
            run="scripted",
            file=str(file),
            **more,
        )
        self.reason = found["stopped"] or found["reason"]
        return {str(state): count for state, count in found["counts"].items() if count}

    def records(self, rows: Sequence[int], names: tuple[str, ...] = ()) -> list[Record]:
        """What the ledger has of rows."""
        return self.view.records("scripted", list(rows), names=names, created=0)


@contextmanager
def scripted(folder: Path, redis_url: str, script: Script) -> Iterator[Scripted]:
    """The API on a port of this machine."""
    asked: list[str] = []

    def reply(method: str, path: str, _: Message, body: bytes) -> Answer:
        asked.append(f"{method} {path}")
        return script(method, path, body)

    with answering(reply) as url:
        yield Scripted(url, redis_url, folder, asked)


@contextmanager
def answering(reply: Callable[[str, str, Message, bytes], Answer]) -> Iterator[str]:
    """The address of a server that answers (method, path, headers, body) as `reply` says."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, said, *more = reply(self.command, self.path, self.headers, body)
            content = said if isinstance(said, bytes) else json.dumps(said).encode()
            try:
                self.send_response(status)
                head = {"Content-Type": "application/json", **(more[0] if more else {})}
                for name, value in head.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:  # who asked has gone
                self.close_connection = True

        do_GET = do_POST = do_PUT = do_DELETE = _answer

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:  # a connection that was reset, as those to an API are
                return

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
