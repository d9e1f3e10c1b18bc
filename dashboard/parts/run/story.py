"""The middle of the Run page: charts and events. They cost more and move less than the figures above."""

from __future__ import annotations

import time

import streamlit as st

from dashboard.parts import cached
from dashboard.parts.cached import locale, show_errors
from dashboard.parts.html import tag
from dashboard.parts.locale import Locale
from dashboard.parts.run import charts
from dashboard.parts.run.charts import Chart
from dashboard.parts.run.figures import shortest
from dashboard.prefect_api.sending import Sending
from flows.ledger.run import Run
from flows.pipeline.definition import Definition

STORY_SECONDS = 5.0


def show(name: str) -> None:
    """Charts of what was sent and what became of it, and what happened."""
    with show_errors(wake=True):
        run = cached.run(name)
        if run is None or not run.total:
            return
        _charts(run, cached.definition(run.id, run.facts.epoch))
        _events(run, locale())


def _charts(run: Run, definition: Definition) -> None:
    seconds, minutes = cached.chart(run.id, "seconds"), cached.chart(run.id, "minutes")
    if not seconds and not minutes:
        return
    window = shortest(definition.terms)
    allowed = window[0] / window[1] if window else None
    left, right = st.columns(2, gap="medium")
    now = time.time() if run.busy else max(seconds, default=time.time()) + 1
    with left:
        if seconds:
            _draw("Requests per second", charts.requests_per_second(seconds, now=now, limit=allowed), f"rate-{run.id}")
    with right:
        _draw("Outcomes over time", cached.story(run.id), f"outcomes-{run.id}")


def _draw(title: str, chart: Chart, key: str) -> None:
    st.html(tag("div", title, cls="rr-label"))
    st.vega_lite_chart(chart.data, chart.spec, alt=chart.alt, key=key, width="stretch")


def _events(run: Run, at: Locale) -> None:
    found = cached.events(run.id)
    sendings = cached.sendings(run.id)
    with st.expander(
        "Events and Prefect", expanded=bool(found) and run.busy, icon=":material/history:", key=f"ev-{run.id}"
    ):
        if found:
            pairs = [part for when, text in found for part in (tag("dt", at.time(when, seconds=True)), tag("dd", text))]
            st.html(tag("dl", *pairs, cls="rr-events", tabindex=0))
        else:
            st.html(tag("div", "Nothing out of the ordinary.", cls="rr-muted"))
        st.html(tag("div", "Each check and each sending of this file, in Prefect", cls="rr-label"))
        links = [tag("a", _named(each, at), href=each.page, target="_blank", rel="noopener") for each in sendings]
        st.html(tag("div", *links, tag("span", f"Run {run.id}", cls="rr-muted"), cls="rr-links rr-small"))


def _named(sending: Sending, at: Locale) -> str:
    return sending.words + (f", {at.time(sending.at)}" if sending.at else "")
