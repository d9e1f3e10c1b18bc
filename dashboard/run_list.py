"""The list of runs: search and filter over all of them. A thousand runs are read in one round trip."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard.look import RUN, run_kind
from flows.ledger_view import Run, View

MOST = 5_000  # newest runs that are searched


def every(view: View) -> list[Run]:
    """All runs, newest first. Raises StackError."""
    return view.runs(0, MOST)


def find(runs: Sequence[Run], *, search: str = "", pipeline: str = "", kind: str = "") -> list[Run]:
    """Those whose file, pipeline, starter or id hold every word of `search`, and that are shown as `kind`."""
    words = search.casefold().split()
    return [
        run
        for run in runs
        if (not pipeline or run.pipeline == pipeline)
        and (not kind or kind in (run_kind(run), RUN[run_kind(run)].word, str(run.state)))
        and all(word in _text(run) for word in words)
    ]


def _text(run: Run) -> str:
    return f"{run.facts.get('name', '')} {run.file} {run.pipeline} {run.by} {run.id} {run.reason}".casefold()
