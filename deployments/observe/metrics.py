"""Serves /metrics for Prometheus: `rowrelay metrics --port 9464`. One is enough, whatever runs where.

It reads Redis alone. Where none is set, it reads the embedded one of this data folder, and starts nothing.
"""

from __future__ import annotations

import logging
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST

from deployments.embedded.addresses import redis_url
from flows import logs
from flows.errors import StackError
from flows.ledger.connection import connect
from flows.metrics import Collector, lines
from flows.settings import Settings

log = logging.getLogger("rowrelay.metrics")


def server(host: str, port: int, collector: Collector) -> ThreadingHTTPServer:
    """A server of /metrics and /health, not started yet; port 0 lets the OS pick."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, lines(collector))
            elif path == "/health":
                self._answer(200, "text/plain", b"ok\n")
            else:
                self._answer(404, "text/plain", b"There is /metrics and /health.\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            log.debug(format, *args)

    return ThreadingHTTPServer((host, port), Handler)


def run(host: str, port: int) -> int:
    """Serve until interrupted. Raises SettingError, StackError."""
    settings = Settings.read()
    logs.configure(settings.log_format)
    collector = Collector(connect(redis_url(settings)), folder=settings.data)
    try:
        with server(host, port, collector) as serving:
            log.info("metrics on http://%s:%d/metrics", *serving.server_address[:2])
            serving.serve_forever()
    except KeyboardInterrupt:
        return 0
    except OSError as exc:
        raise StackError(f"Nothing can listen on {host}:{port}: {exc.strerror}.", hint="Give another --port.") from exc
    return 0
