"""The commands that change something without sending: cancel, delete, mark-done, limits."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from deployments.commands.session import Session, err, out, person
from deployments.commands.showing import SHORT, print_json
from deployments.embedded import addresses
from deployments.registry import flow_runs
from flows.errors import RowrelayError, SettingError
from flows.ledger.connection import translated
from flows.ledger.run import Run
from flows.limit.status import LimitStatus, names, status, trust
from flows.limit.status import open_limit as open_named
from flows.records import RowState
from flows.restored import doubt, doubtful
from flows.retention import delete_run
from flows.words import duration

MOST_ROWS = 10_000_000


def cancel(session: Session, run: Run) -> int:
    """Wish a run to end."""
    if not run.busy:
        out.print(f"Run {run.id[:SHORT]} is not being delivered ({run.state}); there is nothing to cancel.")
        return 0
    with translated():
        session.ledger.cancel(run.id, person())
    out.print(f"Run {run.id[:SHORT]} takes no new rows and ends when the answers under way are there.")
    out.print(f"Resume it with: rowrelay send --resume {run.id[:SHORT]}")
    return 0


def delete(session: Session, run: Run, *, yes: bool) -> int:
    """Remove a run from ledger and spool."""
    if not yes and not sure(f"Delete run {run.id[:SHORT]} of {run.file} and what became of its {run.total:,} rows?"):
        return 2
    delete_run(run.id, session.ledger, session.settings, by=person())
    out.print(f"Run {run.id} is deleted.")
    return 0


def sure(question: str) -> bool:
    """Ask a person. Raises SettingError where nobody can be asked."""
    if not sys.stdin.isatty():
        raise SettingError("This has to be confirmed.", hint="Add --yes.")
    return err.input(f"{question} [y/N] ", markup=False).strip().lower() in ("y", "yes")


def restored(session: Session, *, yes: bool) -> int:
    """Take into account that the ledger comes from a backup: what waits in it may have been sent since."""
    runs = doubtful(session.view)
    rows = sum(run.counts[RowState.WAITING] for run in runs)
    question = f"Was Redis restored from a backup? {rows:,} waiting rows of {len(runs):,} runs become unknown."
    if not yes and not sure(question):
        return 2
    if addresses.prefect_is_used(session.settings):
        for name in flow_runs.cancel_due(session.settings):
            out.print(f"Flow run {name} is cancelled.", markup=False)
        runs = doubtful(session.view)
    moved = sum(doubt(session.client, runs, by=person()).values())
    out.print(f"{moved:,} waiting rows of {len(runs):,} runs are unknown now, and every limit waits to be sure.")
    if moved:
        out.print(
            "Look them up at the API: call those it has done (rowrelay mark-done RUN ROW...), and send the others"
        )
        out.print("with rowrelay send --resume RUN --rows unknown.")
    return 0


def row_numbers(words: Sequence[str]) -> list[int]:
    """Row numbers from words such as `17` and `40-43`. Raises SettingError."""
    rows: list[int] = []
    for word in words:
        first, dash, last = word.partition("-")
        if not (first.isascii() and first.isdigit()) or (dash and not (last.isascii() and last.isdigit())):
            raise SettingError(f"{word!r} is no row number.", hint="Write 17, or 40-43 for several.")
        start, stop = int(first[:12]), int((last or first)[:12])
        if not 1 <= start <= stop <= MOST_ROWS:
            raise SettingError(f"{word!r} names no rows: rows count from 1.", hint="Write 17, or 40-43 for several.")
        rows += range(start, stop + 1)
    return sorted(set(rows))


def mark_done(session: Session, run: Run, rows: Sequence[int]) -> int:
    """Call unknown rows done, on a person's word."""
    with translated():
        moved = session.ledger.mark_done(run.id, [row for row in rows if row <= run.total], by=person())
        session.ledger.event(run.id, f"{moved} unknown rows were called done by {person()}")
    out.print(f"{moved:,} of {len(rows):,} rows are done now.")
    if moved < len(rows):
        err.print(f"The others are not unknown; `rowrelay export {run.id[:SHORT]}` shows what they are.")
    return 0 if moved == len(rows) else 1


def show_limits(session: Session, *, as_json: bool) -> int:
    """How every limit stands."""
    with translated():
        found = [status(session.client, name) for name in names(session.client)]
    if as_json:
        print_json({"limits": [asdict(limit) | {"state": limit.state} for limit in found]})
        return 0
    if not found:
        out.print("No limit has been used yet.")
        return 0
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("limit", "state", "allowed", "taken", "under way", "processes", ""):
        table.add_column(name)
    for limit in found:
        taken = ", ".join(f"{window.held:,}" for window in limit.windows)
        if limit.values:
            taken = f"{limit.values:,} values in use" if limit.values > 1 else "1 value in use"
        flying = f"{limit.flying} of {limit.in_flight}" if limit.in_flight and not limit.values else ""
        words = limit.allowed if limit.askers else "not in use"
        style = "green" if limit.state == "open" else "yellow"
        table.add_row(
            limit.name, Text(limit.state, style=style), words, taken, flying, str(limit.askers), Text(_why(limit))
        )
    out.print(table)
    for limit in found:
        if limit.latched:
            out.print(f"When it is settled with the API: rowrelay limits open {limit.name}")
        if limit.numbers_in_force > 1:
            out.print(f"{limit.name} is used with {limit.numbers_in_force} different sets of numbers; all are kept.")
    return 0


def _why(limit: LimitStatus) -> str:
    now = time.time()
    if limit.latched:
        return f"{limit.latch_reason} (run {limit.latch_run[:SHORT]})"
    if limit.paused_until:
        return f"{limit.pause_reason}, {duration(limit.paused_until - now)} left"
    if limit.quarantine_until:
        return f"{limit.quarantine_reason}, {duration(limit.quarantine_until - now)} left"
    if limit.slowed_until:
        left = duration(limit.slowed_until - now)
        return f"the API said how much is left: a request every {limit.slow_seconds:.3g} s, {left} more"
    return ""


def open_limit(session: Session, name: str) -> int:
    """Take the latch off a limit."""
    _known(session, name)
    with translated():
        opened = open_named(session.client, name, person())
    out.print(f"The limit {name} is open again." if opened else f"The limit {name} was not shut.")
    return 0


def trust_limit(session: Session, name: str, *, yes: bool) -> int:
    """End the quarantine of a limit's long windows."""
    _known(session, name)
    question = f"Is it certain that nothing else was sent to the account of {name} during its longest window?"
    if not yes and not sure(question):
        return 2
    with translated():
        trust(session.client, name, person())
    out.print(f"The limit {name} counts from what it knows.")
    return 0


def _known(session: Session, name: str) -> None:
    with translated():
        found = names(session.client)
    if name not in found:
        raise RowrelayError(f"There is no limit {name!r}.", hint=f"There are: {', '.join(found) or 'none yet'}.")
