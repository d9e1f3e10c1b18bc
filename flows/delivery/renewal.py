"""A run whose pipeline was mended meanwhile: what it has left, or was refused, may go by the definition of today.

A run keeps the definition that it began with. That may be changed for rows of which the API surely has nothing: those
that wait and those that failed. What was read from the file, and what is kept of answers, has to mean the same before
and after, and requests have to go to the same host.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from flows.errors import DefinitionError, RunBusy
from flows.ledger.connection import translated
from flows.ledger.ledger import Ledger
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.pipeline.definition import Definition
from flows.pipeline.pipelines import pick, present
from flows.pipeline.reading import from_resolved
from flows.records import RowState, Wanted
from flows.settings import Settings

_SHORT = 8  # characters of a run's id
_LATER = {"says", "example", "goes_out"}  # keys of a column that say nothing of how a file is read


def is_mended(run: Run, view: View, settings: Settings) -> bool:
    """Whether the pipeline of today is another one, and the run may go on by it. Raises StackError."""
    try:
        return _fit(run, view, settings).digest() != from_resolved(view.definition(run.id)).digest()
    except DefinitionError:
        return False


@translated()
def renew(run: Run, rows: Wanted, ledger: Ledger, view: View, settings: Settings, *, by: str) -> None:
    """Let a run go on by the definition of today; nothing happens where that is its own.

    Raises:
        DefinitionError: it may not, and why.
        RunBusy: it is being delivered.
    """
    if rows == "unknown":
        raise DefinitionError(
            "Unknown rows are sent again as they were, since the API may have them.",
            hint="Leave out the new definition for them.",
        )
    what = RowState.FAILED if rows == "failed" else RowState.WAITING
    if not run.counts[what]:
        raise DefinitionError(f"The run has no {what} rows, so a new definition would be for nothing.")
    new = _fit(run, view, settings)
    if new.digest() == from_resolved(view.definition(run.id)).digest():
        return
    if _has_doubtful(run, view):
        raise _refusal("of some waiting rows the API may have an earlier request", "Send the file as a new run.")
    if run.busy or not ledger.redefine(run.id, new.resolved(), digest=new.digest(), epoch=run.facts.epoch):
        raise RunBusy("The run is being delivered.", hint="Wait until it ends, or cancel it first.")
    ledger.event(run.id, f"{by} let it go on by the definition of today")


def _fit(run: Run, view: View, settings: Settings) -> Definition:
    """The pipeline of today. Raises DefinitionError where the run may not go on by it."""
    old, new = from_resolved(view.definition(run.id)), pick(present(settings), run.pipeline)
    if run.facts.undoes:
        raise _refusal("it undoes another run, as that one's definition said", "Leave out the new definition.")
    if run.counts[RowState.UNKNOWN] or run.counts[RowState.SENDING]:
        raise _refusal("it has unknown rows, whose requests must stay what they were", _settle(run, old))
    if _of_the_file(old) != _of_the_file(new):
        raise _refusal("its rows were read by other columns", "Send the file as a new run.")
    if old.kept != new.kept:
        raise _refusal("other fields of the answers are kept", "Send the file as a new run.")
    if urlsplit(old.main.url).netloc != urlsplit(new.main.url).netloc:
        raise _refusal("requests would go to another host", "Send the file as a new run.")
    return new


def _settle(run: Run, definition: Definition) -> str:
    """The ways to settle unknown rows."""
    name = run.id[:_SHORT]
    asks = f"`rowrelay reconcile {name}` asks the API, " if definition.reconcile else ""
    return (
        f"Settle those first: {asks}`rowrelay mark-done {name} ROW...` calls rows done that the API has, and"
        f" `rowrelay send --resume {name} --rows unknown` sends the others again as they were."
    )


def _has_doubtful(run: Run, view: View) -> bool:
    """Whether a row waits that was unknown before."""
    if not (run.counts[RowState.WAITING] and run.facts.requests):  # only who was asked for again can be in doubt
        return False
    blocks = view.blocks(run.id, run.total, names=(), created=run.created)
    return any(record.doubtful and record.state is RowState.WAITING for block in blocks for record in block)


def _refusal(why: str, hint: str) -> DefinitionError:
    return DefinitionError(f"The run cannot go on by the definition of today: {why}.", hint=hint)


def _of_the_file(definition: Definition) -> dict[str, Any]:
    columns = [(name, column.model_dump(exclude=_LATER)) for name, column in definition.columns.items()]
    return {"columns": columns, "schema": definition.schema_path, "key": definition.key}
