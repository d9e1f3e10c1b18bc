"""Whether a ledger is older than what this machine has seen of it: then it was probably put back from a backup.

The ledger counts how often a run was taken up, given back, or went on for a minute, and each machine remembers the
number it saw last: outside of the data folder, or the memory would be put back together with the ledger. A ledger that
counts less has forgotten something. Which of two things has happened only a person knows: a backup was put back, or the
last second was lost with the power. Once they have said so the ledger becomes another one, with a name of its own, so
that no machine asks twice.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from uuid import uuid4

import redis

from flows.errors import LedgerOlder
from flows.ledger.connection import translated
from flows.ledger.keys import TIDE
from flows.private import private_folder, write_whole

log = logging.getLogger(__name__)

BETWEEN_SECONDS = 60.0  # a backup is noticed if a run went on for this long after it was made
OLDER = "Redis has forgotten what this machine has seen of it, so rows may be sent a second time. Nothing was sent."
WAYS_ON = (
    "If it was restored from a backup: `rowrelay restored`; what waits becomes unknown, since it may have been sent. "
    "If nothing was restored, and only the last second was lost with the power: `rowrelay send --resume {run} "
    "--ledger-is-current`."
)
_LEDGERS = 50  # of which a machine remembers the number


class BackupGuard:
    """The count of one ledger, and what `folder` remembers of it."""

    def __init__(self, client: redis.Redis, folder: Path) -> None:
        self._client, self._path = client, folder / "tide.json"
        self._risen = 0.0

    def ask(self, run: str) -> None:
        """Raise LedgerOlder, with the ways on with this run, if the ledger counts less than this machine remembers.

        Also raises StackError, LedgerError.
        """
        with translated():
            fallen = self.has_fallen()
        if fallen:
            raise LedgerOlder(OLDER, hint=WAYS_ON.format(run=run))

    def has_fallen(self) -> bool:
        """Whether the ledger counts less than this machine remembers. Raises redis.RedisError.

        In this order: the count only rises, and another process here may remember more as soon as it has risen.
        """
        remembered = self._remembered()
        name, count = self._client.hmget(TIDE, "name", "count")
        return name is not None and int(count or 0) < remembered.get(_text(name), 0)

    def rise(self) -> None:
        """Count one more, and remember it. Raises redis.RedisError."""
        self._risen = time.monotonic()
        with self._client.pipeline() as pipe:
            pipe.hsetnx(TIDE, "name", uuid4().hex)
            pipe.hincrby(TIDE, "count", 1)
            pipe.hget(TIDE, "name")
            _, count, name = pipe.execute()
        try:
            self._remember(_text(name), int(count))
        except OSError as exc:
            log.warning("If Redis is restored from a backup, this machine will not notice: %s", exc)

    def rise_by_and_by(self) -> None:
        """The same where the last time was a minute ago."""
        if time.monotonic() - self._risen >= BETWEEN_SECONDS:
            self.rise()

    def _remembered(self) -> dict[str, int]:
        try:
            return dict(json.loads(self._path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as exc:
            log.warning("What this machine remembers of the ledger cannot be read: %s", exc)
            return {}

    def _remember(self, name: str, count: int) -> None:
        known = self._remembered()
        most = max(count, known.pop(name, 0))
        known = dict([*known.items()][1 - _LEDGERS :]) | {name: most}
        private_folder(self._path.parent)
        write_whole(self._path, json.dumps(known).encode())


def turn(client: redis.Redis) -> None:
    """Make the ledger another one: what anybody remembers of it says nothing any more. Raises redis.RedisError."""
    client.hset(TIDE, mapping={"name": uuid4().hex, "count": 0})


def _text(value: bytes | str) -> str:
    """What Redis said, whether or not the client decodes it."""
    return value.decode() if isinstance(value, bytes) else value
