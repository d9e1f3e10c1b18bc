"""What a schedule's last run came to, on its card: what it took, what it passed over and why, and where that lies."""

from __future__ import annotations

from dashboard.parts import cached, theme
from dashboard.parts.html import Content, Markup, tag
from dashboard.parts.locale import Locale
from dashboard.prefect_api.schedules import Schedule
from flows.flow_runs.names import INBOX
from flows.intake.fate import Fate, Taken

_SHOWN = 8  # files


def last(each: Schedule, at: Locale) -> Content:
    """When it ran last and how that ended, and the way to the run where it made one."""
    if each.last is None:
        return "has not run yet"
    words = f"{each.last.state}, {at.day_and_time(each.last.expected)}"
    run = cached.run(each.last.id)
    when = tag("a", words, href=f"run?id={run.id}", target="_self") if run else words
    return theme.lines(when, each.last.message)


def files(each: Schedule, at: Locale) -> Markup | None:
    """What became of each file that it found then, those first that a person may want to look at. Raises StackError."""
    if each.last is None or each.deployment.flow != INBOX or not each.last.ended:
        return None
    taken = sorted(cached.taken_by(each.last.id), key=lambda file: file.fate is Fate.DELIVERED)
    if not taken:
        return None
    left = len(taken) - _SHOWN
    more = [tag("li", f"and {at.number(left)} more")] if left > 0 else []
    return tag("ul", *(tag("li", _file(file)) for file in taken[:_SHOWN]), *more, cls="rr-list rr-small")


def _file(taken: Taken) -> Markup:
    name = tag("a", taken.name, href=f"run?id={taken.run}", target="_self") if taken.run else taken.name
    said = f": {taken.fate}" + (f", {taken.note}" if taken.note else "")
    said = f"{said.rstrip('.')}. "
    where = ("It lies in ", tag("code", taken.where)) if taken.where else ()
    return tag("span", name, said, *where)
