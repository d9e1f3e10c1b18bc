"""What went wrong in a run, by reason: how many rows share it, and a click to see them."""

from __future__ import annotations

from urllib.parse import urlencode

import streamlit as st

from dashboard.parts import cached
from dashboard.parts.address import ask, query
from dashboard.parts.cached import locale, show_errors
from dashboard.parts.html import Markup, tag
from dashboard.parts.run import buttons
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
    st.html(tag("div", chip(ROW[RowState(state)]), " by reason", cls="rr-label"))
    for at, group in enumerate(found.items):
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"reason-{state}-{at}"):
            st.html(_line(run, group))
            if not cached.waits(run):
                buttons.send_group_again(run, group, f"again-{state}-{at}")
    more = found.matching - len(found.items)
    said = [f"{locale().number(more)} more reason{'' if more == 1 else 's'}."] if more else []
    if said or found.note:
        st.caption(" ".join([*said, found.note]).strip())


def _line(run: Run, group: Group) -> Markup:
    rows = f"{locale().number(group.rows)} row{'' if group.rows == 1 else 's'}"
    reason = visible(group.reason)
    shown = reason if len(reason) <= _LONGEST else reason[:_LONGEST] + " …"
    chosen = urlencode({"state": group.state, "reason": group.reason})
    show = tag("a", rows, href=f"run?id={run.id}&{chosen}#rows", target="_self", title="Show these rows")
    take = tag("a", "Download", href=f"api/runs/{run.id}/troubled.csv?{chosen}", download=True)
    return tag("div", show, " ", shown, " ", tag("span", take, cls="rr-small"), cls="rr-reason")


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
