"""The Run page while there is no run to show: not begun yet, not known, or Redis away."""

from __future__ import annotations

import time

import streamlit as st

from dashboard import actions, data, look
from dashboard.data import calm
from dashboard.markup import tag
from dashboard.prefect_api import FlowRun
from flows.errors import RowrelayError
from flows.limit.pace import duration

LATE_SECONDS = 45.0


def wait_for_redis(name: str) -> None:
    """Look again every few seconds; then show the page as if nothing had been."""

    @st.fragment(run_every=2.0)
    def look_again() -> None:
        try:
            data.run(name)
        except RowrelayError as exc:  # an address with filters in it is left as it is
            st.html(data.away(exc, "No outcome is lost. This page looks again by itself."))
            return
        st.rerun()

    look_again()


def wait_for_run(name: str) -> None:
    """A run that was started and that nobody has begun, or none at all."""
    if name == "last":
        st.html(tag("div", tag("h1", "Run"), cls="rr-head"))
        st.html(look.empty("No run yet.", tag("a", "Send a file", href="./"), "How it goes will be seen here."))
        return
    st.html(tag("div", tag("h1", "Run"), cls="rr-head"))

    @st.fragment(run_every=1.5)
    def look_again() -> None:
        with calm(trying_again=True):
            if data.run(name) is not None:
                st.rerun()
            _starting(name)

    look_again()


def _starting(name: str) -> None:
    flow = data.not_begun(name)
    if flow is None:
        st.html(look.empty("There is no such run.", "It may have been deleted.", tag("a", "All runs", href="runs")))
    elif flow.type == "CANCELLED":
        st.html(look.notice("info", "It was cancelled before it began.", "Nothing was sent."))
    elif flow.ended:
        st.html(look.notice("bad", f"It did not begin: {flow.state}.", flow.message))
    else:
        waited = time.time() - flow.expected if flow.expected else 0.0
        late = waited > LATE_SECONDS
        st.html(
            look.notice(
                "warn" if late else "info",
                f"Nobody has taken this up for {duration(waited)}." if late else "Waiting for a runner to take it up",
                "Is a runner there? The Status page says so." if late else "This takes a few seconds.",
            )
        )
        take_back(flow)


def take_back(flow: FlowRun) -> None:
    """A button for a run that nobody has begun."""
    if not st.button("Cancel", icon=":material/stop:", key="take_back"):
        return
    try:
        actions.take_back(flow)
    except RowrelayError as exc:
        st.html(look.notice("warn", exc.message, exc.hint))
        return
    data.not_begun.clear()
    st.rerun()
