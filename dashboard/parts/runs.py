"""The list of runs as a table, and what can be asked of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time
from urllib.parse import urlencode

import streamlit as st

from dashboard.parts import cached, theme
from dashboard.parts.cached import known_pipelines, locale, show_errors
from dashboard.parts.html import Markup, tag
from dashboard.parts.locale import Locale
from dashboard.rows.across import Hit
from dashboard.rows.question import Found
from dashboard.run_list import RunFilter
from dashboard.words import ROW, RUN, SKIPPED
from flows.errors import RowrelayError
from flows.ledger.run import Run
from flows.records import RowState
from flows.sheet import plain

_ALL = "all"
_AT_ONCE, _LOOK_SECONDS = 200, 5.0  # runs and time of one look through rows
_FEW_RUNS, _SHORT_LOOK_SECONDS, _FEW_CHARACTERS = 3, 1.5, 3  # a look without a click, while somebody may be typing


def filters() -> RunFilter:
    """Which runs to show; but for the days, all of it is in the address."""
    try:
        names = list(known_pipelines())
    except RowrelayError:
        names = []
    left, middle, right, last = st.columns([2.8, 1.2, 1.2, 0.8], vertical_alignment="bottom")
    search = left.text_input(
        "Search",
        key="find",
        bind="query-params",
        placeholder="File, pipeline, who, id, or text in a row",
        icon=":material/search:",
        live=True,
    )
    pipeline = middle.selectbox("Pipeline", [_ALL, *names], key="of", bind="query-params")
    # The words themselves are the options, because they are what stands in the address.
    kinds = {look.word: kind for kind, look in RUN.items()}
    word = right.selectbox("State", [_ALL, *kinds], key="kind", bind="query-params")
    with last.popover("Days", icon=":material/calendar_month:", width="stretch"):
        first = st.date_input("From", value=None, key="since", format="YYYY-MM-DD")
        final = st.date_input("To", value=None, key="until", format="YYYY-MM-DD")
    zone = locale().zone
    return RunFilter(
        search or "",
        "" if pipeline == _ALL else pipeline,
        kinds.get(word, ""),
        datetime.combine(first, time.min, zone).timestamp() if isinstance(first, date) else 0.0,
        datetime.combine(final, time.max, zone).timestamp() if isinstance(final, date) else 0.0,
    )


def clear() -> None:
    """Show all runs again."""
    st.session_state.update(find="", of=_ALL, kind=_ALL, since=None, until=None)


def in_rows(wanted: RunFilter) -> None:
    """The runs that have what is searched for in one of their rows: on request, or where few runs fit by name."""
    text = wanted.search.strip()
    if not text:
        return
    with show_errors():
        asked = st.session_state.get("in_rows") == text
        few = len(text) >= _FEW_CHARACTERS and cached.runs(0, 1, wanted)[1] <= _FEW_RUNS
        if not asked and not few:
            _offer(text)
            return
        with st.spinner("Looking through the rows, the newest runs first …"):
            runs, fitting, every = cached.runs(0, _AT_ONCE, replace(wanted, search=""))
            hits, looked = cached.in_rows(text, _LOOK_SECONDS if asked else _SHORT_LOOK_SECONDS, runs)
        if not every:
            return
        at = locale()
        seen = f"the newest {at.number(looked)} of {at.number(fitting)} runs"
        with st.container(border=True):
            st.html(tag("div", f"Rows with “{text}”" if hits else f"No row has “{text}”.", cls="rr-notice-title"))
            for hit in hits:
                st.html(_hit(hit, text, at))
            if looked < fitting:
                st.caption(f"Looked through were {seen}." + (" Choose days to look at others." if asked else ""))
                if not asked:
                    _offer(text)


def _offer(text: str) -> None:
    look = {"in_rows": text}
    label, icon = f"Look for “{text}” in the rows", ":material/manage_search:"
    st.button(label, icon=icon, on_click=st.session_state.update, kwargs=look)


def _hit(hit: Hit, text: str, at: Locale) -> Markup:
    run, rows = hit.run, "row" if hit.matching == 1 else "rows"
    address = f"run?{urlencode({'id': run.id, 'search': text})}"
    named = [tag("span", _state(found), tag("span", _named(found, hit.key)), cls="rr-head") for found in hit.rows]
    more = tag("span", "…") if hit.matching > len(named) else None
    link = tag("a", run.facts.name or run.file, href=address, target="_self")
    about = f"{run.pipeline} · {at.time(run.created)} · {at.number(hit.matching)} {rows}"
    head = tag("div", link, tag("span", about, cls="rr-muted rr-small"), cls="rr-head")
    return tag("div", head, tag("div", *named, more, cls="rr-head rr-small"))


def _state(found: Found) -> Markup:
    """What became of the row itself: its run may have ended otherwise."""
    return theme.chip(SKIPPED if found.skipped else ROW[found.record.state])


def _named(found: Found, key: Sequence[str]) -> str:
    return "; ".join(plain(found.values.get(name)) for name in key)


def table(runs: Sequence[Run], locale: Locale, since: Mapping[str, int]) -> Markup:
    """One line a run. On a narrow screen the less important columns are left out.

    `since`: so many of the rows that a run, by its id, did not get done were delivered by a later one.
    """
    head = tag(
        "tr",
        tag("th", "File", scope="col"),
        tag("th", "State", scope="col"),
        tag("th", "Rows", scope="col", cls="rr-progress"),
        tag("th", "Done", scope="col", cls="rr-right"),
        tag("th", "Not done", scope="col", cls="rr-right rr-wide", title="rejected, failed or unknown"),
        tag("th", "Started", scope="col", cls="rr-wide"),
    )
    body = tag("tbody", *(_line(run, locale, since.get(run.id, 0)) for run in runs))
    return tag("div", tag("table", tag("thead", head), body, cls="rr-table rr-runs"), cls="rr-scroll")


def _line(run: Run, locale: Locale, since: int) -> Markup:
    counts = run.counts
    trouble = run.to_correct + counts[RowState.UNKNOWN]
    name = run.facts.name or run.file
    return tag(
        "tr",
        tag("td", tag("a", name, href=f"run?id={run.id}"), tag("div", run.pipeline, cls="rr-muted rr-small"),
            tag("div", locale.time(run.created), cls="rr-muted rr-small rr-narrow")),
        tag("td", theme.chip(RUN["starting" if cached.waits(run) else run.kind]),
            tag("div", f"{locale.number(since)} delivered since", cls="rr-muted rr-small") if since else None),
        tag("td", theme.bar(run.shown_counts, run.total, thin=True), cls="rr-progress"),
        tag("td", locale.number(counts[RowState.DONE]),
            tag("div", f"of {locale.number(run.total)}", cls="rr-muted rr-small"),
            tag("div", f"{locale.number(trouble)} not", cls="rr-muted rr-small rr-narrow") if trouble else None,
            cls="rr-right"),
        tag("td", locale.number(trouble) if trouble else "–", cls="rr-right rr-wide"),
        tag("td", locale.time(run.created), tag("div", run.by, cls="rr-muted rr-small"), cls="rr-wide"),
    )  # fmt: skip
