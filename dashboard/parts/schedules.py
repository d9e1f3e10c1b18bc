"""The parts of the Schedules page."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import replace

import streamlit as st

from dashboard import timetable
from dashboard.connections import settings
from dashboard.parts import cached, theme
from dashboard.parts.cached import show_errors, who
from dashboard.parts.html import tag
from dashboard.parts.last_look import files, last
from dashboard.parts.locale import Locale
from dashboard.parts.theme import facts, notice
from dashboard.prefect_api import schedules
from dashboard.prefect_api.schedules import Schedule
from dashboard.words import Look
from flows.errors import RowrelayError
from flows.pipeline.definition import Definition
from flows.pipeline.secret import missing_secrets, where_to_put
from flows.pipeline.timing import Rule

_ACTIVE, _PAUSED = Look("#0d9c75", "✓", "active"), Look("#8b95a3", "‖", "paused")
_GONE = Look("#b98a00", "!", "no pipeline")
_UNPLANNED = "not planned yet; Prefect does so within a minute"
_ZONES = ("UTC", "Europe/London", "Europe/Berlin", "America/New_York", "America/Los_Angeles", "Asia/Tokyo")
_UNITS = {"minutes": 60, "hours": 3600, "days": 86_400}
_WEEKS = {"Monday to Friday": range(5), "Every day": range(7)}
_WAYS = ("on weekdays", "every so often", "advanced")


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
    # As the rule is told: by its own clock, and the day in 24 hours.
    at = replace(Locale.of(st.context.locale, each.timezone), twelve_hours=False)
    with st.container(border=True):
        st.html(
            tag(
                "div",
                tag("strong", each.deployment.name),
                theme.chip(_GONE if each.gone else _ACTIVE if each.active else _PAUSED),
                cls="rr-head",
            )
        )
        if each.gone:
            st.html(notice("warn", schedules.GONE, schedules.GONE_HINT))
        coming = theme.lines(*(at.day_and_time(moment) for moment in each.coming[:3])) if each.active else "–"
        st.html(
            facts(
                ("When", f"{each.rule} ({each.timezone})"),
                ("Takes files from", each.source or tag("code", str(settings().inbox / each.deployment.name))),
                *([("Rows delivered before", "left out")] if each.skips else []),
                *([] if each.gone else [(f"Next ({at.place})", coming or _UNPLANNED)]),
                ("Last time", last(each, at)),
            )
        )
        for name in _missing(each.deployment.name):
            text = f"It will send nothing: the secret {name} is missing."
            st.html(notice("bad", text, theme.prose(where_to_put(name, settings().secrets))))
        if found := files(each, at):
            st.html(found)
        _buttons(each)


def _buttons(each: Schedule) -> None:
    with st.container(horizontal=True):
        if not each.gone:
            if each.active:
                if st.button("Pause", key=f"pause-{each.id}", icon=":material/pause:"):
                    _do(lambda: timetable.set_active(each, False, by=who()))
            elif st.button("Go on", key=f"go-{each.id}", icon=":material/play_arrow:"):
                _do(lambda: timetable.set_active(each, True, by=who()))
            why = "It stands in the pipeline's definition: change it there" if each.stated else None
            if st.button("Change", key=f"change-{each.id}", icon=":material/edit:", disabled=each.stated, help=why):
                _change(each)
        if st.button("Remove", key=f"remove-{each.id}", icon=":material/delete:", type="tertiary"):
            _remove(each)


def _missing(pipeline: str) -> list[str]:
    """The secrets without which a pipeline sends nothing."""
    definition = cached.known_pipelines().get(pipeline)
    return missing_secrets(definition, settings()) if definition else []


def _do(act: Callable[[], object]) -> None:
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
        _do(lambda: timetable.remove(each, by=who()))


@st.dialog("When should it run?")
def _change(each: Schedule) -> None:
    st.text(f"{each.deployment.name}, until now {each.rule}.")
    rule = _rule(f"change-{each.id}", each.planned)
    skips = _skips(f"change-{each.id}", cached.known_pipelines().get(each.deployment.name), before=each.skips)
    if _preview(rule) and st.button("Change it", type="primary", key="sure"):
        wish = None if skips == each.skips else skips
        _do(lambda: timetable.change(each, rule, skip_delivered=wish, by=who()))


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
            rule = _rule("new", Rule(cron="0 7 * * 1-5", timezone=_zones()[0]), chosen=False)
            skips = _skips("new", cached.known_pipelines().get(name or ""))
            if name and _preview(rule):
                _save(name, (source or "").strip(), rule, skip_delivered=skips)


def _rule(key: str, before: Rule, *, chosen: bool = True) -> Rule:
    """A choice of when; at first it is `before`, without its weekdays unless they are `chosen`."""
    days, hour, minute = schedules.days_of(before.cron or "") or (list(range(5)), 7, 0)
    ways = (before.cron is not None and schedules.days_of(before.cron), before.interval_seconds, True)
    default = _WAYS[next(at for at, fits in enumerate(ways) if fits)]
    way = st.segmented_control("When", _WAYS, default=default, key=f"{key}_kind") or default
    zones = list(dict.fromkeys([before.timezone, *_zones()]))
    if way == _WAYS[0]:
        rule = Rule(cron=_on_days(key, days if chosen else [], hour, minute))
    elif way == _WAYS[1]:
        rule = Rule(interval_seconds=_every(key, before.interval_seconds or 3600.0))
    else:
        rule = _advanced(key, before)
    zone = st.selectbox("Time zone", zones, key=f"{key}_zone")
    return replace(rule, timezone=zone or "UTC")


def _on_days(key: str, days: list[int], hour: int, minute: int) -> str:
    name = f"{key}_days"
    if name not in st.session_state:  # not as its default: the buttons below set it, too
        _choose(name, days)
    chosen = st.pills("On", schedules.DAYS, selection_mode="multi", key=name)
    with st.container(horizontal=True):
        for label, whole in _WEEKS.items():
            st.button(label, key=f"{name}-{label}", on_click=_choose, args=(name, whole))
    clock = st.time_input("At", datetime.time(hour, minute), step=900, key=f"{key}_clock")
    return (
        schedules.on_days([schedules.DAYS.index(name) for name in chosen], clock.hour, clock.minute) if chosen else ""
    )


def _choose(name: str, days: Sequence[int]) -> None:
    st.session_state[name] = [schedules.DAYS[day] for day in days]


def _every(key: str, seconds: float) -> float:
    unit = next((name for name, length in reversed(_UNITS.items()) if seconds % length == 0), "minutes")
    left, right = st.columns(2)
    count = left.number_input("Every", min_value=1, value=max(1, int(seconds // _UNITS[unit])), key=f"{key}_count")
    chosen = right.selectbox("Unit", list(_UNITS), index=list(_UNITS).index(unit), key=f"{key}_unit")
    return float(count) * _UNITS[chosen or unit]


def _advanced(key: str, before: Rule) -> Rule:
    """A rule as it is written for machines."""
    calendar = st.toggle("As a calendar rule", value=before.rrule is not None, key=f"{key}_calendar")
    if calendar:
        text = st.text_input(
            "Calendar rule",
            value=before.rrule or "FREQ=MONTHLY;BYDAY=1MO;BYHOUR=6;BYMINUTE=0;BYSECOND=0",
            key=f"{key}_rrule",
            help="An iCalendar rule (RFC 5545), as calendars export it. The one that stands here at first: the first"
            " Monday of a month, at 06:00.",
        )
        return Rule(rrule=(text or "").strip())
    text = st.text_input(
        "Cron rule",
        value=before.cron or "0 6 * * 1-5",
        key=f"{key}_cron",
        help="Five fields: minute, hour, day, month, weekday.",
    )
    return Rule(cron=(text or "").strip())


def _skips(key: str, definition: Definition | None, *, before: bool = False) -> bool:
    """Whether rows that were delivered before are left out; only a pipeline with a `key` can tell."""
    by = definition.key if definition else []
    told = (
        f"A row counts as delivered if an earlier run has delivered one with the same {', '.join(by)}."
        if by
        else "The pipeline's definition has no `key`, so nobody can tell which rows were delivered before."
    )
    label = "Leave out rows that were delivered before"
    return st.checkbox(label, value=before, key=f"{key}_skips", disabled=not (by or before), help=told)


def _zones() -> list[str]:
    own = st.context.timezone
    return list(dict.fromkeys([own, *_ZONES] if own else _ZONES))


def _preview(rule: Rule) -> bool:
    """Show when it would come, or what is wrong with the rule."""
    if rule.cron == "":
        st.html(notice("info", "Choose at least one day."))
        return False
    try:
        coming = schedules.coming(rule)
    except RowrelayError as exc:
        st.html(notice("warn", exc.message, exc.hint))
        return False
    times = [tag("li", f"{when:%A, %d %B %Y, %H:%M}") for when in coming]
    label = tag("div", f"The next five times ({rule.timezone})", cls="rr-label")
    st.html(tag("div", label, tag("ol", *times, cls="rr-list")))
    return True


def _save(name: str, source: str, rule: Rule, *, skip_delivered: bool) -> None:
    if st.button("Make the schedule", type="primary", icon=":material/add:"):
        try:
            definition = cached.known_pipelines()[name]
            timetable.add(definition, source=source, rule=rule, skip_delivered=skip_delivered, by=who())
        except RowrelayError as exc:
            st.html(notice("warn", exc.message, exc.hint, "What you have entered is kept."))
            return
        cached.all_schedules.clear()
        st.rerun()
