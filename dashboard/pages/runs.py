"""Runs: all of them, newest first, to search and filter."""

from __future__ import annotations

import streamlit as st

from dashboard.parts import cached, delivered_since, runs, theme
from dashboard.parts.cached import show_errors
from dashboard.parts.html import tag

PAGE = 25

st.html(tag("div", tag("h1", "Runs"), cls="rr-head"))
wanted = runs.filters()


@st.fragment(run_every=3.0)
def table() -> None:
    """The runs that fit, a page of them."""
    with show_errors(trying_again=True):
        at = cached.locale()
        _, fitting, every = cached.runs(0, PAGE, wanted)
        if not every:
            st.html(theme.empty("No run yet.", tag("a", "Send a file", href="./"), "How it goes will be seen here."))
            return
        if not fitting:
            named = "No run fits." if not wanted.search else "No run has such a name."
            st.html(theme.empty(named, f"Clear the search to see all {at.number(every)}."))
            st.button("Clear the search", on_click=runs.clear)
            return
        pages = -(-fitting // PAGE)
        with st.container():
            shown = st.container()
            number = st.pagination(pages, key="page", bind="query-params") if pages > 1 else 1
        found, _, _ = cached.runs((min(number, pages) - 1) * PAGE, PAGE, wanted)
        with shown:
            st.html(runs.table(found, at, delivered_since.of_all(found)))
        fit = (" fits" if fitting == 1 else " fit") if fitting < every else ""
        st.caption(f"{at.number(fitting)} run{'s' if fitting != 1 else ''}{fit}. Times are in {at.place}.")


runs.in_rows(wanted)
table()
