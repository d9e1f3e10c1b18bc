"""The Run page while there is no run to show: not begun yet, not known, or Redis away."""

from __future__ import annotations

import time
from urllib.parse import quote

import streamlit as st

from dashboard import actions
from dashboard.parts import cached, theme
from dashboard.parts.cached import show_errors
from dashboard.parts.html import Content, Markup, tag
from dashboard.prefect_api.server import FlowRun
from flows.errors import RowrelayError, RunDeleted, RunNotFound
from flows.words import duration

LATE_SECONDS = 45.0


def wait_for_redis(name: str) -> None:
    """Look again every few seconds; then show the page as if nothing had been."""

    @st.fragment(run_every=2.0)
    def look_again() -> None:
        try:
            cached.run(name)
        except RowrelayError as exc:  # an address with filters in it is left as it is
            st.html(cached.away(exc, "No outcome is lost. This page looks again by itself."))
            return
        st.rerun()

    look_again()


def wait_for_run(name: str) -> None:
    """A run that was started and that nobody has begun, or none at all."""
    if name == "last":
        st.html(tag("div", tag("h1", "Run"), cls="rr-head"))
        st.html(theme.empty("No run yet.", tag("a", "Send a file", href="./"), "How it goes will be seen here."))
        return
    st.html(tag("div", tag("h1", "Run"), cls="rr-head"))

    @st.fragment(run_every=1.5)
    def look_again() -> None:
        with show_errors(trying_again=True):
            if cached.run(name) is not None:
                st.rerun()
            _starting(name)

    look_again()


def _starting(name: str) -> None:
    try:
        found = cached.not_begun(name)
    except RunNotFound as exc:
        st.html(gone(exc))
        return
    if found.flow.ended:
        pipeline = quote(str(found.flow.parameters.get("pipeline") or ""))
        again = tag("a", "Send the file again", href=f"./?pipeline={pipeline}", target="_self")
        st.html(theme.notice("info" if found.kind == "cancelled" else "bad", *found.words, again))
        return
    st.html(waiting(time.time() - found.flow.expected if found.flow.expected else 0.0))
    take_back(found.flow)


def waiting(seconds: float, *more: Content) -> Markup:
    """That no worker has begun something that was asked for so long ago."""
    if seconds > LATE_SECONDS:
        title = f"No worker has started this for {duration(seconds)}."
        return theme.notice("warn", title, status_link(), *more, live=True)
    return theme.notice("info", "Waiting for a worker to start it.", "This takes a few seconds.")


def status_link() -> Markup:
    """Where to see what is away."""
    return tag("a", "See what is away on the Status page", href="status", target="_self")


def gone(error: RunNotFound) -> Markup:
    """That there is no such run, and if there was one, what became of it."""
    links = tag("a", "All runs", href="runs", target="_self")
    if not isinstance(error, RunDeleted):
        return theme.empty(error.message, "Its address may be incomplete.", links)
    moment = cached.locale().time(error.at)  # of today, the clock alone
    when = f" {'on' if ',' in moment else 'at'} {moment}" if error.at else ""
    who = f" by {error.by}" if error.by else ""
    title = f"This run was deleted{when}{who}." if when or who else "This run is not kept any more."
    return theme.empty(title, error.hint, links)


def take_back(flow: FlowRun) -> None:
    """A button for a run that nobody has begun."""
    if not st.button("Cancel", icon=":material/stop:", key="take_back"):
        return
    try:
        actions.take_back(flow, by=cached.who())
    except RowrelayError as exc:
        st.html(theme.notice("warn", exc.message, exc.hint))
        return
    cached.not_begun.clear()
    st.rerun()
