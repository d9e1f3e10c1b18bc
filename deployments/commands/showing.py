"""What the command line shows of runs: the list, one run, its summary, and its results as a file."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import msgspec
from rich.table import Table
from rich.text import Text

from dashboard.rows.since import NOTHING, Since
from deployments.commands import grouped
from deployments.commands.progress import STYLES
from deployments.commands.session import Session, err, out
from deployments.commands.since import since, told
from deployments.commands.terminal import escaped
from flows.errors import FileError
from flows.ledger.plain import plain
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.limit.pace import guaranteed_rate
from flows.pipeline.definition import Definition
from flows.private import whole_file
from flows.records import Reason, RowState
from flows.words import duration, limit_words

SHORT = 8
FIRST = 5  # troubles shown at a terminal
LATE_SECONDS = 0.2  # what is proposed to whoever has a slow API
MEANINGS: dict[str, str] = {
    "skipped": "left out: an earlier run delivered them",
    RowState.REJECTED: "not as the pipeline demands; never sent",
    RowState.WAITING: "not sent yet",
    RowState.SENDING: "under way",
    RowState.ACCEPTED: "the API took it for later",
    RowState.DONE: "the API took it",
    RowState.FAILED: "the API refused it",
    RowState.UNKNOWN: "sent, but it is not known whether the API acted on it",
}


def print_json(value: Any) -> None:
    """One JSON object on standard output."""
    text = msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode()
    sys.stdout.write(escaped(text) + "\n")
    sys.stdout.flush()


def as_object(run: Run) -> dict[str, Any]:
    """A run as the JSON forms have it."""
    return {"run": run.id, **plain(run), "file": run.file}


def _utc(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def local(at: float) -> str:
    """A moment, Unix seconds, as this machine's clock shows it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def print_runs(session: Session, limit: int, *, as_json: bool) -> int:
    """The newest runs."""
    runs = session.view.runs(0, limit)
    if as_json:
        print_json({"runs": [as_object(run) for run in runs]})
        return 0
    if not runs:
        out.print("There are no runs yet. `rowrelay send FILE` makes one.")
        return 0
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("run", "begun", "pipeline", "file", "state"):
        table.add_column(name, no_wrap=True)
    states = [word for word in (*STYLES, "skipped") if word != RowState.ACCEPTED or any(_accepted(run) for run in runs)]
    for name in ("rows", *states, "left"):
        table.add_column(name, justify="right")
    for run in runs:
        counts = (f"{run.shown_counts[word]:,}" for word in states)
        left = run.total - run.finished_rows
        words = (run.id[:SHORT], local(run.created), run.pipeline, Path(run.file).name, run.shown_as)
        table.add_row(*map(Text, words), f"{run.total:,}", *counts, f"{left:,}")
    out.print(table)
    if (more := session.view.count() - len(runs)) > 0:
        out.print(f"… and {more:,} older; see --limit")
    return 0


def _accepted(run: Run) -> int:
    return run.counts[RowState.ACCEPTED]


def print_run(session: Session, run: Run, *, as_json: bool) -> int:
    """Everything there is to know of a run that is not about single rows."""
    view = session.view
    troubles = list(first_troubles(view, run))
    if as_json:
        facts = {name: value for name, value in run.stored.items() if name not in ("serials", "epoch")}
        said = [{"at": _utc(at), "text": text} for at, text in view.events(run.id)]
        flows = view.flows(run.id)
        found = since(session, run)
        groups = grouped.as_objects(session, run) if run.total else []
        more = {"groups": groups, "facts": facts, "troubles": troubles, "events": said, "prefect_flow_runs": flows}
        print_json(as_object(run) | more | {"delivered_since": {"rows": found.states, "runs": found.runs}})
        return 0
    out.print(Text(f"{run.pipeline} · {run.file}", style="bold"))
    out.print(f"run {run.id}, {run.shown_as}, begun {local(run.created)} by {run.by}", markup=False)
    print_summary(session, run)
    if run.total:
        grouped.told(session, run)
    if events := view.events(run.id, 10):
        out.print("\nLast events:", style="bold")
        for at, text in reversed(events):
            out.print(f"  {local(at)}  {text}", markup=False)
    return 0


def print_summary(session: Session, run: Run) -> None:
    """Counts, pace, first troubles, and what can be done next."""
    if not run.total:  # the check did not come to its end
        out.print(Text(run.reason or "The file is not checked yet.", style="yellow"))
        for text in next_steps(run):
            out.print(text, markup=False)
        return
    out.print(counts_table(run))
    definition = session.definition(run)
    for text in pace(run, definition):
        out.print(text, markup=False)
    if run.reason:
        out.print(Text(run.reason, style="yellow"))
    for text in run.notices:
        out.print(Text(text, style="yellow"))
    found = since(session, run)
    if text := told(found):
        out.print(Text(text, style="yellow"))
    if troubles := list(first_troubles(session.view, run)):
        out.print(Text("\nFirst troubles:", style="bold"))
        out.print(troubles_table(troubles))
    for text in next_steps(run, found):
        out.print(text, markup=False)


def counts_table(run: Run) -> Table:
    """How many rows are in which state."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(justify="right")
    for word, count in run.shown_counts.items():
        if count or word == RowState.DONE:
            style = STYLES.get(word, "")
            meaning = "left alone: nothing to undo" if word == "skipped" and run.facts.undoes else MEANINGS[word]
            table.add_row(Text(f"{count:,}", style=style), Text(word, style=style), meaning)
    table.add_row(f"{run.total:,}", "in all")
    return table


def pace(run: Run, definition: Definition) -> Iterator[str]:
    """How fast it went, measured against what the limit allows, and what would make it faster."""
    terms = definition.terms
    windows, in_flight = terms.windows, terms.in_flight
    if not run.facts.sent:
        return
    width = min((seconds for _, seconds in windows), default=1.0)
    unit = "second" if width == 1 else duration(width)
    rate = f", {run.facts.rate:,.1f}/s" if run.facts.rate else ""  # too short to say
    yield (
        f"{run.facts.sent:,} requests in {duration(run.facts.seconds)}{rate}; "
        f"at most {run.facts.peak:,} in any {unit} (limit: {limit_words(windows, in_flight)})"
    )
    share, safe, trip = run.facts.used_of_limit, run.facts.used_of_guaranteed, run.facts.round_trip_seconds
    if not share:
        return
    yield f"That is {share:.0%} of the limit, and {safe:.0%} of what is safe at a mean round trip of {trip:.3f} s."
    if held := run.facts.held_by:
        most = next(iter(held))
        waits = ", ".join(f"{_of(why, _WAITS)} {duration(seconds)}" for why, seconds in held.items())
        yield f"What bound the pace most: {_of(most, _BOUNDS)}. It waited {waits}."
    gain = guaranteed_rate(replace(terms, late_seconds=LATE_SECONDS), trip) or 0.0
    if share < 0.6 and trip > LATE_SECONDS and terms.late_seconds is None and gain:
        needed = math.ceil(gain * trip)
        more = f" and `in_flight: {needed}`" if needed > in_flight else ""
        yield (
            f"If you know that a request reaches the API within {LATE_SECONDS} s, say `late_seconds: {LATE_SECONDS}`"
            f"{more} under `limit`: up to {gain:,.1f}/s would then be safe."
        )


def _of(why: str, words: Mapping[str, str]) -> str:
    """What was waited for, in words; with its name where there are several limits: `rate (account)`."""
    what, _, name = why.partition(" (")
    return f"{words.get(what, what)} ({name}" if name else words.get(what, what)


def first_troubles(view: View, run: Run) -> Iterator[dict[str, Any]]:
    """The first rejected, failed and unknown rows with their reasons."""
    for rejection in view.samples(run.id)[:FIRST]:
        at = {"row": rejection.row, "line": rejection.line, "place": run.facts.places.place(rejection.line)}
        yield at | {"result": RowState.REJECTED, "reason": rejection.why}
    for state in (RowState.FAILED, RowState.UNKNOWN):
        rows = view.select(run.id, [state], run.total)[:FIRST].tolist() if run.counts[state] else []
        for record in view.records(run.id, rows, names=(), created=run.created):
            yield {"row": record.row, "result": record.state, "status": record.status, "reason": record.reason}


def troubles_table(troubles: Iterable[dict[str, Any]]) -> Table:
    """Rows and why."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("row", justify="right")
    table.add_column("where", overflow="fold")
    table.add_column("result")
    table.add_column("why", overflow="fold")
    for item in troubles:
        state = Text(item["result"], style=STYLES.get(item["result"], ""))
        table.add_row(f"{item['row']:,}", Text(item.get("place", "")), state, Text(item["reason"]))
    return table


def rejections_table(rejections: Iterable[Any], place: Callable[[int, str], str]) -> Table:
    """Rejected rows: where, what and why. `place`: of a line and a column."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("where")
    for name in ("column", "why", "found"):
        table.add_column(name, overflow="fold")
    for rejection in rejections:
        for reason in rejection.reasons:
            table.add_row(Text(place(rejection.line, reason.column)), *_reason(reason))
    return table


def _reason(reason: Reason) -> tuple[Text, Text, Text]:
    found = repr(reason.value) if reason.value else ""
    return Text(reason.column or "(whole row)"), Text(reason.check), Text(found[:80])


def next_steps(run: Run, found: Since = NOTHING) -> Iterator[str]:
    """What a person may want to do now."""
    name = run.id[:SHORT]
    if run.busy:
        return
    if run.total:
        yield f"\nResults:  rowrelay export {name} --format csv --out results.csv"
    if run.to_correct:
        yield f"To mend:  rowrelay export {name} --rows troubled --out troubled.csv"
    if run.wrong and run.kind == "checked" and not run.facts.undoes:
        yield f"Or here:  rowrelay mend {name}"
    if run.counts[RowState.WAITING] or run.counts[RowState.SENDING] or not run.total:
        yield f"Resume:   rowrelay send --resume {name}"
    if _accepted(run):
        yield f"Ask now:  rowrelay send --resume {name} --rows accepted --wait"
    for state in (RowState.FAILED, RowState.UNKNOWN):
        if run.counts[state]:
            warning = "  (the API may have acted on them already)" if state is RowState.UNKNOWN else ""
            since = found.states.get(state, 0)
            if since == run.counts[state]:
                continue  # a later run has delivered all of them
            skip = f" --skip-delivered  ({since:,} of them delivered since)" if since else ""
            yield f"Again:    rowrelay send --resume {name} --rows {state}{skip}{warning}"


_BOUNDS = {
    "quarantine": "the wait to be sure that nothing sent before still counts",
    "rate": "the limit",
    "in flight": "`in_flight`, the most requests at once",
    "pause": "the API, which asked us to wait",
    "slowed": "the API, which said how much was left",
    "too much": "requests that cost more than a window holds",
    "redis": "Redis, which did not answer",
}
_WAITS = {
    "quarantine": "to be sure",
    "rate": "for the limit",
    "in flight": "for answers, because of in_flight,",
    "pause": "because the API asked for it",
    "slowed": "because the API said how much was left",
    "too much": "because requests cost more than a window holds,",
    "redis": "for Redis",
}
CHOICES: dict[str, tuple[RowState, ...] | None] = {
    "all": None,
    **{str(state): (state,) for state in RowState if state is not RowState.SENDING},
    "waiting": (RowState.WAITING, RowState.SENDING),
    "troubled": (RowState.REJECTED, RowState.FAILED),
}


def export(session: Session, run: Run, *, form: str | None, rows: str, target: str) -> int:
    """Write results to a file or standard output."""
    from flows.export.correctable import troubled_csv
    from flows.export.forms import FORMS
    from flows.export.layout import layout_of
    from flows.export.results import results

    spool = session.spool(run)
    if rows == "troubled" and form in (None, "csv"):
        parts = troubled_csv(session.view, spool, run)
    else:
        found = results(session.view, spool, run, states=CHOICES[rows])
        parts = FORMS[form or "json"](found, layout_of(session.view, run))
    if target == "-":
        return _to_standard_output(parts)
    with replacing(Path(target)) as file:
        for part in parts:
            file.write(part)
    err.print(f"{rows} rows of run {run.id[:SHORT]} are in {target}", markup=False, soft_wrap=True)
    return 0


def _to_standard_output(parts: Iterable[bytes]) -> int:
    for part in parts:
        sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()
    return 0


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its place only when it is complete. Raises FileError if it cannot be written."""
    special = path.exists() and not path.is_file()  # a device or a pipe must not be replaced by a file
    try:
        with path.open("wb") if special else whole_file(path) as file:
            yield file
    except OSError as exc:
        raise FileError(f"cannot be written: {exc.strerror}", file=str(path)) from exc
