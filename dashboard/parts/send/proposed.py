"""What rejected cells were likely meant to say, shown cause by cause; a person takes it, or leaves some of it out."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard.parts.cached import locale
from dashboard.parts.html import Markup, tag
from dashboard.rows.causes import Cause
from dashboard.words import visible

_EXAMPLES, _CHARS = 3, 40


def choose(found: Sequence[Cause], key: str) -> tuple[list[Cause], bool]:
    """(the causes whose proposals are ticked, whether they are taken). Draws nothing where there are none."""
    if not found:
        return [], False
    with st.container(border=True, key=f"proposed-{key}"):
        st.html(tag("div", tag("strong", "Likely meant"), tag("span", ": look at it, then take it.", cls="rr-muted")))
        chosen = [each for at, each in enumerate(found) if _cause(each, f"{key}-{at}")]
        cells = sum(each.cells for each in chosen)
        with st.container(horizontal=True, vertical_alignment="center"):
            taken = st.button(
                f"Take {'this' if len(chosen) == 1 else 'these'}: {_cells(cells)}",
                key=f"take-{key}",
                type="primary",
                icon=":material/check:",
                disabled=not chosen,
            )
            with st.popover("All values"):
                st.dataframe(_table(found), hide_index=True, alt="All values that have a proposal")
    return chosen, taken


def _cause(cause: Cause, key: str) -> bool:
    """One cause, with examples; whether it is ticked."""
    with st.container(horizontal=True, gap="small", vertical_alignment="top", key=f"cause-{key}"):
        ticked = st.checkbox(
            f"Take the proposal for {cause.column}", True, key=f"tick-{key}", label_visibility="collapsed"
        )
        st.html(tag("div", _said(cause), cls="rr-proposal"), width="stretch")
    return ticked


def _said(cause: Cause) -> Markup:
    title = tag(
        "div", tag("strong", cause.column), f": {_cells(cause.cells)} ", tag("span", cause.check, cls="rr-muted")
    )
    shown = list(zip(cause.groups, cause.becomes, strict=True))[:_EXAMPLES]
    pairs = [
        tag("span", tag("code", _brief(group.value)), " → ", tag("code", _brief(text)), " ") for group, text in shown
    ]
    left = len(cause.groups) - len(shown)
    more = f"and {locale().number(left)} more value{'' if left == 1 else 's'}" if left else ""
    return tag("div", title, tag("div", *pairs, tag("span", more, cls="rr-muted"), cls="rr-small rr-pairs"))


def _brief(text: str) -> str:
    shown = visible(text) if text.strip() else "(empty)"
    return shown if len(shown) <= _CHARS else shown[: _CHARS - 1] + "…"


def _cells(count: int) -> str:
    return f"{locale().number(count)} cell{'' if count == 1 else 's'}"


def _table(found: Sequence[Cause]) -> pd.DataFrame:
    lines = [
        (cause.column, group.value, text, group.rows)
        for cause in found
        for group, text in zip(cause.groups, cause.becomes, strict=True)
    ]
    return pd.DataFrame(lines, columns=["column", "in the file", "becomes", "rows"])
