"""How a run is getting on, for a person at a terminal: a live bar, or a plain line every few seconds.

Everything comes from the ledger and the limit in Redis, so it is the same whoever delivers the run.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import redis
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flows.errors import RowrelayError
from flows.ledger.run import Run
from flows.ledger.view import View
from flows.limit.pace import expected_seconds
from flows.limit.status import LimitStatus, most_urgent, status
from flows.records import RowState, RunState
from flows.words import duration

LIVE_SECONDS = 0.25
PLAIN_SECONDS = 5.0
RATE_SECONDS = 15.0  # a rate is what happened in this time
LONG_WAIT_SECONDS = 20.0  # from here on people are told how to end it
SURE_SECONDS = 3.0  # and is told when it is of so long at least
_SHOWN = (RowState.DONE, RowState.ACCEPTED, RowState.FAILED, RowState.UNKNOWN, RowState.REJECTED)
_ENDED = (RowState.DONE, RowState.ACCEPTED, RowState.FAILED, RowState.UNKNOWN)
STYLES: dict[str, str] = {
    RowState.DONE: "green",
    RowState.ACCEPTED: "cyan",
    RowState.FAILED: "red",
    RowState.UNKNOWN: "yellow",
    RowState.REJECTED: "magenta",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """What is known of a run at one moment. `rate` is rows a second that came to an end; `note` is ours to add."""

    run: Run
    limit: LimitStatus | None = None
    rate: float | None = None
    note: str = ""
    now: float = 0.0  # Unix seconds

    @property
    def left(self) -> int:
        """Rows that are not finished."""
        return self.run.total - self.run.finished_rows

    @property
    def left_seconds(self) -> float | None:
        """How long the rest will take, the wait before it included, as far as that is known."""
        windows = [(window.requests, window.seconds) for window in self.limit.windows] if self.limit else []
        seconds = expected_seconds(self.left, windows, self.rate)
        return None if seconds is None else seconds + (self.limit.wait_seconds(self.now) if self.limit else 0.0)


def waits_for(moment: Moment) -> str:
    """Why nothing is sent just now, if that is so."""
    limit = moment.limit
    if limit is None or moment.run.state is RunState.CHECKING:
        return ""
    if limit.latched:
        return f"shut out by the API ({limit.latch_reason})"
    if limit.paused_until:
        why = f" ({limit.pause_reason})" if limit.pause_reason else ""
        return f"pausing for {duration(limit.paused_until - moment.now)}{why}"
    if limit.quarantine_until and (left := limit.quarantine_until - moment.now) >= 0.5:
        trust = f" (`rowrelay limits trust {limit.name}` skips the wait, if nothing else was sent under this limit)"
        more = trust if left > LONG_WAIT_SECONDS else ""
        return f"waiting to be sure for {duration(left)}: {limit.quarantine_reason}{more}"
    return ""


def line(moment: Moment) -> str:
    """The moment as one plain line."""
    run = moment.run
    if run.state is RunState.CHECKING:
        return " · ".join(part for part in (_checking(run), moment.note) if part)
    if not run.total:
        return moment.note or f"{run.state}"
    percent = 100 * run.finished_rows // run.total
    parts = [f"{percent} % of {run.total:,}", *(f"{run.shown_counts[state]:,} {state}" for state in _shown(run))]
    return " · ".join(part for part in (*parts, _pace(moment), waits_for(moment), moment.note) if part)


def _checking(run: Run) -> str:
    size = run.facts.file_bytes
    share = f", {100 * run.facts.checked_bytes / size:.0f} % of the file" if size else ""
    return f"checking: {run.facts.checked_rows:,} rows{share}"


def _pace(moment: Moment) -> str:
    parts = []
    if moment.rate is not None:
        parts.append(f"{moment.rate:,.1f}/s")
    if moment.limit is not None and moment.limit.windows:
        parts.append(f"limit {moment.limit.allowed}")
    if moment.left and (seconds := moment.left_seconds) is not None:
        parts.append(f"{duration(seconds)} left")
    return ", ".join(parts)


def bar(moment: Moment) -> RenderableType:
    """The moment as two or three live lines."""
    run = moment.run
    checking = run.state is RunState.CHECKING
    size, done = (run.facts.file_bytes, run.facts.checked_bytes) if checking else (run.total, run.finished_rows)
    top = Table.grid(padding=(0, 1))
    top.add_row(
        ProgressBar(total=max(size, 1), completed=done, width=40),
        Text(_checking(run) if checking else f"{done:,} of {run.total:,}"),
        Text("" if checking else _pace(moment), style="cyan"),
    )
    lines: list[RenderableType] = [top]
    if not checking:
        lines.append(Text(" · ").join(_counted(run, state) for state in _shown(run)))
    if waits := ". ".join(part for part in (waits_for(moment), moment.note) if part):
        lines.append(Text(waits, style="yellow"))
    return Group(*lines)


def _shown(run: Run) -> tuple[str, ...]:
    shown = tuple(state for state in _SHOWN if state is not RowState.ACCEPTED or run.counts[state])
    return (*shown, "skipped") if run.skipped else shown


def _counted(run: Run, word: str) -> Text:
    count = run.shown_counts[word]
    return Text(f"{count:,} {word}", style=STYLES.get(word, "") if count else "dim")


class Rate:
    """Rows a second that came to an end of late."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, now: float, ended: int) -> float | None:
        """So many have ended by now; the rate, once there is one."""
        if self._seen and ended == self._seen[0][1]:
            self._seen.clear()  # nothing has ended since: waiting to begin says nothing about the rate
        self._seen.append((now, ended))
        while len(self._seen) > 1 and self._seen[1][0] <= now - RATE_SECONDS:
            self._seen.popleft()
        first, before = self._seen[0]
        return (ended - before) / (now - first) if ended > before and now - first >= SURE_SECONDS else None


class Progress(threading.Thread):
    """Shows a run until `stop`: live on a terminal, else in lines. `tick` is called each time, whatever Redis says."""

    def __init__(self, client: redis.Redis, run: str, console: Console, *, tick: Callable[[], str]) -> None:
        super().__init__(name="progress", daemon=True)
        self._client, self._view, self._run, self._console, self._tick = client, View(client), run, console, tick
        self._rate = Rate()
        self._over = threading.Event()
        self._last: Moment | None = None
        self._heard = time.time()

    def run(self) -> None:
        """Work until stopped."""
        if not self._console.is_terminal:
            self._lines()
            return
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while not self._over.wait(LIVE_SECONDS):
                if moment := self.look():
                    live.update(bar(moment), refresh=True)

    @property
    def checking(self) -> bool:
        """Whether the file is still being checked, as far as is known."""
        return self._last is None or self._last.run.state is RunState.CHECKING

    def stop(self) -> None:
        """End, and wait for it."""
        self._over.set()
        self.join()

    def look(self) -> Moment | None:
        """The present moment; the last one with a note if Redis does not answer."""
        note = self._tick()
        try:
            run = self._view.run(self._run)
            name = run.facts.limit
            known = [status(self._client, each) for each in name.split(", ")] if name else []
            limit = most_urgent(known) if known else None
            self._tell()
        except (redis.RedisError, RowrelayError):
            if self._last is None:
                return None
            away = "Redis does not answer; nothing is sent until it does"
            return Moment(self._last.run, None, None, ". ".join(part for part in (away, note) if part), time.time())
        ended = sum(run.counts[state] for state in _ENDED)
        rate = self._rate.note(time.monotonic(), ended) if run.state is RunState.SENDING else None
        self._last = Moment(run, limit, rate, note, time.time())
        return self._last

    def _tell(self) -> None:
        """Say what has happened since the last look: a pause, a restart of Redis, the reason of a stop."""
        news = [(at, text) for at, text in self._view.events(self._run, 25) if at > self._heard]
        for at, text in reversed(news):
            self._heard = max(self._heard, at)
            clock = time.strftime("%H:%M:%S", time.localtime(at))
            self._console.print(f"{clock} {text}", highlight=False, markup=False)

    def _lines(self) -> None:
        due, said = time.monotonic() + 1.0, ""
        while not self._over.wait(LIVE_SECONDS):
            note = self._tick()
            if note == said and time.monotonic() < due:
                continue
            said, due = note, time.monotonic() + PLAIN_SECONDS
            self._line()
        self._line()  # a log that ends at 84 % leaves its reader guessing

    def _line(self) -> None:
        if moment := self.look():
            self._console.print(line(moment), highlight=False, markup=False, soft_wrap=True)
