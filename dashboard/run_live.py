"""The upper half of the Run page: what changes by itself. A refresh costs the same for ten rows and for a million."""

from __future__ import annotations

import time

import streamlit as st

from dashboard import charts, data, look, preview
from dashboard.charts import Chart
from dashboard.data import calm, reader
from dashboard.look import notice
from dashboard.markup import Markup, join, tag
from dashboard.reader import Reader, duration
from flows.errors import RowrelayError
from flows.ledger.view import Run
from flows.pipeline.definition import Definition
from flows.records import RowState

LIVE_SECONDS, IDLE_SECONDS = 2.0, 5.0  # a refresh costs some 10 ms of one core, a tab
STORY_SECONDS = 5.0
LATE_SECONDS = 45.0


def pace_of(run: Run) -> float:
    """How often to look. A run at rest may be resumed by somebody else, so it is looked at, too."""
    return LIVE_SECONDS if run.busy or data.waits(run) else IDLE_SECONDS


def mark(run: Run) -> str:
    """What the rest of the page depends on; when it changes, all of the page is drawn anew."""
    lost = run.counts[RowState.UNKNOWN] > 0
    trouble = run.counts[RowState.REJECTED] + run.counts[RowState.FAILED] > 0
    return f"{look.run_kind(run)} {run.busy} {data.waits(run)} {run.total > 0} {lost} {trouble}"


def show(name: str, before: str) -> None:
    """State, counts and figures: cheap enough for every second and twenty tabs."""
    with calm(trying_again=True):
        run = data.run(name)
        if run is None or mark(run) != before:
            st.rerun()
        definition = data.definition(run.id, run.facts.get("epoch", ""))
        data.awake()
        at = reader()
        parts = [_head(run, definition, at), *_state_in_words(run, definition)]
        if run.total:
            parts += [_counts(run, at), _figures(run, definition, data.chart(run.id, "seconds"), at)]
        st.html(tag("div", *parts, cls="rr-live"))


def story(name: str) -> None:
    """Charts and events: they cost more and move less, so they are looked at less often."""
    with calm(wake=True):
        run = data.run(name)
        if run is None or not run.total:
            return
        _charts(run, data.definition(run.id, run.facts.get("epoch", "")))
        _events(run, reader())


# -- head and state ----------------------------------------------------------------------------------------------------


def _head(run: Run, definition: Definition, at: Reader) -> Markup:
    kind = "starting" if data.waits(run) else look.run_kind(run)
    title = tag("h1", run.facts.get("name") or run.file)
    target = "the stand-in on this machine" if preview.goes_to_stand_in(definition) else preview.host_of(definition)
    ended = f", ended {at.time(run.ended)}" if run.ended and not run.busy else ""
    about = f"{run.pipeline} to {target} · started {at.time(run.created)} by {run.by}{ended}"
    return join(tag("div", title, look.chip(look.RUN[kind]), cls="rr-head"), tag("div", about, cls="rr-muted rr-small"))


def _state_in_words(run: Run, definition: Definition) -> list[Markup]:
    kind = look.run_kind(run)
    if data.waits(run):
        waited = time.time() - run.fact("asked_at")
        if waited > LATE_SECONDS:
            todo = "Is a runner there? The Status page says so. You can cancel the wish."
            return [notice("warn", f"Asked for, and nobody has taken it up for {duration(waited)}.", todo)]
        return [notice("info", "Asked for, waiting for a runner to take it up.", "This takes a few seconds.")]
    if kind == "stopped":
        message, hint = look.reason(run)
        stays = "What is finished stays finished; the rest can be resumed." if run.total else "Nothing was sent."
        return [notice("bad", message or "The run stopped.", hint, stays)]
    if kind == "interrupted":
        if not run.total:
            return [notice("warn", "The check was interrupted.", "Nothing was sent. Check the file again.")]
        stays = "Nothing that was recorded is lost. Resume it to send the rest."
        return [notice("warn", "Whoever delivered this run is gone.", stays)]
    if kind == "checked":
        link = tag("a", "See what the check found", href=f"./?run={run.id}")
        return [notice("info", "Checked, nothing sent yet.", link)]
    if kind == "cancelling":
        return [notice("info", "Cancelled: the requests under way are waited for.")]
    if kind == "checking":
        done, total = run.fact("checked_bytes"), run.fact("file_bytes")
        return [notice("info", f"Checking the file: {100 * done / total if total else 0:.0f} % read.")]
    return _limit_in_words(definition) if run.busy and run.total else []


def _limit_in_words(definition: Definition) -> list[Markup]:
    try:
        limit = data.limit(definition.limit.name)
    except RowrelayError:
        return []
    if limit.latched:
        return [notice("bad", f"The API has shut us out: {limit.latch_reason}", "See the Status page for what to do.")]
    if limit.paused_until:
        left = duration(limit.paused_until - time.time())
        return [notice("warn", f"The API asked us to wait {left} more.", limit.pause_reason)]
    if limit.quarantine_until:
        left = duration(limit.quarantine_until - time.time())
        return [notice("info", f"Waiting to be sure, {left} more.", limit.quarantine_reason)]
    return []


# -- counts and figures ------------------------------------------------------------------------------------------------


def _counts(run: Run, at: Reader) -> Markup:
    shown = {state: at.number(count) for state, count in run.counts.items()}
    legend = look.legend(run.counts, shown, at.number(run.total))
    return tag("div", look.bar(run.counts, run.total), legend, style="margin-top:.6rem")


def _figures(run: Run, definition: Definition, seconds: charts.Series, at: Reader) -> Markup:
    terms = definition.limit.terms(definition)
    allowed = preview.per_second(terms)
    left = run.counts[RowState.WAITING] + run.counts[RowState.SENDING]
    window = preview.shortest(terms)
    peak = int(run.fact("peak"))
    cells = []
    if run.busy:
        rate = charts.rate_now(seconds, time.time())
        cells.append(("Rate now", f"{at.rate(rate)}/s", f"limit: {data.pace(terms)}"))
        cells.append(("Time left", _time_left(left, rate, allowed), f"{at.number(left)} rows to go"))
    else:
        rate = run.fact("rate")
        cells.append(("Rate", f"{at.rate(rate)}/s" if rate else "–", f"limit: {data.pace(terms)}"))
        cells.append(("Sending took", duration(run.fact("seconds")) if rate else "–", _share_of_limit(run)))
    if window:
        name = "second" if window[1] == 1 else duration(window[1])
        note = f"of {at.number(window[0])} allowed"
        cells.append((f"Worst {name} so far" if run.busy else f"Worst {name}", at.number(peak) if peak else "–", note))
    sent = int(run.fact("sent")) or sum(each.get("sent", 0) for each in seconds.values())
    cells.append(("Finished", _percent(run.finished_rows, run.total), f"{at.number(run.finished_rows)} rows"))
    if not run.busy and sent:
        cells.append(("Requests", at.number(sent), "retries included"))
    return look.numbers(*cells)


def _percent(part: int, whole: int) -> str:
    """Rounded down: 100 % is when nothing is left."""
    return f"{100 * part // whole} %"


def _time_left(rows: int, rate: float, allowed: float | None) -> str:
    pace = rate or allowed
    return duration(rows / pace) if pace and rows else ("–" if rows else "done")


def _share_of_limit(run: Run) -> str:
    share = run.fact("used_of_guaranteed")
    return f"{100 * share:.0f} % of what is safe" if share else ""


def _charts(run: Run, definition: Definition) -> None:
    seconds, minutes = data.chart(run.id, "seconds"), data.chart(run.id, "minutes")
    if not seconds and not minutes:
        return
    shortest = preview.shortest(definition.limit.terms(definition))
    allowed = shortest[0] / shortest[1] if shortest else None
    left, right = st.columns(2, gap="medium")
    now = time.time() if run.busy else max(seconds, default=time.time()) + 1
    with left:
        if seconds:
            _draw("Requests per second", charts.requests_per_second(seconds, now=now, limit=allowed), f"rate-{run.id}")
    with right:
        _draw("Outcomes over time", data.story(run.id), f"outcomes-{run.id}")


def _draw(title: str, chart: Chart, key: str) -> None:
    st.html(tag("div", title, cls="rr-label"))
    st.vega_lite_chart(chart.data, chart.spec, alt=chart.alt, key=key, width="stretch")


# -- events ------------------------------------------------------------------------------------------------------------


def _events(run: Run, at: Reader) -> None:
    found = data.events(run.id)
    flows = data.flows(run.id)
    with st.expander(
        "Events and Prefect", expanded=bool(found) and run.busy, icon=":material/history:", key=f"ev-{run.id}"
    ):
        if found:
            pairs = [part for when, text in found for part in (tag("dt", at.time(when, seconds=True)), tag("dd", text))]
            st.html(tag("dl", *pairs, cls="rr-events", tabindex=0))
        else:
            st.html(tag("div", "Nothing out of the ordinary.", cls="rr-muted"))
        links = [tag("a", f"Delivery {n} in Prefect", href=_prefect(flow), target="_blank", rel="noopener")
                 for n, flow in enumerate(flows, 1) if _prefect(flow)]  # fmt: skip
        st.html(tag("div", *links, tag("span", f"Run {run.id}", cls="rr-muted"), cls="rr-links rr-small"))


def _prefect(flow: str) -> str:
    from dashboard.prefect_api import page_of

    try:
        return page_of(flow)
    except RowrelayError:
        return ""
