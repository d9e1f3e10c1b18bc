"""What lets requests in goes to the hosts that it is meant for, and to no other that a definition names."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from flows.records import RowState
from tests.harness.token_runs import definition, deliver, file_of, keep_secrets

Heard = list[tuple[str, str, str]]


@pytest.fixture
def api() -> Iterator[tuple[int, Heard]]:
    """A port, and (host, path, Authorization) of each request to it; 127.0.0.1 and localhost are two hosts."""
    heard: Heard = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            host = self.headers["Host"].partition(":")[0]
            heard.append((host, self.path, self.headers.get("Authorization", "")))
            content = json.dumps({"id": 1}).encode()
            self.send_response(201)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server.server_port, heard
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("hosts", "second"), [([], ""), (["localhost"], "Bearer t0pSecret9")])
def test_another_host_gets_what_lets_requests_in_only_where_that_is_said(
    redis_url: str, tmp_path: Path, api: tuple[int, Heard], hosts: list[str], second: str
) -> None:
    port, heard = api
    keep_secrets(tmp_path, T="t0pSecret9")
    steps: list[dict[str, Any]] = [
        {"name": "a", "request": {"url": f"http://127.0.0.1:{port}/a", "json": {"id": "{id}"}}},
        {"name": "b", "request": {"url": f"http://localhost:{port}/b", "json": {"id": "{id}"}}},
    ]
    path = definition(tmp_path, "", {"bearer": "${secret:T}", "hosts": hosts}, steps=steps, response={"keep": {}})
    text = path.read_text().splitlines()
    at = next(n for n, line in enumerate(text) if line.startswith("request:"))
    path.write_text("\n".join(line for n, line in enumerate(text) if n not in range(at, at + 3)))
    ended, stopped = deliver(redis_url, tmp_path, path, file_of(tmp_path, 1))

    assert stopped == ""
    assert ended.counts[RowState.DONE] == 1
    assert heard == [("127.0.0.1", "/a", "Bearer t0pSecret9"), ("localhost", "/b", second)]
