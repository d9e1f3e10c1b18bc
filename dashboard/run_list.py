"""The list of runs: a page of it costs a page, unless something is searched for; a thousand are one round trip."""

from __future__ import annotations

from collections.abc import Sequence

from flows.errors import RunNotFound
from flows.ledger.view import KINDS, Run, View
from flows.records import RowState, RunState

WORDS = tuple(dict.fromkeys((*KINDS.values(), *RunState)))  # what a state may be called in a search
_AT_ONCE = 2_000  # runs a round trip


def page(
    view: View, offset: int, limit: int, *, search: str = "", pipeline: str = "", kind: str = ""
) -> tuple[list[Run], int]:
    """Some of the runs that fit, newest first, and how many fit. Raises StackError."""
    if not (search.split() or pipeline or kind):
        return view.runs(offset, limit), view.count()
    found = find(every(view), search=search, pipeline=pipeline, kind=kind)
    return found[offset : offset + limit], len(found)


def every(view: View) -> list[Run]:
    """All runs, newest first. Raises StackError."""
    found: list[Run] = []
    for first in range(0, view.count(), _AT_ONCE):
        found += view.runs(first, _AT_ONCE)
    return found


def sent_before(view: View, digest: str, *, but: str = "") -> list[Run]:
    """Other runs of files with this content of which something was sent, newest first. Raises StackError."""
    if not digest:
        return []
    found = []
    for name in view.same_content(digest):
        try:
            run = view.run(name)
        except RunNotFound:
            continue  # deleted meanwhile
        if name != but and _has_sent(run):
            found.append(run)
    return sorted(found, key=lambda each: -each.created)


def _has_sent(run: Run) -> bool:
    sent = (RowState.DONE, RowState.FAILED, RowState.UNKNOWN, RowState.SENDING)
    return any(run.counts[state] for state in sent) or (run.busy and run.state is RunState.SENDING)


def find(runs: Sequence[Run], *, search: str = "", pipeline: str = "", kind: str = "") -> list[Run]:
    """Those whose file, pipeline, starter or id hold every word of `search`, and that are shown as `kind`."""
    words = search.casefold().split()
    return [
        run
        for run in runs
        if (not pipeline or run.pipeline == pipeline)
        and (not kind or kind in (run.kind, run.shown_as, str(run.state)))
        and all(word in _text(run) for word in words)
    ]


def _text(run: Run) -> str:
    return f"{run.facts.name} {run.file} {run.pipeline} {run.by} {run.id} {run.reason}".casefold()
