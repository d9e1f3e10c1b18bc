"""A run in the hands of this process: its lease, and whether whoever holds it should go on."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from uuid import uuid4

import redis

from flows.errors import Interrupted, Superseded
from flows.ledger.backup_guard import BackupGuard
from flows.ledger.connection import connect, translated
from flows.ledger.ledger import LEASE_SECONDS, Ledger
from flows.ledger.view import View
from flows.settings import Settings

T = TypeVar("T")


class Held:
    """One run, its ledger, and the lease under `epoch` once it has been taken."""

    def __init__(self, run: str, settings: Settings, redis_url: str) -> None:
        self.run = run
        self.settings = settings
        self.client = connect(redis_url, patience=lambda: self.patience_seconds)
        self.ledger = Ledger(self.client)
        self.view = View(self.client)
        self.ledger_at_once = Ledger(connect(redis_url))  # for who does not wait for a Redis that is away
        self.epoch = 0
        self.interrupted = False
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._superseded = False
        self._keeping = False
        self._trusted = False
        self._guard = BackupGuard(self.client, settings.memory)
        self._guard_at_once = BackupGuard(self.ledger_at_once.client, settings.memory)

    def take(self, *, resume: bool) -> None:
        """Become the run's sole deliverer. Raises RunBusy, RunNotFound, StackError."""
        with translated():
            self.epoch = self.ledger.take(self.run, self._owner, resume=resume)

    def trust(self) -> None:
        """Make sure that the ledger has forgotten nothing, before anything is sent by it.

        To be called before the file is checked: `rowrelay restored` doubts all that waits. Raises LedgerOlder,
        StackError.
        """
        self.steadily(lambda: self._guard.ask(self.run))
        self._trusted = True
        self._remember()

    def _remember(self) -> None:
        """Count what was done with the ledger. One that was not trusted would soon count as much as it did before."""
        if self._trusted:
            self.steadily(self._guard.rise)

    def wish(self, *, only_check: bool) -> None:
        """Note whether the run is only to be checked: who takes it up after a crash must not send it unasked."""
        with translated():
            self.ledger.facts(self.run, only_check=int(only_check))

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep the lease while something long goes on outside the sender, and hear whether it is still wanted.

        Within itself it does nothing more.
        """
        if self._keeping:
            yield
            return
        ended = threading.Event()

        def renew() -> None:
            while not ended.wait(LEASE_SECONDS / 5):
                try:
                    ours, _, cancel = self.ledger_at_once.renew(self.run, self.epoch)
                except redis.RedisError:
                    continue  # the next write waits for Redis, and fails loudly if it stays away
                self._superseded = self._superseded or not ours
                self.interrupted = self.interrupted or cancel

        keeper = threading.Thread(target=renew, name="lease", daemon=True)
        keeper.start()
        self._keeping = True
        try:
            yield
        finally:
            self._keeping = False
            ended.set()
            keeper.join()

    def go_on(self) -> None:
        """Raises Superseded or Interrupted where what goes on outside the sender is no longer wanted."""
        if self._superseded:
            raise Superseded("Another process has taken over this run.")
        if self.interrupted:
            raise Interrupted("cancelled while the file was being checked; nothing was sent")

    @property
    def patience_seconds(self) -> float:
        """How long a Redis that does not answer is waited for."""
        return self.settings.give_up_seconds

    def steadily(self, ask: Callable[[], T]) -> T:
        """Redis' errors as ours; the client itself waits for a Redis that is away."""
        with translated():
            return ask()
