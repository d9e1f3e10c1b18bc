"""The parts of the Schedules page."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard import actions
from dashboard.parts import cached, theme
from dashboard.parts.cached import locale, show_errors, who
from dashboard.parts.html import tag
from dashboard.parts.theme import facts, notice
from dashboard.prefect_api import schedules
from dashboard.prefect_api.schedules import Schedule
from dashboard.words import Look
from flows.errors import RowrelayError
from flows.pipeline.timing import Rule

_ACTIVE, _PAUSED = Look("#0d9c75", "✓", "active"), Look("#8b95a3", "‖", "paused")
_ZONES = ("UTC", "Europe/London", "Europe/Berlin", "America/New_York", "America/Los_Angeles", "Asia/Tokyo")
_UNITS = {"minutes": 60, "hours": 3600, "days": 86_400}


def show() -> None:
    """All schedules, each with what can be done about it."""
    with show_errors(trying_again=True):
        found = cached.all_schedules()
        if not found:
            st.html(
                theme.empty(
                    "Nothing is scheduled.", "Make a schedule below: a pipeline, where its files come from, and when."
                )
            )
        for each in found:
            _one(each)


def _one(each: Schedule) -> None:
    at = locale()
    with st.container(border=True):
        st.html(
            tag(
                "div",
                tag("strong", each.deployment.name),
                theme.chip(_ACTIVE if each.active else _PAUSED),
                cls="rr-head",
            )
        )
        coming = ", ".join(at.time(moment) for moment in each.coming[:3]) if each.active else "–"
        last = f"{each.last.state}, {at.time(each.last.expected)}" if each.last else "has not run yet"
        st.html(
            facts(
                ("When", f"{each.rule} ({each.timezone})"),
                ("Takes files from", each.source or "the pipeline's inbox"),
                ("Next", coming or "not planned yet; Prefect does so within a minute"),
                ("Last time", last),
            )
        )
        with st.container(horizontal=True):
            if each.active:
                if st.button("Pause", key=f"pause-{each.id}", icon=":material/pause:"):
                    _do(lambda: actions.set_schedule(each, False, by=who()))
            elif st.button("Go on", key=f"go-{each.id}", icon=":material/play_arrow:"):
                _do(lambda: actions.set_schedule(each, True, by=who()))
            if st.button("Remove", key=f"remove-{each.id}", icon=":material/delete:", type="tertiary"):
                _remove(each)


def _do(act: Callable[[], None]) -> None:
    try:
        act()
    except RowrelayError as exc:
        st.html(notice("warn", exc.message, exc.hint))
        return
    cached.all_schedules.clear()
    st.rerun()


@st.dialog("Remove this schedule?")
def _remove(each: Schedule) -> None:
    st.text(f"{each.deployment.name}, {each.rule}: it will not start again. Runs that it has started stay.")
    with st.container(horizontal=True):
        sure = st.button("Remove it", type="primary", key="sure")
        if st.button("Leave it", key="leave"):
            st.rerun()
    if sure:
        _do(lambda: actions.remove_schedule(each, by=who()))


def new() -> None:
    """A form for one more; its next five times are shown before it is made."""
    st.header("New schedule", anchor=False)
    with show_errors():
        names = list(cached.known_pipelines())
        with st.container(border=True):
            left, right = st.columns(2)
            name = left.selectbox("Pipeline", names, key="new_pipeline")
            source = right.text_input(
                "Folder or URL to take files from", key="new_source", placeholder="the pipeline's inbox"
            )
            rule = _rule()
            if name:
                _preview_and_save(name, (source or "").strip(), rule)


def _rule() -> Rule:
    kinds = ["at fixed times", "every so often", "by a calendar rule"]
    kind = st.segmented_control("When", kinds, default=kinds[0], key="new_kind")
    cron, interval, rrule = None, None, None
    if kind == kinds[1]:
        left, right = st.columns(2)
        count = left.number_input("Every", min_value=1, value=1, key="new_count")
        unit = right.selectbox("Unit", list(_UNITS), index=1, key="new_unit")
        interval = float(count) * _UNITS[unit or "hours"]
    elif kind == kinds[2]:
        rrule = _calendar_rule()
    else:
        cron = _cron()
    zone = st.selectbox("Time zone", _zones(), key="new_zone")
    return Rule(cron, interval, rrule, zone or "UTC")


def _calendar_rule() -> str:
    text = st.text_input(
        "Calendar rule",
        value="FREQ=MONTHLY;BYDAY=1MO;BYHOUR=6;BYMINUTE=0;BYSECOND=0",
        key="new_rrule",
        help="An iCalendar rule (RFC 5545), as calendars export it. This one: the first Monday of a month, at 06:00.",
    )
    return (text or "").strip()


def _cron() -> str:
    text = st.text_input(
        "Cron rule", value="0 6 * * 1-5", key="new_cron", help="Five fields: minute, hour, day, month, weekday."
    )
    return (text or "").strip()


def _zones() -> list[str]:
    own = st.context.timezone
    return list(dict.fromkeys([own, *_ZONES] if own else _ZONES))


def _preview_and_save(name: str, source: str, rule: Rule) -> None:
    try:
        coming = schedules.coming(rule)
    except RowrelayError as exc:
        st.html(notice("warn", exc.message, exc.hint))
        return
    times = [tag("li", f"{when:%A, %d %B %Y, %H:%M}") for when in coming]
    st.html(
        tag(
            "div",
            tag("div", f"The next five times ({rule.timezone})", cls="rr-label"),
            tag("ol", *times, cls="rr-list"),
        )
    )
    if st.button("Make the schedule", type="primary", icon=":material/add:"):
        try:
            actions.add_schedule(cached.known_pipelines()[name], source=source, rule=rule, by=who())
        except RowrelayError as exc:
            st.html(notice("warn", exc.message, exc.hint, "What you have entered is kept."))
            return
        cached.all_schedules.clear()
        st.rerun()
