"""Run: one delivery, live, with its rows, and what can be done about it."""

from __future__ import annotations

import streamlit as st

from dashboard.parts import cached
from dashboard.parts.address import ask, query
from dashboard.parts.cached import show_errors
from dashboard.parts.html import tag
from dashboard.parts.run import buttons, live, reasons, rows, story, waiting
from flows.errors import RowrelayError

name = query("id") or "last"
try:
    run = cached.run(name)
except RowrelayError:
    # What was seen last is drawn on, so that nothing of what was chosen and typed is lost.
    run = st.session_state.get("seen", {}).get(name)
    if run is None:
        st.html(tag("div", tag("h1", "Run"), cls="rr-head"))
        waiting.wait_for_redis(name)
        st.stop()

if run is None:
    waiting.wait_for_run(name)
    st.stop()

st.session_state["seen"] = {run.id: run, name: run}
if name != run.id:
    ask(id=run.id)  # a link to this page is one to this run, whatever comes after it
st.fragment(live.show, run_every=live.pace_of(run))(run.id, live.mark(run))
st.fragment(story.show, run_every=story.STORY_SECONDS if run.busy else None)(run.id)
buttons.show(run)
if run.total:
    reasons.show(run)
    with show_errors(wake=True):
        rows.show(run)
