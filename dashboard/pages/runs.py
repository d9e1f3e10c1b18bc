"""Runs: all of them, newest first, to search and filter."""

from __future__ import annotations

import streamlit as st

from dashboard import data, look, runs_table
from dashboard.data import calm
from dashboard.markup import tag
from dashboard.run_list import find

PAGE = 25

st.html(tag("div", tag("h1", "Runs"), cls="rr-head"))
search, pipeline, kind = runs_table.filters()


@st.fragment(run_every=3.0)
def table() -> None:
    """The runs that fit, a page of them."""
    with calm(trying_again=True):
        every = data.runs()
        if not every:
            st.html(look.empty("No run yet.", tag("a", "Send a file", href="./"), "How it goes will be seen here."))
            return
        found = find(every, search=search, pipeline=pipeline, kind=kind)
        if not found:
            st.html(look.empty("No run fits.", f"Clear the search to see all {data.reader().number(len(every))}."))
            return
        pages = -(-len(found) // PAGE)
        with st.container():
            shown = st.container()
            number = st.pagination(pages, key="page", bind="query-params") if pages > 1 else 1
        first = (min(number, pages) - 1) * PAGE
        with shown:
            st.html(runs_table.table(found[first : first + PAGE], data.reader()))
        count = data.reader().number(len(found))
        st.caption(f"{count} run{'s' if len(found) != 1 else ''}" + (" fit" if len(found) < len(every) else ""))


table()
