"""Run: one delivery, live, with its rows, and what can be done about it."""

from __future__ import annotations

import streamlit as st

from dashboard import data, run_actions, run_live, run_rows, run_start, run_story
from dashboard.data import calm
from dashboard.markup import tag
from flows.errors import RowrelayError

name = data.query("id") or "last"
try:
    run = data.run(name)
except RowrelayError:
    # What was seen last is drawn on, so that nothing of what was chosen and typed is lost.
    run = st.session_state.get("seen", {}).get(name)
    if run is None:
        st.html(tag("div", tag("h1", "Run"), cls="rr-head"))
        run_start.wait_for_redis(name)
        st.stop()

if run is None:
    run_start.wait_for_run(name)
    st.stop()

st.session_state["seen"] = {run.id: run, name: run}
if name != run.id:
    data.ask(id=run.id)  # a link to this page is one to this run, whatever comes after it
st.fragment(run_live.show, run_every=run_live.pace_of(run))(run.id, run_live.mark(run))
st.fragment(run_story.show, run_every=run_story.STORY_SECONDS if run.busy else None)(run.id)
run_actions.show(run)
if run.total:
    with calm(wake=True):
        run_rows.show(run)
