"""The sole right to deliver a run, kept from when it is taken until it is given back."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

import redis

from flows.errors import Interrupted, Superseded
from flows.ledger.ledger import LEASE_SECONDS, Ledger

RENEW_SECONDS = LEASE_SECONDS / 5
_LOST = "Another process has taken over this run."


class Lease:
    """One run in the hands of this process, under an `epoch` of its own; a thread renews it.

    `lost` says that another process has the run, `cancelled` that somebody wished it to end in the ledger, and
    `interrupted` that whoever runs this process did. `on_change`, to be set at any time, is called when any is heard,
    mostly in that thread.
    """

    def __init__(self, run: str, ledger: Ledger) -> None:
        self.epoch = 0
        self.lost = self.cancelled = self.interrupted = False
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self.on_change: Callable[[], None] = lambda: None
        self._run, self._ledger = run, ledger
        self._ended = threading.Event()
        self._keeper: threading.Thread | None = None

    def take(self, ledger: Ledger, *, resume: bool) -> None:
        """Become the run's sole deliverer. Raises what `Ledger.take` does."""
        self.keep(ledger.take(self._run, self.owner, resume=resume))

    def keep(self, epoch: int) -> None:
        """Keep the run under an epoch that was taken, here or by another process that this one works for."""
        self.release()
        self.epoch = epoch
        self.lost = self.cancelled = False
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._renew, args=(self._ended,), name="lease", daemon=True)
        self._keeper.start()

    def renew(self, ledger: Ledger | None = None) -> int:
        """Renew it now. Returns how many rows of dead deliverers are still `sending`. Raises redis.RedisError."""
        ours, older, cancel = (ledger or self._ledger).renew(self._run, self.epoch)
        self.heard(lost=not ours, cancelled=cancel)
        return older if ours else 0

    def heard(self, *, lost: bool = False, cancelled: bool = False) -> None:
        """Take note of what the ledger has said."""
        if (lost and not self.lost) or (cancelled and not self.cancelled):
            self.lost, self.cancelled = self.lost or lost, self.cancelled or cancelled
            self.on_change()

    def interrupt(self) -> None:
        """Whoever runs this process wishes it to end."""
        self.interrupted = True
        self.on_change()

    def require(self) -> None:
        """Raises Superseded or Interrupted where what goes on under the lease is no longer wanted."""
        if self.lost:
            raise Superseded(_LOST)
        if self.cancelled or self.interrupted:
            raise Interrupted("cancelled while the file was being checked; nothing was sent")

    def release(self) -> None:
        """Renew it no more. Whoever has taken it gives the run back in the ledger."""
        if self._keeper is not None:
            self._ended.set()
            self._keeper.join()
            self._keeper = None

    def _renew(self, ended: threading.Event) -> None:
        while not ended.wait(RENEW_SECONDS):
            with suppress(redis.RedisError):  # whoever writes next waits for Redis, and fails loudly if it stays away
                self.renew()
