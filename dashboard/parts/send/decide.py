"""What a person decides about a checked file: send it, leave rows out, take another one, put it into the inbox."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

import streamlit as st

from dashboard import actions, starting
from dashboard.connections import settings
from dashboard.files import deposit
from dashboard.parts import cached, delivered_since
from dashboard.parts.address import ask
from dashboard.parts.cached import locale, who
from dashboard.parts.html import Markup, tag
from dashboard.parts.send import mend
from dashboard.parts.theme import notice
from dashboard.prefect_api import schedules
from dashboard.prefect_api.schedules import Schedule
from flows.errors import RowrelayError
from flows.ledger.run import Run
from flows.pipeline.definition import Definition
from flows.pipeline.secret import missing_secrets
from flows.records import RowState
from flows.source.header import COLUMNS_DIFFER

_INBOX_HELP = "A schedule takes it from there, checks it once more and sends it"


def show(run: Run, definition: Definition, ready: int) -> None:
    """What is in the way, and the buttons. `ready`: so many rows can be sent."""
    missing = missing_secrets(definition, settings())
    if missing:
        named = f"secret {missing[0]} is" if len(missing) == 1 else f"secrets {', '.join(missing)} are"
        todo = "Ask whoever runs Rowrelay to add it. This page looks again by itself."
        st.html(notice("bad", f"The {named} missing, so nothing can be sent.", todo))
    _delivered(run)
    again = _same_content(run)
    _decide(run, ready, blocked=again or bool(missing))


def _delivered(run: Run) -> None:
    """What earlier runs delivered of these rows, and a way to leave that out."""
    before = run.facts.delivered
    if run.skipped and not run.facts.undoes:
        rows = "1 row was" if before == 1 else f"{locale().number(before)} rows were"
        st.html(notice("info", f"{rows} delivered before. {'It is' if before == 1 else 'They are'} left out."))
    elif count := before or _since(run):
        rows = "1 of these rows was" if count == 1 else f"{locale().number(count)} of these rows were"
        when = "before" if before else "after this check"
        st.html(notice("warn", f"{rows} delivered {when}, as the pipeline's key says."))
        done = run.id in st.session_state.get("in_inbox", {})
        if st.button("Leave them out", help="Checks the file once more", type="primary", disabled=done):
            _check_anew(run.pipeline, run.file, starting.How(skip_delivered=True))


def _since(run: Run) -> int:
    """How many of its rows later runs have delivered since it was checked."""
    with suppress(RowrelayError):
        return delivered_since.of(run).rows
    return 0


def _check_anew(pipeline: str, file: str, how: starting.How = starting.AS_FOUND) -> None:
    """Go to a new check of the file. Comes back only where something is in the way."""
    try:
        again = starting.check(pipeline, file, by=who(), how=how)
    except RowrelayError as exc:
        st.html(notice("warn", exc.message, exc.hint))
        return
    ask(run=again)
    st.rerun()


def _same_content(run: Run) -> bool:
    """Whether this pipeline has sent a file with this content, and the person has not yet said to send it again."""
    others = [each for each in cached.same_content(run.facts.digest, but=run.id) if each.pipeline == run.pipeline]
    if not others:
        return False
    at, last = locale(), others[0]
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    st.html(
        notice(
            "warn",
            "A file with exactly this content was sent before.",
            tag("span", f"Run of {at.time(last.created)}{more}: {at.number(last.counts[RowState.DONE])} rows done. "),
            _link_to(last),
        )
    )
    return not st.checkbox("Send it again: every row will reach the API a second time", key=f"again-{run.id}")


def _decide(run: Run, ready: int, *, blocked: bool) -> None:
    at, twice = locale(), (bool(run.facts.delivered) and not run.skipped) or bool(_since(run))
    there = st.session_state.get("in_inbox", {}).get(run.id, "")  # where it lies since somebody put it there
    begun = st.session_state.get("depositing") == run.id and not there
    if not ready:
        st.html(notice("info", "There is nothing to send."))
    with st.container(horizontal=True):
        which = f"{'all ' if twice and ready > 1 else ''}{at.number(ready)} {'good ' if run.wrong else ''}"
        label = f"{'Undo' if run.facts.undoes else 'Send'} {which}row{'s' if ready != 1 else ''}"
        # What is safe is the button that stands out.
        kind: Literal["primary", "secondary"] = "secondary" if twice or _can_be_mended(run) else "primary"
        if ready and st.button(label, type=kind, icon=":material/send:", disabled=blocked or bool(there) or begun):
            _send(run)
        if run.wrong:
            st.link_button(
                "Download rejected rows", f"api/runs/{run.id}/troubled.csv?state=rejected", icon=":material/download:"
            )
        start_over(run.pipeline, "Upload the corrected file" if run.wrong else "Take another file")
        if run.wrong:
            start_over(run.pipeline)
        takers = _takers(run)
        skips = bool(takers) and all(each.skips for each in takers)
        sent = any(each.pipeline == run.pipeline for each in cached.same_content(run.facts.digest, but=run.id))
        why = deposit.why_not(run, same_content=sent, delivered_before=twice, skips=skips, blocked=blocked)
        if ready and not why:
            st.button(
                "Put it into the inbox", icon=":material/inbox:", help=_INBOX_HELP, disabled=begun or bool(there),
                on_click=st.session_state.update, kwargs={"depositing": run.id},
            )  # fmt: skip
    if ready and why:
        st.html(tag("div", f"Not for the inbox: {why}. ", _way_to_schedules(run, why), cls="rr-muted rr-small"))
    if there:
        st.html(notice("good", "The file is in the inbox.", tag("code", there), _who_takes_it(run, takers)))
    elif begun:
        _put_into_inbox(run)
    elif (failed := st.session_state.get("not_in_inbox")) and failed[0] == run.id:
        st.html(notice("warn", *failed[1:]))


def _can_be_mended(run: Run) -> bool:
    """Whether it is known what some of its rejected cells mean: then that comes first."""
    with suppress(RowrelayError):
        return bool(run.wrong and not run.facts.undoes and cached.causes(run, mend.MOST))
    return False


def _send(run: Run) -> None:
    try:
        starting.resume(run, "unfinished", by=who())
    except RowrelayError as exc:
        st.html(notice("warn", exc.message, exc.hint, "Nothing was sent. The checked file is kept."))
        return
    cached.run.clear()
    st.session_state["open_check"] = None
    st.switch_page("run.py", query_params={"id": run.id})


def _put_into_inbox(run: Run) -> None:
    """Do what the button was clicked for, now that all buttons are drawn as ones that wait for it."""
    st.session_state["depositing"] = ""
    try:
        with st.spinner("Putting the file into the inbox …"):
            path = actions.put_into_inbox(run, by=who())
        st.session_state["in_inbox"] = {run.id: path}
    except RowrelayError as exc:
        st.session_state["not_in_inbox"] = (run.id, exc.message, exc.hint)
    st.rerun()


def _takers(run: Run) -> list[Schedule]:
    """The schedules that would take its file from the inbox; none where nobody can say."""
    with suppress(RowrelayError):
        return schedules.of_inbox(cached.all_schedules(), run.pipeline, settings().inbox / run.pipeline)
    return []


def _way_to_schedules(run: Run, why: str) -> Markup | None:
    """Where a schedule would help that leaves out what was delivered, to where one is made."""
    if not deposit.may_send(why):
        return None
    return tag("a", "Make one that leaves out delivered rows", href="schedules", target="_self")


def _who_takes_it(run: Run, takers: Sequence[Schedule]) -> Markup:
    """What becomes of a file in the inbox, and when."""
    if not takers:
        return tag("a", "No schedule takes files from there yet: make one", href="schedules", target="_self")
    first, at = takers[0], locale()
    soonest = first.coming[:1]
    with suppress(RowrelayError):  # one that was made just now is not planned yet
        soonest = soonest or [each.timestamp() for each in schedules.coming(first.planned)]
    when = f": {at.day_and_time(soonest[0])}" if soonest else ""
    left = " It leaves out the rows that were delivered before." if first.skips else ""
    return tag("span", f"The next schedule of {run.pipeline} takes it{when}.{left}")


def offer_others(run: Run) -> None:
    """Other pipelines that have the columns of the file: more often than not the wrong one was chosen."""
    if COLUMNS_DIFFER not in run.reason:
        return
    for name in cached.fitting_pipelines(run.file, run.pipeline):
        st.html(notice("info", f"Its columns fit the pipeline {name}."))
        if st.button(f"Check it with {name}", type="primary", icon=":material/fact_check:", key=f"with-{name}"):
            _check_anew(name, run.file)


def start_over(pipeline: str = "", label: str = "Take another file") -> None:
    """Back to where a file is chosen, with the same pipeline."""
    if st.button(label, icon=":material/upload_file:"):
        st.switch_page("send.py", query_params={"pipeline": pipeline} if pipeline else {})


def _link_to(run: Run) -> Markup:
    return tag("a", "See that run", href=f"run?id={run.id}", target="_self")


def name_of(run: Run) -> str:
    """What the file of a run is called."""
    return run.facts.name or run.file
