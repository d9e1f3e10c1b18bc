"""What the command line says and asks of rows that were delivered before, and what it does not send unasked."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deployments.commands.session import Session, err, waiting
from flows.delivery.check import CheckResult, check_file
from flows.delivery.delivered import DeliveredIndex, told
from flows.errors import RowrelayError
from flows.ledger.run import Run
from flows.pipeline.definition import Definition
from flows.records import RowState
from flows.settings import Settings

ADVICE = "`rowrelay send FILE --skip-delivered` leaves out what was delivered before."


@dataclass(frozen=True, slots=True)
class Known:
    """What can be asked about earlier runs: an index, or why there is none."""

    index: DeliveredIndex | None = None
    remark: str = ""

    def words(self, result: CheckResult) -> list[str]:
        """What a check found of them, in words."""
        if self.index is None:
            return [self.remark] if self.remark else []
        return list(told(result, self.index.unread)) or ["None of these rows was delivered before."]

    def as_object(self, result: CheckResult) -> dict[str, Any]:
        """The same as the JSON form has it."""
        return {
            "looked_up": self.index is not None,
            "rows": sum(result.delivered.values()),
            "runs": dict(result.delivered),
            "unsure": result.unsure,
            "remarks": self.words(result),
        }


@contextmanager
def known(settings: Settings, definition: Definition) -> Iterator[Known]:
    """What earlier runs delivered, if there is a ledger that can be asked. Starts at most the Redis of this user."""
    if not definition.key:
        yield Known()
        return
    with ExitStack() as exits:
        try:
            found = _index(settings, definition, exits)
        except RowrelayError as exc:
            found = Known(remark=f"Whether rows were delivered before could not be looked up: {exc.message}")
        yield found


def _index(settings: Settings, definition: Definition, exits: ExitStack) -> Known:
    from deployments.embedded import stack

    if settings.redis_url is None and not (settings.data / "redis").exists():
        return Known(remark="Whether rows were delivered before is not known: there is no ledger here yet.")
    addresses = exits.enter_context(stack.use(settings, prefect=False))
    session = Session.of(settings, addresses.redis_url)
    exits.callback(session.client.close)
    folder = exits.enter_context(TemporaryDirectory(prefix="rowrelay-"))
    index = exits.enter_context(DeliveredIndex(Path(folder), definition.key))
    index.take(session.view, settings.spool_url, definition.name)
    return Known(index)


def ask(file: Path, definition: Definition, session: Session, options: dict[str, Any]) -> bool | None:
    """Whether the rows that were delivered before are to be left out; None if there are none.

    Raises RowrelayError if nothing is to be sent.
    """
    with (
        TemporaryDirectory(prefix="rowrelay-") as folder,
        DeliveredIndex(Path(folder), definition.key) as index,
    ):
        with waiting("Looking for rows that were delivered before …"):
            index.take(session.view, session.settings.spool_url, definition.name)
            if index.empty:
                return None
            result = check_file(file, definition, delivered=index, **options)
        if not result.delivered:
            return None
        for text in told(result, index.unread):
            err.print(text, style="yellow", markup=False)
    while True:
        said = err.input("Leave them out (l), send them again (a), or send nothing (n)? [l] ", markup=False)
        if (letter := said.strip().lower()) in ("", "l", "a"):
            return letter != "a"
        if letter == "n":
            raise RowrelayError("Nothing was sent.")


def at_terminal() -> bool:
    """Whether there is somebody to be asked."""
    return sys.stdin.isatty() and err.is_terminal


def refuse_unmeant(run: Run, *, resume: str, rows: str) -> None:
    """Raise RowrelayError where the rest of this run can hardly be meant, or is none. `rows`: those of one state."""
    if resume == "last" and run.facts.only_check and run.total:
        raise RowrelayError(
            f"The last run, {run.shown_file}, was only checked, by {run.by}.",
            hint=f"To send it, name it: rowrelay send --resume {run.id[:8]}",
        )
    if (
        rows == "reconcile"
        and run.total
        and not run.busy
        and not (run.counts[RowState.UNKNOWN] or run.counts[RowState.ACCEPTED])
    ):
        raise RowrelayError("The run has no unknown rows.", hint=f"See it: rowrelay show {run.id[:8]}")
    if rows in ("failed", "unknown", "accepted") and run.total and not (run.busy or run.counts[RowState(rows)]):
        raise RowrelayError(f"The run has no {rows} rows.", hint=f"See it: rowrelay show {run.id[:8]}")
