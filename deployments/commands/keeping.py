"""`rowrelay backup` and `rowrelay restore`: the data folder as one file, and back."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from deployments.commands.session import err, out, person, waiting
from deployments.commands.showing import SHORT, print_json
from deployments.embedded import archive, stack
from deployments.embedded.locks import held
from deployments.embedded.state import REDIS
from deployments.registry import flow_runs
from flows.errors import RunBusy, SettingError, StackError
from flows.ledger.connection import connect, verify
from flows.ledger.ledger import LEASE_SECONDS
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.private import private_folder
from flows.restored import doubt, doubtful
from flows.settings import Settings

END_SECONDS = 120.0  # for the servers that marked what came back


def backup(file: Path, *, as_json: bool) -> int:
    """Write the archive. Raises FileError, StackError, LedgerError, SettingError."""
    settings = Settings.read()
    with stack.use(settings, prefect=False) as addresses:
        if REDIS not in addresses.embedded:
            raise _not_ours()
        client = connect(addresses.redis_url)
        verify(client)
        runs = View(client).count()
        with _bar("Writing") as told:
            size = archive.write(file, settings.data.absolute(), client, told)
        client.close()
    if as_json:
        print_json({"file": str(file), "bytes": size, "runs": runs})
        return 0
    out.print(f"{file}: {size / 1e6:,.1f} MB, {runs:,} runs.", markup=False)
    out.print("It holds all rows, answers and files of the data folder, so it is readable for you alone (mode 600).")
    out.print("Secrets of pipelines are not in it, nor what lies elsewhere: definitions, a ROWRELAY_STORAGE.")
    return 0


def _not_ours() -> SettingError:
    return SettingError(
        "ROWRELAY_REDIS_URL names a Redis that is not part of the data folder.",
        hint="Back it up by its own means: docs/operations.md says how.",
    )


def restore(file: Path, *, as_json: bool) -> int:
    """Make a data folder of the archive. Raises FileError, StackError, LedgerError, SettingError."""
    settings = Settings.read()
    if settings.redis_url:
        raise _not_ours()
    data = settings.data.absolute()
    archive.check_empty(data)
    folder = private_folder(data.with_name(f".{data.name}.restoring-{uuid4().hex[:8]}"))
    try:
        with _bar("Reading") as told:
            head, aside = archive.read(file, folder, told)
        with waiting("Marking what may have been sent since …"):
            moved, count = _marked(settings.model_copy(update={"data": folder, "separate_stack": True}))
        archive.install(folder, data)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        said = {"data": str(data), "made": head.made, "program": head.program, "runs": count, "inbox_files": aside}
        print_json(said | {"unknown": moved})
        return 0
    out.print(f"{data} is as it was at {head.made}: {count:,} runs.", markup=False)
    for run, rows in moved.items():
        what = f"{rows:,} rows are unknown now: they may have been sent since" if rows else "it had not been checked"
        out.print(f"  run {run[:SHORT]}: {what}")
    if moved:
        out.print("Compare with the API, then `rowrelay mark-done RUN ROWS` for what has arrived and")
        out.print("`rowrelay send --resume RUN --rows unknown` for what has not.")
    if aside:
        where = data / archive.ASIDE
        out.print(
            f"{aside:,} files lay in inboxes. They are in {where} now, since they may have been sent.", markup=False
        )
    return 0


def _marked(settings: Settings) -> tuple[dict[str, int], int]:
    """Make unknown what may have been sent since: rows by run, and how many runs there are. Sends nothing."""
    prefect = (settings.data / archive.DATABASE).exists()
    try:
        with stack.use(settings, prefect=prefect, linger_seconds=0) as addresses:
            client = connect(addresses.redis_url)
            verify(client)
            if prefect:
                stack.apply(addresses, settings)
                flow_runs.cancel_due(settings)
            moved = doubt(client, _doubtful(View(client)), by=person())
            count = View(client).count()
            client.close()
    finally:
        until = time.monotonic() + END_SECONDS
        while held(settings.data / "stack" / "supervisor.lock"):
            if time.monotonic() > until:
                raise StackError(f"The servers that work in {settings.data} do not end.")
            time.sleep(0.1)
    return moved, count


def _doubtful(view: View) -> list[Run]:
    """What was being delivered when a backup was made a moment ago looks as if it still were."""
    until = time.monotonic() + 2 * LEASE_SECONDS
    while True:
        try:
            return doubtful(view)
        except RunBusy:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


@contextmanager
def _bar(verb: str) -> Iterator[archive.Told]:
    """A bar on a terminal; nothing elsewhere."""
    columns = (TextColumn(verb), BarColumn(), DownloadColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as shown:
        task = shown.add_task(verb, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)
