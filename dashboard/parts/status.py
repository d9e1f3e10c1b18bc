"""The parts of the Status page."""

from __future__ import annotations

import time
from contextlib import suppress

import streamlit as st

from dashboard import actions, signin, target
from dashboard.connections import settings
from dashboard.parts import cached, theme
from dashboard.parts.cached import locale, show_errors, who
from dashboard.parts.html import Markup, tag
from dashboard.parts.theme import notice
from dashboard.prefect_api.health import Service
from dashboard.words import Look
from flows.errors import RowrelayError
from flows.limit.status import LimitStatus, WindowStatus
from flows.pipeline.definition import Definition
from flows.pipeline.secret import missing_secrets, where_to_put
from flows.words import duration

_WELL = Look("#0d9c75", "✓", "answers")
_ILL = Look("#d55e00", "✕", "away")
_CONNECTED, _CUT_OFF = Look("#0d9c75", "✓", "connected"), Look("#d55e00", "✕", "to be connected")
_LIMIT = {
    "open": Look("#0d9c75", "✓", "open"),
    "waiting to be sure": Look("#2f8fd8", "◔", "waiting to be sure"),
    "paused": Look("#b98a00", "‖", "paused"),
    "latched": Look("#d55e00", "✕", "shut until a person opens it"),
}


def show() -> None:
    """Everything, looked at anew every few seconds."""
    services = cached.services()
    ill = [each for each in services if not each.well]
    if ill:
        st.html(notice("warn", f"{ill[0].name}: {ill[0].says}".rstrip(".") + ".", ill[0].todo))
    else:
        st.html(notice("good", "Everything answers."))
    _secrets()
    st.html(_table(services))
    _limits()
    _accounts()
    _targets()
    _access()


def _secrets() -> None:
    """Which pipelines can send nothing, though everything answers."""
    with suppress(RowrelayError):  # what cannot be read is said under "Where rows go"
        for definition in cached.known_pipelines().values():
            for name in missing_secrets(definition, settings()):
                todo = theme.prose(where_to_put(name, settings().secrets))
                st.html(notice("bad", f"{definition.name} can send nothing: the secret {name} is missing.", todo))


def _table(services: list[Service]) -> Markup:
    lines = [
        tag(
            "tr",
            tag("td", tag("strong", each.name), tag("div", _where(each), cls="rr-muted rr-small")),
            tag("td", theme.chip(_WELL if each.well else _ILL)),
            tag(
                "td",
                each.says if not each.well or each.name == "Runner" else "",
                tag("div", each.does, cls="rr-muted"),
                tag("div", theme.prose(each.todo)),
            ),
        )
        for each in services
    ]
    return tag("div", tag("table", tag("tbody", *lines), cls="rr-table rr-stack"), cls="rr-scroll")


def _where(service: Service) -> Markup | str:
    return tag("a", service.page, href=service.page, target="_blank") if service.page else service.address


def _limits() -> None:
    st.header("Limits", anchor=False)
    with show_errors(trying_again=True):
        found = cached.limits()
        if not found:
            st.html(tag("div", "No limit has been used yet. It appears here with the first run.", cls="rr-muted"))
        for limit in found:
            _limit(limit)


def _limit(limit: LimitStatus) -> None:
    at = locale()
    with st.container(border=True):
        st.html(tag("div", tag("strong", limit.name), theme.chip(_LIMIT[limit.state]), cls="rr-head"))
        if limit.latched:
            since = f"Since {at.time(limit.latched_at)}. " if limit.latched_at else ""
            text = f"{since}Sort this out with the API's owner first: opening it while you are blocked makes it worse."
            st.html(notice("bad", f"The API has blocked this account: {limit.latch_reason}", text))
            if st.button(f"Open {limit.name}", key=f"open-{limit.name}", icon=":material/lock_open:"):
                _open(limit.name)
        elif limit.paused_until:
            st.html(
                notice(
                    "warn",
                    f"The API asked us to wait {duration(limit.paused_until - time.time())} more.",
                    limit.pause_reason,
                    live=True,
                )
            )
        elif limit.quarantine_until:
            left = duration(limit.quarantine_until - time.time())
            st.html(notice("info", f"Sending starts in {left}.", limit.quarantine_reason, live=True))
        elif limit.slowed_until:
            left = duration(limit.slowed_until - time.time())
            text = f"A request starts every {at.number(limit.slow_seconds)} s, for {left} more."
            st.html(notice("info", "The API said how much is left.", text, live=True))
        used = [(_window(w), _used(limit, w)) for w in limit.windows]
        under_way = f"{limit.flying} of {limit.in_flight}" if limit.in_flight else "nobody uses it now"
        st.html(theme.facts(*used, ("Under way", under_way), ("Processes that share it", at.number(limit.askers))))
        if limit.numbers_in_force > 1:
            st.html(notice("warn", "It is used with different numbers at the same time.", "All of them are kept to."))


def _window(window: WindowStatus) -> str:
    kind, _, zone = window.period.partition(" ")
    span = f"this {kind} ({zone})" if kind else _span(window.seconds)
    return f"{'Units in' if window.units else 'In'} {span}"


def _used(limit: LimitStatus, window: WindowStatus) -> str:
    at = locale()
    if "{" in limit.name:
        return f"{at.number(window.requests)} for each of {at.number(limit.values)} values in use"
    return f"{at.number(window.held)} of {at.number(window.requests)}"


@st.dialog("Open this limit?")
def _open(name: str) -> None:
    st.text(
        f"Every run under the limit {name} may send again at once. Only do so if you know that the API lets us in "
        "again. Stopped runs stay stopped until you resume them."
    )
    with st.container(horizontal=True):
        sure = st.button("Open it", type="primary", key="sure")
        if st.button("Leave it", key="leave"):
            st.rerun()
    if sure:
        try:
            actions.open_the_limit(name, by=who())
        except RowrelayError as exc:
            st.html(notice("warn", exc.message, exc.hint))
            return
        cached.limits.clear()
        st.rerun()


def _accounts() -> None:
    """Until when the tokens of the pipelines last, and which account has to be connected again."""
    with show_errors():
        found = cached.accounts()
        if not found:
            return
        st.header("Accounts", anchor=False)
        at, now = locale(), time.time()
        lines = [
            tag(
                "tr",
                tag("td", tag("strong", each.pipeline), tag("div", each.grant, cls="rr-muted rr-small")),
                tag("td", theme.chip(_CONNECTED if each.well else _CUT_OFF)),
                tag("td", theme.prose(each.words(now=now, until=at.day_and_time(each.expires)))),
            )
            for each in found
        ]
        st.html(tag("div", tag("table", tag("tbody", *lines), cls="rr-table rr-stack"), cls="rr-scroll"))


def _targets() -> None:
    st.header("Where rows go", anchor=False)
    with show_errors():
        lines = []
        for definition in cached.known_pipelines().values():
            lines.append(
                tag(
                    "tr",
                    tag("td", tag("strong", definition.name)),
                    tag("td", target.in_words(definition), _cannot(definition)),
                    tag("td", target.WHO_LISTENS if target.stays_here(definition) else "", cls="rr-muted"),
                )
            )
        st.html(tag("div", tag("table", tag("tbody", *lines), cls="rr-table rr-stack"), cls="rr-scroll"))


def _cannot(definition: Definition) -> Markup | None:
    missing = missing_secrets(definition, settings())
    return tag("div", f"sends nothing: the secret {missing[0]} is missing") if missing else None


def _access() -> None:
    st.header("Who can see this", anchor=False)
    if signin.required():
        text = "People sign in. Programs send a token to the HTTP API."
    elif st.get_option("server.address") in ("127.0.0.1", "localhost", "::1"):
        text = "No sign-in is configured, so the dashboard answers this machine only."
    else:
        where = st.get_option("server.address") or "every address of this machine"
        st.html(notice("warn", "No sign-in is configured, and other machines may reach the dashboard.",
                       f"It listens on {where}. Who gets through to that is not known here: a container's published "
                       "ports and firewalls decide it.",
                       "Configure [auth] in secrets.toml, or see to it that nobody else gets through."))  # fmt: skip
        return
    st.html(tag("div", text, tag("span", f" Uploads and results lie in {settings().data}.", cls="rr-muted")))


def _span(seconds: float) -> str:
    return "the last second" if seconds == 1 else f"the last {duration(seconds)}"
