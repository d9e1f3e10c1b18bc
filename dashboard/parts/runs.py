"""The list of runs as a table, and what can be asked of it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard.parts import theme
from dashboard.parts.cached import known_pipelines
from dashboard.parts.html import Markup, tag
from dashboard.parts.locale import Locale
from dashboard.words import RUN
from flows.errors import RowrelayError
from flows.ledger.run import Run
from flows.records import RowState

_ALL = "all"


def filters() -> tuple[str, str, str]:
    """What to search for, and which pipeline and state to show; all of it is in the address."""
    try:
        names = list(known_pipelines())
    except RowrelayError:
        names = []
    left, middle, right = st.columns([3, 1.2, 1.2])
    search = left.text_input(
        "Search",
        key="search",
        bind="query-params",
        placeholder="File, pipeline, who started it, id",
        icon=":material/search:",
        live=True,
    )
    pipeline = middle.selectbox("Pipeline", [_ALL, *names], key="pipeline", bind="query-params")
    # The words themselves are the options, because they are what stands in the address.
    kinds = {look.word: kind for kind, look in RUN.items()}
    word = right.selectbox("State", [_ALL, *kinds], key="state", bind="query-params")
    return search or "", "" if pipeline == _ALL else pipeline, kinds.get(word, "")


def clear() -> None:
    """Show all runs again."""
    st.session_state.update(search="", pipeline=_ALL, state=_ALL)


def table(runs: Sequence[Run], locale: Locale) -> Markup:
    """One line a run. On a narrow screen the less important columns are left out."""
    head = tag(
        "tr",
        tag("th", "File", scope="col"),
        tag("th", "State", scope="col"),
        tag("th", "Rows", scope="col", cls="rr-progress"),
        tag("th", "Done", scope="col", cls="rr-right"),
        tag("th", "Not done", scope="col", cls="rr-right rr-wide", title="rejected, failed or unknown"),
        tag("th", "Started", scope="col", cls="rr-wide"),
    )
    body = tag("tbody", *(_line(run, locale) for run in runs))
    return tag("div", tag("table", tag("thead", head), body, cls="rr-table rr-runs"), cls="rr-scroll")


def _line(run: Run, locale: Locale) -> Markup:
    counts = run.counts
    trouble = run.to_correct + counts[RowState.UNKNOWN]
    name = run.facts.name or run.file
    return tag(
        "tr",
        tag("td", tag("a", name, href=f"run?id={run.id}"), tag("div", run.pipeline, cls="rr-muted rr-small")),
        tag("td", theme.chip(RUN[run.kind])),
        tag("td", theme.bar(run.shown_counts, run.total, thin=True), cls="rr-progress"),
        tag("td", locale.number(counts[RowState.DONE]),
            tag("div", f"of {locale.number(run.total)}", cls="rr-muted rr-small"), cls="rr-right"),
        tag("td", locale.number(trouble) if trouble else "–", cls="rr-right rr-wide"),
        tag("td", locale.time(run.created), tag("div", run.by, cls="rr-muted rr-small"), cls="rr-wide"),
    )  # fmt: skip
