"""One embedded Prefect server: `prefect server start` on SQLite, as a child process with a home of its own."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import platformdirs

from deployments.embedded.children import die_with_parent, set_aside
from deployments.embedded.locks import Lock
from deployments.embedded.reachable import prefect_answers
from deployments.embedded.redis_server import free_port
from deployments.embedded.stored_schedules import pause_refused
from flows.client.proxy import spare_own_servers
from flows.private import private_folder

QUIET_SECONDS = 3.0  # three times the interval at which it writes


class PrefectServer:
    """A real Prefect server on SQLite; `folder` is its PREFECT_HOME, apart from the user's own."""

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._fresh = False

    @property
    def log(self) -> Path:
        """Where the server writes what it has to say."""
        return self.folder / "server.log"

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.folder / "prefect.db"

    @property
    def url(self) -> str:
        """The API address for clients."""
        return f"http://127.0.0.1:{self.port}/api"

    def spawn(self, guard: Lock) -> None:
        """Start the process, which holds `guard` for as long as it lives."""
        private_folder(self.folder)
        set_aside(self.log)
        self._fresh = not self.database.exists() and not from_template(self.database)
        pause_refused(self.database)
        # -P and the folder keep a stray prefect.py, .env or prefect.toml of the caller's directory out.
        command = [sys.executable, "-P", "-m", "prefect", "server", "start"]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(guard.fileno(),),
                preexec_fn=die_with_parent(signal.SIGINT),  # safe: the supervisor has one thread
            )

    def ready(self) -> bool:
        """Whether its health check says so."""
        answers = prefect_answers(self.url)
        if answers and self._fresh:  # nobody but us knows the address yet, so nothing is in it yet
            self._fresh = False
            save_template(self.database)
        return answers

    def busy(self) -> bool:
        """Whether it is still writing down what its clients sent: it drops at a stop what waits in its memory.

        It cannot be asked, but writes at least every second then, and not at all once it is done.
        """
        try:
            written_at = self.database.with_name(self.database.name + "-wal").stat().st_mtime
        except OSError:
            return False
        return time.time() - written_at < QUIET_SECONDS

    def stop(self, *, timeout_seconds: float = 10.0) -> None:
        """SIGINT, which lets it write down what it has queued (on SIGTERM it drops that), then by force."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _environment(self) -> dict[str, str]:
        # Every PREFECT_… of the caller is about some other server, the one that is used when none is embedded.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        spare_own_servers(inherited)
        origin = f"http://127.0.0.1:{self.port}"
        return inherited | {
            "PREFECT_HOME": str(self.folder),
            # The UI takes the address of its API from these two, not from the command line.
            "PREFECT_SERVER_API_HOST": "127.0.0.1",
            "PREFECT_SERVER_API_PORT": str(self.port),
            "PREFECT_UI_URL": origin,  # for links in messages
            # No web page that is open in the user's browser may drive this server.
            "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": origin,
            "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            # What waits for its turn asks again after this long; by default 30.
            "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "5",
            # Recorded one by one, 1,000 task runs take 19 s to show up; in batches 4 s.
            "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
            "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
            "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
            "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "200",
            "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
            "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "1",
        }


def template() -> Path:
    """Where an empty database of this Prefect version is kept: building one takes three times as long as starting."""
    return platformdirs.user_cache_path("rowrelay") / f"prefect-{version('prefect')}.db"


def from_template(database: Path) -> bool:
    """Begin with the kept empty database. False if there is none."""
    temporary = database.with_suffix(".new")
    try:
        shutil.copyfile(template(), temporary)
    except OSError:
        return False
    for left in ("-wal", "-shm"):  # of a database that somebody has deleted: SQLite would play them into this one
        database.with_name(database.name + left).unlink(missing_ok=True)
    temporary.replace(database)
    return True


def save_template(database: Path) -> None:
    """Keep a database in which nothing has happened yet. Failing to is no harm."""
    kept = template()
    temporary = kept.with_suffix(f".{os.getpid()}")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(temporary)) as target:
            source.backup(target)
        temporary.replace(kept)
    except (OSError, sqlite3.Error):
        temporary.unlink(missing_ok=True)
