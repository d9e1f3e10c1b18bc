"""The upper half of the Run page: what changes by itself. A refresh costs the same for ten rows and for a million."""

from __future__ import annotations

import time

import streamlit as st

from dashboard import target
from dashboard.parts import cached, theme
from dashboard.parts.cached import locale, show_errors
from dashboard.parts.html import Markup, join, tag
from dashboard.parts.locale import Locale
from dashboard.parts.run import figures
from dashboard.parts.run.waiting import waiting
from dashboard.parts.theme import notice
from dashboard.words import RUN, SEVERAL_READINGS, on_page, reason
from flows.errors import RowrelayError
from flows.ledger.run import Run
from flows.limit.status import most_urgent
from flows.pipeline.definition import Definition
from flows.records import AS_SAID, UNUSED, RowState
from flows.words import duration

_LONG_WAIT_SECONDS = 20.0
LIVE_SECONDS, IDLE_SECONDS = 2.0, 5.0  # a refresh costs some 10 ms of one core, a tab


def pace_of(run: Run) -> float:
    """How often to look. A run at rest may be resumed by somebody else, so it is looked at, too."""
    return LIVE_SECONDS if run.busy or cached.waits(run) else IDLE_SECONDS


def mark(run: Run) -> str:
    """What the rest of the page depends on; when it changes, all of the page is drawn anew."""
    lost = run.counts[RowState.UNKNOWN] > 0
    return f"{run.kind} {run.busy} {cached.waits(run)} {run.total > 0} {lost} {run.to_correct > 0}"


def show(name: str, before: str) -> None:
    """State, counts and figures: cheap enough for every second and twenty tabs."""
    with show_errors(trying_again=True):
        run = cached.run(name)
        if run is None or mark(run) != before:
            st.rerun()
        definition = cached.definition(run.id, run.facts.epoch)
        cached.awake()
        at = locale()
        parts = [_head(run, definition, at), *_state_in_words(run, definition)]
        # Those are for the check.
        told = [on_page(each) for each in run.notices if not each.startswith(UNUSED) and not each.endswith(AS_SAID)]
        if run.total and told and run.kind != "checked":
            parts.append(notice("warn", "Worth a look", *told))
        if run.total:
            seconds = cached.chart(run.id, "seconds")
            parts += [figures.counts(run, at), figures.figures(run, definition, seconds, at)]
        st.html(tag("div", *parts, cls="rr-live"))


def _head(run: Run, definition: Definition, at: Locale) -> Markup:
    kind = "starting" if cached.waits(run) else run.kind
    title = tag("h1", run.facts.name or run.file)
    ended = f", ended {at.time(run.ended)}" if run.ended and not run.busy else ""
    about = f"{run.pipeline} to {target.in_words(definition)} · started {at.time(run.created)} by {run.by}{ended}"
    about += f" (times in {at.place})"
    return join(tag("div", title, theme.chip(RUN[kind]), cls="rr-head"), tag("div", about, cls="rr-muted rr-small"))


def _state_in_words(run: Run, definition: Definition) -> list[Markup]:
    kind = run.kind
    if cached.waits(run):
        return [waiting(time.time() - run.facts.asked_at, "You can cancel the request.")]
    if kind == "asks":
        link = tag("a", "Choose how to read it", href=f"check?run={run.id}", target="_self")
        return [notice("info", SEVERAL_READINGS, link)]
    if kind == "stopped":
        message, hint = reason(run)
        stays = "What is finished stays finished; the rest can be resumed." if run.total else "Nothing was sent."
        return [notice("bad", message or "The run stopped.", hint, stays)]
    if kind == "accepted":
        number = run.counts[RowState.ACCEPTED]
        rows = "1 row is" if number == 1 else f"{number:,} rows are"
        asks = "Rowrelay asks what became of them from time to time."
        if definition.poll is None:
            asks = "The pipeline does not say how to ask what became of them."
        return [notice("info", f"All is sent. {rows} with the API, which takes its time.", asks)]
    if kind == "interrupted":
        if not run.total:
            return [notice("warn", "The check was interrupted.", "Nothing was sent. Check the file again.")]
        stays = "Nothing that was recorded is lost. Resume it to send the rest."
        return [notice("warn", "The process sending this run stopped unexpectedly.", stays)]
    if kind == "checked":
        link = tag("a", "See what the check found", href=f"check?run={run.id}", target="_self")
        return [notice("info", "Checked, nothing sent yet.", link)]
    if kind == "cancelling":
        return [notice("info", "Cancelled: the requests under way are waited for.")]
    if kind == "checking":
        done, total = run.facts.checked_bytes, run.facts.file_bytes
        return [notice("info", f"Checking the file: {100 * done / total if total else 0:.0f} % read.", live=True)]
    return _limit_in_words(definition) if run.busy and run.total else []


def _limit_in_words(definition: Definition) -> list[Markup]:
    try:
        limit = most_urgent(cached.limit(each.name) for each in definition.each_limit)
    except RowrelayError:
        return []
    if limit.latched:
        todo = tag("a", "What to do is on the Status page", href="status", target="_self")
        return [notice("bad", f"The API has blocked this account: {limit.latch_reason}", todo)]
    if limit.paused_until:
        left = duration(limit.paused_until - time.time())
        return [notice("warn", f"The API asked us to wait {left} more.", limit.pause_reason, live=True)]
    if (wait := (limit.quarantine_until or 0.0) - time.time()) >= 0.5:  # else it has begun before this is read
        trust = f"If nothing was sent to this account lately, `rowrelay limits trust {limit.name}` ends the wait."
        more = trust if wait > _LONG_WAIT_SECONDS else ""
        return [notice("info", f"Sending starts in {duration(wait)}.", limit.quarantine_reason, more, live=True)]
    return []
