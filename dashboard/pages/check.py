"""Check: what was found in a file, and only then let it go. Beside Send, so that Send always takes another file."""

from __future__ import annotations

import streamlit as st

from dashboard.parts.address import query
from dashboard.parts.send import check

if not query("run"):
    st.switch_page("send.py")
check.show(query("run"))
