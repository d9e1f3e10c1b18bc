"""The figures of a run: how many rows are in which state, how fast it goes, how long it takes."""

from __future__ import annotations

import time

from dashboard.parts import cached, theme
from dashboard.parts.estimate import wait_seconds
from dashboard.parts.html import Markup, tag
from dashboard.parts.locale import Locale
from dashboard.parts.run import charts
from flows.client.outlook import number_of_requests
from flows.ledger.run import Run
from flows.limit.pace import expected_seconds
from flows.pipeline.definition import Definition
from flows.records import LimitTerms, RowState
from flows.words import duration


def counts(run: Run, at: Locale) -> Markup:
    """The rows by state, as a bar and in numbers that lead to them."""
    counts = run.shown_counts
    legend = theme.legend(counts, run.total, at.number, f"run?id={run.id}&state=")
    return tag("div", theme.bar(counts, run.total), legend, style="margin-top:.6rem")


def figures(run: Run, definition: Definition, seconds: charts.Series, at: Locale) -> Markup:
    """Rate, time, worst window and progress, side by side."""
    terms = definition.terms
    left = run.counts[RowState.WAITING] + run.counts[RowState.SENDING]
    window = shortest(terms)
    peak = run.facts.peak or (charts.most_in(seconds, window[1]) if window else 0)  # the fact is noted at the end
    cells = []
    if run.busy:
        rate = charts.rate_now(seconds, time.time())
        cells.append(("Rate now", f"{at.rate(rate)}/s", f"limit: {cached.pace(terms)}"))
        seen = charts.has_sent_for_a_while(seconds, time.time())
        cells.append(
            (
                "Time left",
                _time_left(number_of_requests(definition, left).likely, rate if seen else None, terms),
                f"{_rows(left, at)} to go",
            )
        )
    else:
        rate = run.facts.rate
        cells.append(("Rate", f"{at.rate(rate)}/s" if rate else "–", f"limit: {cached.pace(terms)}"))
        cells.append(("Sending took", duration(run.facts.seconds) if rate else "–", _share_of_limit(run)))
    if window:
        name = "second" if window[1] == 1 else duration(window[1])
        note = f"of {at.number(window[0])} allowed"
        cells.append((f"Worst {name} so far" if run.busy else f"Worst {name}", at.number(peak) if peak else "–", note))
    sent = run.facts.sent or sum(each.get("sent", 0) for each in seconds.values())
    cells.append(("Finished", _percent(run.decided_rows, run.total), _rows(run.decided_rows, at)))
    if not run.busy and sent:
        cells.append(("Requests", at.number(sent), "retries included"))
    return theme.numbers(*cells)


def _rows(count: int, at: Locale) -> str:
    return "1 row" if count == 1 else f"{at.number(count)} rows"


def _percent(part: int, whole: int) -> str:
    """Rounded down: 100 % is when nothing is left."""
    return f"{100 * part // whole} %"


def _time_left(requests: int, rate: float | None, terms: LimitTerms) -> str:
    """`rate` is None as long as too little was sent for one: a guess from the first second would be far off."""
    if not requests:
        return "done"
    seconds = expected_seconds(requests, terms.windows, rate)
    if seconds is None:
        return duration(None)
    left = seconds + wait_seconds(terms)
    if rate is None:
        return "under a minute" if left < 60 else f"at least {duration(left)}"
    return duration(left)


def _share_of_limit(run: Run) -> str:
    share = run.facts.used_of_guaranteed
    return f"{100 * share:.0f} % of what is safe" if share else ""


def shortest(terms: LimitTerms) -> tuple[int, float] | None:
    """The shortest window: what bounds a second, and what "worst window" is about."""
    return min(terms.windows, key=lambda window: window[1], default=None)
