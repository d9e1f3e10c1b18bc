"""Status: what runs and what does not, in words; limits, and how to open one again."""

from __future__ import annotations

import streamlit as st

from dashboard.parts import status
from dashboard.parts.html import tag

st.html(tag("div", tag("h1", "Status"), cls="rr-head"))
st.fragment(status.show, run_every=3.0)()
