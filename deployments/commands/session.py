"""What the commands share: settings, the ledger they read, the way to speak to people, and the log."""

from __future__ import annotations

import getpass
import logging
import logging.handlers
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from rich.console import Console

from flows.errors import RunNotFound
from flows.ledger.connection import connect, verify
from flows.ledger.ledger import Ledger
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.pipeline.definition import Definition
from flows.pipeline.reading import from_resolved
from flows.private import private_folder
from flows.settings import Settings
from flows.spool.spool import Spool

LOG_BYTES = 5 * 2**20
PIPE_WIDTH = 200

# Whoever reads a pipe has room: 80 columns would cut tables.
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPE_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Session:
    """A ledger that answers."""

    settings: Settings
    client: redis.Redis
    ledger: Ledger
    view: View

    @classmethod
    def of(cls, settings: Settings, redis_url: str) -> Session:
        """The ledger at an address. Raises StackError, LedgerError, SettingError."""
        client = connect(redis_url)
        verify(client)
        return cls(settings, client, Ledger(client), View(client))

    def find(self, name: str) -> Run:
        """A run by its id, the beginning of it, a Prefect flow run's id, or `last`. Raises RunNotFound."""
        if name == "last" and not self.view.count():
            raise RunNotFound("There are no runs yet.", hint="`rowrelay send FILE` makes one.")
        return self.view.run(self.view.resolve(name))

    def spool(self, run: Run) -> Spool:
        """The run's spool."""
        return Spool(self.settings.spool_url, run.id, run.facts.mended)

    def definition(self, run: Run) -> Definition:
        """The definition that the run was begun with."""
        return from_resolved(self.view.definition(run.id))


@contextmanager
def opened() -> Iterator[Session]:
    """The ledger of this user's stack; of the stack only Redis is started, if nothing runs yet."""
    from deployments.embedded import stack

    settings = Settings.read()
    with stack.use(settings, prefect=False) as addresses:
        session = Session.of(settings, addresses.redis_url)
        try:
            yield session
        finally:
            session.client.close()


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Say what is being waited for: with a spinner on a terminal, else as a line."""
    if err.is_terminal:
        with err.status(text):
            yield
        return
    err.print(text, markup=False)
    yield


def person() -> str:
    """Who sits at the command line, for the records."""
    try:
        return f"{getpass.getuser()} (command line)"
    except (KeyError, OSError):  # a user without a name, as in containers
        return "command line"


def log_file(data: Path) -> Path:
    """Where this program writes what is not for the terminal."""
    return data / "logs" / "rowrelay.log"


def log_to_file(data: Path) -> logging.Handler:
    """From now on every library's warnings, and ours, go to the log file and not to the terminal."""
    path = log_file(data)
    private_folder(path.parent)
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
    handler.setLevel(logging.INFO)
    root = logging.getLogger()
    for other in [other for other in root.handlers if type(other) is logging.StreamHandler]:
        root.removeHandler(other)
    root.addHandler(handler)
    logging.captureWarnings(True)
    return handler


def quiet_prefect(handler: logging.Handler) -> None:
    """Send what Prefect would print to the log file instead. To be called once it is imported."""
    from prefect.logging.handlers import PrefectConsoleHandler

    loggers = [logging.getLogger(), *map(logging.getLogger, list(logging.root.manager.loggerDict))]
    for logger in loggers:
        for other in [other for other in logger.handlers if isinstance(other, PrefectConsoleHandler)]:
            logger.removeHandler(other)
            if handler not in logger.handlers:
                logger.addHandler(handler)
