"""What the command line says and asks of rows that a later run has delivered since, by the pipeline's `key`."""

from __future__ import annotations

from dashboard.rows.book import Rowbook
from dashboard.rows.since import NOTHING, SENT, Since, delivered_since, later_runs, too_many
from deployments.commands.session import Session, err, waiting
from flows.errors import RowrelayError
from flows.ledger.run import Run
from flows.records import RowState, Wanted

SHORT = 8
NOT_LOOKED = "Whether later runs delivered some of these rows is not known: too many are not done."


def since(session: Session, run: Run) -> Since:
    """What later runs have delivered of a run. Raises StackError, FileError."""
    book = Rowbook(session.view, run, session.definition(run), session.settings)
    later = later_runs(session.view, book)
    return delivered_since(session.view, book, later) if later else NOTHING


def told(found: Since) -> str:
    """The same in words; empty where there is nothing to say."""
    if not found.rows:
        return ""
    states = ", ".join(f"{rows:,} {state}" for state, rows in sorted(found.states.items()))
    which = ", ".join(f"{run[:SHORT]}: {rows:,}" for run, rows in list(found.runs.items())[:3])
    return f"Delivered since by a later run: {states} (run {which})."


def left_out(session: Session, run: Run, rows: Wanted, *, skips: bool, askable: bool, sure: bool) -> frozenset[int]:
    """Which rows of a resumed run are not to be sent, since a later run has delivered them.

    `skips`: they are left out. `sure`: they are sent. Otherwise a person is asked, if there is one.
    Raises RowrelayError where nothing is to be sent.
    """
    if (state := SENT.get(rows)) is None or run.busy or not run.total or sure:
        return frozenset()
    if not session.definition(run).key:
        return frozenset()  # nobody can tell
    with waiting("Looking for rows that were delivered since …"):
        found = since(session, run)
    if too_many(run):
        err.print(NOT_LOOKED, style="yellow", markup=False)
    numbers = found.numbers.get(state, frozenset())
    if numbers and not skips:
        skips = _wish(run, rows, len(numbers), askable=askable)
    if skips and numbers and len(numbers) == run.counts[state]:
        raise RowrelayError(f"A later run has delivered all of the {state} rows. Nothing was sent.")
    return numbers if skips else frozenset()


def _wish(run: Run, rows: Wanted, count: int, *, askable: bool) -> bool:
    """Whether these rows are to be left out. Raises RowrelayError if nothing is to be sent."""
    state = SENT[rows]
    they = "1 row was" if count == 1 else f"{count:,} rows were"
    text = f"Of the {run.counts[state]:,} {state} rows of run {run.id[:SHORT]}, {they} delivered since by a later run."
    whole = state is RowState.WAITING  # a run ends only when all that waits is sent
    if not askable:
        skip = "Send the file as a new run with --skip-delivered" if whole else "Add --skip-delivered"
        raise RowrelayError(text, hint=f"{skip} to leave out what was delivered, or --yes to send all of them again.")
    err.print(text, style="yellow", markup=False)
    choices = "Send all of them (a), or nothing (n)? [n] " if whole else _CHOICES
    while True:
        letter = err.input(choices, markup=False).strip().lower() or ("n" if whole else "l")
        if letter == "n":
            raise RowrelayError("Nothing was sent.")
        if letter == "a" or (letter == "l" and not whole):
            return letter == "l"


_CHOICES = "Leave them out (l), send all of them again (a), or send nothing (n)? [l] "
