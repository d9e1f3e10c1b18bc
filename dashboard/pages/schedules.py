"""Schedules: what is delivered without anybody asking. They are Prefect's own."""

from __future__ import annotations

import streamlit as st

from dashboard import schedule_parts
from dashboard.markup import tag

st.html(tag("div", tag("h1", "Schedules"), cls="rr-head"))
st.fragment(schedule_parts.show, run_every=10.0)()
schedule_parts.new()
