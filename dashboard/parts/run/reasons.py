"""What went wrong in a run, by reason: how many rows share it, and a click to see them."""

from __future__ import annotations

from urllib.parse import urlencode

import streamlit as st

from dashboard.parts import cached
from dashboard.parts.address import ask, query
from dashboard.parts.cached import locale, show_errors
from dashboard.parts.html import Markup, tag
from dashboard.parts.theme import chip
from dashboard.rows.groups import STATES, Group, State
from dashboard.words import ROW, visible
from flows.ledger.run import Run
from flows.records import RowState

SHOWN = 5  # groups of a state
_LONGEST = 160


def show(run: Run) -> None:
    """The largest groups of rows that were not done, each with a link to its rows. Nothing while it is delivered."""
    if run.busy:
        return
    for state in STATES:
        if run.wrong if state == "rejected" else run.counts[RowState(state)]:
            with show_errors():
                _groups(run, state)


def _groups(run: Run, state: State) -> None:
    found = cached.groups(run, state, 0, SHOWN)
    if not found.items:
        return
    lines = (_line(run, each) for each in found.items)
    st.html(tag("div", chip(ROW[RowState(state)]), " by reason", cls="rr-label"))
    st.html(tag("ul", *lines, cls="rr-reasons"))
    more = found.matching - len(found.items)
    said = [f"{locale().number(more)} more reason{'' if more == 1 else 's'}."] if more else []
    if said or found.note:
        st.caption(" ".join([*said, found.note]).strip())


def _line(run: Run, group: Group) -> Markup:
    rows = f"{locale().number(group.rows)} row{'' if group.rows == 1 else 's'}"
    reason = visible(group.reason)
    shown = reason if len(reason) <= _LONGEST else reason[:_LONGEST] + " …"
    address = f"run?{urlencode({'id': run.id, 'state': group.state, 'reason': group.reason})}#rows"
    return tag("li", tag("a", rows, href=address, target="_self", title="Show these rows"), " ", shown)


def chosen() -> str:
    """The reason by which the rows are filtered, as the address has it; with a way to take that away."""
    reason = query("reason")
    if reason:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.html(tag("div", "Only rows with this reason: ", tag("strong", visible(reason[:_LONGEST]))))
            if st.button("Show all rows", key="all-reasons", icon=":material/close:"):
                ask(reason="")
                st.rerun()
    return reason
