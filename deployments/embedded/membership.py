"""A user's side of the embedded stack: be counted, see to it that the services answer, bring a killed stack back."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from deployments.embedded.children import last_words
from deployments.embedded.locks import Lock, held
from deployments.embedded.reachable import prefect_answers, redis_answers
from deployments.embedded.state import PREFECT, REDIS, TITLES, VARIABLES, StackState, Wanted
from deployments.embedded.supervisor import BUSY
from flows.errors import StackError
from flows.private import private_folder

STOP_SECONDS = 60.0  # the longest a stack may take to stop
WATCH_SECONDS = 2.0


@dataclass(frozen=True)
class Membership:
    """What one user asks of the stack of a data folder. All paths are absolute."""

    data: Path
    folder: Path
    needed: frozenset[str]
    linger_seconds: float
    separate: bool = False  # whether another data folder's Redis may run beside this one's

    @contextmanager
    def join(self, timeout_seconds: float) -> Iterator[bool]:
        """Be a user for as long as the block lasts. Gives whether anything had to be started.

        Raises StackError if a needed service does not come up in time.
        """
        with self._presence():
            started = self._ensure(timeout_seconds)
            ended = threading.Event()
            watch = threading.Thread(target=self._watch, args=(ended, timeout_seconds), daemon=True)
            watch.start()
            try:
                yield started
            finally:
                ended.set()
                watch.join()

    @contextmanager
    def _presence(self) -> Iterator[None]:
        try:
            private_folder(self.folder)
            lock = Lock.wait(self.folder / "users.lock", shared=True, seconds=STOP_SECONDS)  # it may be just stopping
        except OSError as exc:
            raise StackError(
                f"The data folder {self.data} cannot be used: {exc.strerror}",
                hint="Make it writable, or set ROWRELAY_DATA to a folder on a local disk.",
            ) from exc
        if lock is None:
            self._give_up(f"The embedded stack takes more than {STOP_SECONDS:.0f} s to stop.")
        try:
            yield
        finally:
            lock.release()

    def _ensure(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        start = Lock.wait(self.folder / "start.lock", seconds=seconds)
        if start is None:
            self._give_up(f"Another process has been starting the embedded stack for {seconds:.0f} s.")
        try:
            supervised = self._supervised()
            if supervised and self._answers():
                return False
            mark = Wanted.ask(self.folder, self.needed, separate=self.separate).mark
            if not supervised:
                self._spawn_supervisor()
            self._wait(mark, deadline, may_be_leaving=supervised)
            return True
        finally:
            start.release()

    def _supervised(self) -> bool:
        """Ask with start.lock held: asking takes the lock for a moment, and a new supervisor must not meet that."""
        return held(self.folder / "supervisor.lock")

    def _answers(self) -> bool:
        state = StackState.read(self.folder)
        if any(state.service(name).state != "ready" for name in self.needed):
            return False
        if REDIS in self.needed and not redis_answers(state.redis_url):
            return False
        return PREFECT not in self.needed or prefect_answers(state.prefect_api_url)

    def _wait(self, mark: str, deadline: float, *, may_be_leaving: bool) -> None:
        """Until the services answer. A supervisor that was there may have been about to end: then a new one starts."""
        while not self._answers():
            state = StackState.read(self.folder)
            for name in self.needed:
                service = state.service(name)
                if service.state == "failed" and state.asked == mark:
                    self._give_up(f"The embedded {TITLES[name]} did not start: {service.detail}", name)
            if not self._supervised() and may_be_leaving:
                may_be_leaving = False
                self._spawn_supervisor()
            elif not self._supervised():
                self._give_up(f"The embedded stack ended: {last_words(self.folder / 'supervisor.log')}")
            if time.monotonic() > deadline:
                late = sorted(TITLES[name] for name in self.needed if state.service(name).state != "ready")
                self._give_up(f"The embedded stack takes too long to start: {', '.join(late)}")
            time.sleep(0.03)

    def _spawn_supervisor(self) -> None:
        command = [sys.executable, "-P", "-m", "deployments.embedded.supervisor"]
        command += [str(self.data), str(self.folder), str(self.linger_seconds)]
        log_path = self.folder / "supervisor.log"
        with log_path.open("ab") as log:
            # It leaves its first process as soon as it holds its lock: this returns at once and nobody is its parent.
            ended = subprocess.run(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                timeout=60,
                check=False,
            )
        if ended.returncode not in (0, BUSY):
            self._give_up(f"The embedded stack did not start: {last_words(log_path)}")

    def _watch(self, ended: threading.Event, seconds: float) -> None:
        """Start the stack again, on the same ports, if its supervisor was killed under its users."""
        while not ended.wait(WATCH_SECONDS):
            start = Lock.take(self.folder / "start.lock")
            if start is None:
                continue  # somebody is at it
            try:
                gone = not self._supervised()
            finally:
                start.release()
            if gone:
                try:
                    self._ensure(seconds)
                except (StackError, OSError):
                    continue  # whoever needs the services says so; the next round tries again

    def _give_up(self, message: str, *names: str) -> NoReturn:
        variables = " or ".join(VARIABLES[name] for name in names or VARIABLES)
        raise StackError(message, hint=f"Logs are in {self.data}. To use a server of your own, set {variables}.")
