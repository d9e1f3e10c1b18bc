"""The dialog that undoes a run: what will happen, before it does; and the links between the two runs."""

from __future__ import annotations

import streamlit as st

from dashboard import starting
from dashboard.parts import cached
from dashboard.parts.cached import who
from dashboard.parts.html import tag
from dashboard.parts.theme import notice
from flows.errors import RowrelayError
from flows.ledger.run import Run


def links(run: Run) -> None:
    """From a run to those that undid it, and back."""
    others = [("Undone by" if run.undone.get(other) else "Undo:", other) for other in run.facts.undone_by]
    others += [("Undoes", run.facts.undoes)] if run.facts.undoes else []
    if others:
        made = [tag("a", f"{what} run {other[:8]}", href=f"run?id={other}", target="_self") for what, other in others]
        st.html(tag("div", *made, cls="rr-links"))


@st.dialog("Undo this run?")
def ask(run: Run) -> None:
    """Say how many rows are undone and where, and which are left alone; begin it when that is confirmed."""
    try:
        with st.spinner("Looking at what can be undone …"):
            planned = starting.planned_undo(run)
    except RowrelayError as exc:
        st.html(notice("warn", exc.message, exc.hint, "Nothing was changed."))
        return
    for words in planned.words:
        st.text(words)
    st.text("A new run does it, with its own states and results. This one stays as it is.")
    with st.container(horizontal=True):
        leaves = st.button("Leave it", key="leave")
        checks = st.button("Check first", key="check")
        rows = f"{cached.locale().number(planned.rows)} row{'' if planned.rows == 1 else 's'}"
        sure = st.button(f"Undo {rows}", type="primary", key="sure")
    if leaves:
        st.rerun()
    if not (sure or checks):
        return
    try:
        made = starting.undo(run, by=who(), dry_run=checks)
    except RowrelayError as exc:
        st.html(notice("warn", exc.message, exc.hint, "Nothing was changed."))
        return
    cached.forget_run()
    st.switch_page("send.py" if checks else "run.py", query_params={"run" if checks else "id": made})
