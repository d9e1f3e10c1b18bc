"""The list of runs: a page of it costs a page; only who searches has all of them looked through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flows.errors import RunNotFound
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.records import RowState, RunState

Position = tuple[float, str]  # of a run in the list: when it was created, Unix seconds, and its id
_AT_FIRST, _AT_ONCE = 200, 2_000  # runs a round trip of a search, which may find what it wants soon


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs: those whose file, pipeline, starter or id hold every word of `search`, shown as `kind`, begun between
    `since` and `until` (Unix seconds; 0: at any time). A reason is not searched: it may quote a row.
    """

    search: str = ""
    pipeline: str = ""
    kind: str = ""
    since: float = 0.0
    until: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.search.split() or self.pipeline or self.kind or self.since or self.until)


ALL = RunFilter()


def page(view: View, after: Position | None, limit: int, wanted: RunFilter = ALL) -> tuple[list[Run], Position | None]:
    """Some of the runs that fit, newest first, and the place of the last where there are more. Raises StackError."""
    found: list[tuple[Position, Run]] = []
    for some in _in_parts(view, after, _AT_FIRST if wanted else limit + 1):
        places = {run.id: place for place, run in some}
        fitting = find([run for _, run in some], wanted)
        found += [(places[run.id], run) for run in fitting]
        if len(found) > limit:
            return [run for _, run in found[:limit]], found[limit - 1][0]
    return [run for _, run in found], None


def matching(view: View, wanted: RunFilter) -> list[str]:
    """The ids of all runs that fit, newest first: every run is looked at. Raises StackError."""
    return [run.id for some in _in_parts(view, None, _AT_ONCE) for run in find([run for _, run in some], wanted)]


def _in_parts(view: View, after: Position | None, count: int) -> Iterator[list[tuple[Position, Run]]]:
    """All runs that follow a place, newest first, `count` at first and then more at a time."""
    while places := view.positions(count, after=after):
        runs = {run.id: run for run in view.these([run for _, run in places])}
        yield [(place, runs[place[1]]) for place in places if place[1] in runs]
        if len(places) < count:
            return
        after, count = places[-1], min(2 * count, _AT_ONCE)


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
    sent = (RowState.DONE, RowState.FAILED, RowState.UNKNOWN, RowState.ACCEPTED, RowState.SENDING)
    return any(run.counts[state] for state in sent) or (run.busy and run.state is RunState.SENDING)


def find(runs: Sequence[Run], wanted: RunFilter) -> list[Run]:
    """Those of these runs that are wanted."""
    words = wanted.search.casefold().split()
    return [
        run
        for run in runs
        if (not wanted.pipeline or run.pipeline == wanted.pipeline)
        and (not wanted.kind or wanted.kind in (run.kind, run.shown_as, str(run.state)))
        and wanted.since <= run.created <= (wanted.until or float("inf"))
        and all(word in _text(run) for word in words)
    ]


def _text(run: Run) -> str:
    return f"{run.facts.name} {run.file} {run.pipeline} {run.by} {run.id}".casefold()
