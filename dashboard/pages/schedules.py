"""Schedules: what is delivered without anybody asking. They are Prefect's own."""

from __future__ import annotations

import streamlit as st

from dashboard.parts import schedules
from dashboard.parts.html import tag

st.html(tag("div", tag("h1", "Schedules"), cls="rr-head"))
st.fragment(schedules.show, run_every=10.0)()
schedules.new()
