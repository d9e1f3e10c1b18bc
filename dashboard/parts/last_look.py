"""What a schedule's last run came to, on its card: what it took, what it passed over and why, and where that lies."""

from __future__ import annotations

from dashboard.parts import cached, theme
from dashboard.parts.html import Content, tag
from dashboard.parts.locale import Locale
from dashboard.prefect_api.schedules import Schedule
from dashboard.prefect_api.server import FlowRun
from flows.flow_runs.names import INBOX
from flows.intake.fate import Fate, Taken

_SHOWN = 8  # files


def last(each: Schedule, at: Locale) -> Content:
    """When it ran last and how that ended, the way to the run where it made one, and its files."""
    if each.last is None:
        return "has not run yet"
    words = f"{each.last.state}, {at.day_and_time(each.last.expected)}"
    run = cached.run(each.last.id)
    when = tag("a", words, href=f"run?id={run.id}", target="_self") if run else words
    return theme.lines(when, each.last.message, *_files(each, each.last, at))


def _files(each: Schedule, run: FlowRun, at: Locale) -> list[Content]:
    if each.deployment.flow != INBOX or not run.ended:
        return []
    taken = sorted(cached.taken_by(run.id), key=lambda file: file.fate is Fate.DELIVERED)  # what is to be seen first
    left = len(taken) - _SHOWN
    return [*map(_file, taken[:_SHOWN]), f"and {at.number(left)} more" if left > 0 else None]


def _file(taken: Taken) -> Content:
    name = tag("a", taken.name, href=f"run?id={taken.run}", target="_self") if taken.run else taken.name
    said = f": {taken.fate}" + (f", {taken.note}" if taken.note else "")
    said = f"{said.rstrip('.')}. "
    where = ("It lies in ", tag("code", taken.where)) if taken.where else ()
    return tag("span", name, said, *where)
