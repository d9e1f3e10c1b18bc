"""The process that owns the embedded Redis and Prefect server: starts them, restarts them, ends with their last user.

Started by `deployments.embedded.membership`, never by hand. It talks to its users through files in its folder alone:

    supervisor.lock   held as long as it lives
    users.lock        held, shared, by everybody who uses the stack; free means that nobody does
    wanted.json       names of the services that users have asked for, a mark of the last asking, and whether another
                      folder's Redis may run beside this one's
    stack.json        what it has to say: addresses, password, how each service does (mode 0600)
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

import platformdirs

from deployments.embedded.children import GuardedRedis, Service, last_words, pick_port
from deployments.embedded.locks import Lock
from deployments.embedded.prefect_server import PrefectServer
from deployments.embedded.state import PREFECT, REDIS, ServiceState, StackState, Wanted
from flows.errors import StackError
from flows.private import write_whole

LINGER_SECONDS = 3.0  # so that two commands in a row share one start
SETTLE_SECONDS = 180.0  # the longest the Prefect server is given to write down what it has taken in
START_SECONDS = {REDIS: 300.0, PREFECT: 120.0}  # a long append-only file takes its time to load
ORPHAN_SECONDS = 30.0  # for a server of a killed supervisor to finish
BACK_OFF_SECONDS = (0.0, 0.5, 1.0, 2.0, 4.0)  # between a death and the next start; then it gives up
FORGIVEN_SECONDS = 120.0  # deaths longer ago do not count
BUSY = 3  # exit code: another supervisor is there

log = logging.getLogger("rowrelay.stack")


class Keeper:
    """Keeps one service alive: every `step` looks at it and does the next thing. Nothing here waits for long."""

    def __init__(self, name: str, service: Service, guard: Path) -> None:
        self.name = name
        self.service = service
        self.state = ServiceState(service.port, "starting")
        self._guard_path = guard
        self._guard: Lock | None = None
        self._guard_until = time.monotonic() + ORPHAN_SECONDS
        self._start_at: float | None = 0.0  # None while a process is there
        self._started_at = 0.0
        self._was_ready = False
        self._deaths: list[float] = []

    def step(self) -> None:
        """Start what is due, notice what became ready or died."""
        if self.state.state == "failed":
            return
        now = time.monotonic()
        if self._start_at is not None:
            if now >= self._start_at and self._has_guard(now):
                self._spawn(now)
        elif self.service.process is None or self.service.process.poll() is not None:
            self._died(now)
        elif self.state.state == "starting":
            if self.service.ready():
                log.info("%s answers on port %d", self.name, self.service.port)
                self.state = ServiceState(self.service.port, "ready")
                self._was_ready = True
            elif now > self._started_at + START_SECONDS[self.name]:
                log.error("%s does not answer", self.name)
                self.service.stop()

    def stop(self) -> None:
        """End the service and let go of its folder."""
        self.service.stop()
        self.state = ServiceState(self.service.port, "stopped")
        if self._guard is not None:
            self._guard.release()

    def _has_guard(self, now: float) -> bool:
        if self._guard is None:
            self._guard = Lock.take(self._guard_path)
        if self._guard is None and now > self._guard_until:
            self.fail(f"another process still holds {self._guard_path}; end it, then try again")
        return self._guard is not None

    def _spawn(self, now: float) -> None:
        assert self._guard is not None
        if not self._was_ready:  # nobody relies on the port yet; after a death it may be what is wrong
            self.service.port = pick_port(0 if self._deaths else self.service.port)
            self.state.port = self.service.port
        try:
            self.service.spawn(self._guard)
        except (OSError, StackError) as exc:
            self.fail(str(exc))
        else:
            self._start_at, self._started_at = None, now

    def _died(self, now: float) -> None:
        code = self.service.process.returncode if self.service.process else None
        words = last_words(self.service.log)
        self._deaths = [at for at in self._deaths if at > now - FORGIVEN_SECONDS] + [now]
        log.error("%s ended with code %s", self.name, code)
        if len(self._deaths) > len(BACK_OFF_SECONDS):
            self.fail(f"it ended {len(self._deaths)} times, the last time with code {code}:\n{words}")
            return
        self.state = ServiceState(self.service.port, "starting", f"ended with code {code}, starting again")
        self._start_at = now + BACK_OFF_SECONDS[len(self._deaths) - 1]

    def fail(self, detail: str) -> None:
        """Give it up until somebody asks anew; `detail` says why."""
        log.error("%s given up: %s", self.name, detail)
        self.state = ServiceState(self.service.port, "failed", detail)


class Sole:
    """One embedded Redis a user, whatever the data folder: two would be two limits for one API account."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._path = Path(platformdirs.user_state_dir("rowrelay")) / "redis.lock"
        self._lock: Lock | None = None

    def refusal(self) -> str:
        """Take the lock; why it cannot be had, or nothing."""
        if self._lock is not None:
            return ""
        where = self._path.with_suffix(".json")
        self._lock = Lock.take(self._path)
        if self._lock is not None:
            write_whole(where, json.dumps({"data": str(self._data)}).encode(), mode=0o600)
            return ""
        try:
            other = json.loads(where.read_text())["data"]
        except (OSError, ValueError, KeyError, TypeError):
            other = "another folder"
        return (
            f"another one of yours is running, in {other}, and two would be two limits for one API account. Use that"
            f" one (ROWRELAY_DATA={other}), or end what uses it. If the two never send to the same account, set"
            " ROWRELAY_SEPARATE_STACK=1"
        )

    def release(self) -> None:
        """Let others have it."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None


class Supervisor:
    """Keeps the wanted services of one data folder until nobody uses them."""

    def __init__(self, data: Path, folder: Path, linger_seconds: float) -> None:
        self.data = data
        self.folder = folder
        self.linger_seconds = linger_seconds
        self._sole = Sole(data)
        self.state = StackState.read(folder)
        self.state.password = self.state.password or secrets.token_urlsafe(24)
        for service in self.state.services.values():
            service.state, service.detail = "stopped", ""
        self.keepers: dict[str, Keeper] = {}
        self._written = ""

    def run(self) -> None:
        """Work until the last user is out; then stop everything, holding off new users meanwhile."""
        users: Lock | None = None
        try:
            free_since: float | None = None
            while True:
                self._step()
                now = time.monotonic()
                users = Lock.take(self.folder / "users.lock")
                free_since = None if users is None else free_since or now
                if free_since is not None and self._may_end(now - free_since):
                    log.info("nobody is left")
                    return
                if users is not None:
                    users.release()
                starting = any(keeper.state.state == "starting" for keeper in self.keepers.values())
                time.sleep(0.03 if starting else 0.25)
        finally:
            self._stop()
            if users is not None:
                users.release()

    def _may_end(self, free_seconds: float) -> bool:
        if free_seconds < self.linger_seconds:
            return False
        return free_seconds > SETTLE_SECONDS or not any(keeper.service.busy() for keeper in self.keepers.values())

    def _step(self) -> None:
        wanted = Wanted.read(self.folder)
        if wanted.mark != self.state.asked:  # whoever asks anew wants it tried anew
            self.state.asked = wanted.mark
            for name in [name for name, keeper in self.keepers.items() if keeper.state.state == "failed"]:
                self.keepers.pop(name).stop()
        for name in sorted(wanted.services):  # Prefect first: it takes longest
            if name not in self.keepers:
                self.keepers[name] = self._keeper(name, separate=wanted.separate)
        for keeper in self.keepers.values():
            keeper.step()
        self.publish()

    def _keeper(self, name: str, *, separate: bool) -> Keeper:
        port = self.state.service(name).port
        guard = self.folder / f"{name}.lock"
        if name == REDIS:
            keeper = Keeper(name, GuardedRedis(self.data / "redis", port=port, password=self.state.password), guard)
            if not separate and (why := self._sole.refusal()):
                keeper.fail(why)
            return keeper
        return Keeper(name, PrefectServer(self.data / "prefect", port=port), guard)

    def publish(self) -> None:
        """Write down how things stand, if that has changed."""
        self.state.services |= {name: keeper.state for name, keeper in self.keepers.items()}
        if repr(self.state) != self._written:
            self.state.write(self.folder)
            self._written = repr(self.state)

    def _stop(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for keeper in self.keepers.values():
            keeper.stop()
        (self.folder / "wanted.json").unlink(missing_ok=True)
        self._sole.release()
        self.publish()
        log.info("stopped")


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    log.info("asked to end by signal %d", number)
    raise SystemExit(0)


def main(data: Path, folder: Path, linger_seconds: float) -> int:
    """Take the lock, leave the caller's process tree and run. Returns an exit code."""
    os.umask(0o077)  # rows and answers are nobody else's business
    lock = Lock.take(folder / "supervisor.lock")
    if lock is None:
        return BUSY
    supervisor = Supervisor(data, folder, linger_seconds)
    supervisor.publish()
    if os.fork():
        os._exit(0)  # tells the caller that lock and state are there; the child holds the lock on
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    log.info("process %d looks after %s", os.getpid(), data)
    supervisor.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])))
