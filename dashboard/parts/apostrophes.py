"""Why there are apostrophes in a file to be corrected, where there are any."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from dashboard.parts.html import tag
from flows.sheet import guarded


def explain(cells: Iterable[str]) -> None:
    """One line, if one of these cells gets an apostrophe in front in such a file."""
    found = next((cell for cell in cells if guarded(cell) != cell), None)
    if found is not None:
        shown = found if len(found) <= _SHOWN else f"{found[:_SHOWN]} …"
        said = (
            f"In the file to correct some cells begin with an apostrophe: '{shown}. It keeps a spreadsheet from "
            "changing or running them. Leave it there: Rowrelay takes it off when the file comes back."
        )
        st.html(tag("div", said, cls="rr-muted rr-small"))


_SHOWN = 30  # characters
