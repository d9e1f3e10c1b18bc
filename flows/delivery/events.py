"""What people should know of a run, as it happens."""

from __future__ import annotations

import logging
import threading

import redis

from flows.ledger.ledger import Ledger

logger = logging.getLogger(__name__)


class Events:
    """Keeps events of one run; if Redis is away, they are not worth waiting or failing for."""

    def __init__(self, run: str, ledger: Ledger) -> None:
        self._run, self._ledger = run, ledger

    def __call__(self, text: str) -> None:
        """Keep an event, in plain words."""
        try:
            threading.Thread(target=self._keep, args=(text,), daemon=True).start()
        except RuntimeError as exc:  # no memory for another thread: rows come first
            logger.warning("An event was not kept (%s): %s", exc, text)

    def _keep(self, text: str) -> None:
        try:
            self._ledger.event(self._run, text)
        except redis.RedisError:
            return
