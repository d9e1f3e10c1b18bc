"""The second half of the Send page: what the check found, and the choice that follows."""

from __future__ import annotations

import time
from collections.abc import Callable

import pandas as pd
import streamlit as st

from dashboard import actions, preview
from dashboard.parts import cached, theme
from dashboard.parts.cached import locale, show_errors, who
from dashboard.parts.html import Markup, tag
from dashboard.parts.locale import size
from dashboard.parts.run.waiting import LATE_SECONDS, gone, status_link, take_back
from dashboard.parts.send import reading
from dashboard.parts.target import here_notice
from dashboard.parts.theme import notice, numbers
from dashboard.words import RUN, reason
from flows.errors import RowrelayError, RunNotFound
from flows.ledger.run import Run
from flows.limit.pace import expected_seconds
from flows.pipeline.definition import Definition
from flows.records import RowState
from flows.words import duration


def show(name: str) -> None:
    """Follow the check, then let the person decide."""
    kind = _kind(name)
    settled = kind not in ("starting", "waits", "checking", "cancelling", "away")
    st.fragment(_follow, run_every=5.0 if settled else 1.0)(name, kind)


def _kind(name: str) -> str:
    """What the page shows: the run's kind, `lost` if nobody knows it, or else what it waits for.

    `starting`: nobody has begun it. `waits`: nobody has taken up a check that was asked for; `asked`: nor the sending.
    """
    try:
        found = cached.run(name)
        if found is not None and cached.waits(found):
            return "asked" if found.total else "waits"
        if found is not None:
            return found.kind
        return "lost" if cached.not_begun(name).flow.ended else "starting"
    except RunNotFound:
        return "lost"
    except RowrelayError:
        return "away"


def _follow(name: str, before: str) -> None:
    if before == "away":
        _title("Send a file")
    with show_errors(trying_again=True):
        found = cached.run(name)
        if _kind(name) != before:
            st.rerun()
        if found is None:
            _not_begun(name)
        elif before == "starting":
            _title(_name(found))
            st.html(notice("info", "The check is about to begin."))
        elif before == "checking":
            _checking(found)
        elif before == "waits":
            _waiting(found)
        elif before == "cancelling" and not found.total:
            _title(_name(found))
            st.html(notice("info", "Cancelled: the check is about to end."))
        elif before == "checked":
            _checked(found)
        elif found.total == 0:
            _refused(found)
        else:
            _sent(found)


def _title(text: str) -> None:
    st.html(tag("div", tag("h1", text), cls="rr-head"))


def _not_begun(name: str) -> None:
    _title("Checking the file")
    try:
        found = cached.not_begun(name)
    except RunNotFound as exc:
        st.html(gone(exc))
        _start_over()
        return
    flow, pipeline = found.flow, str(found.flow.parameters.get("pipeline") or "")
    if flow.ended:
        st.html(notice("info" if found.kind == "cancelled" else "bad", *found.words))
        _start_over(pipeline)
        return
    _be_patient(time.time() - flow.expected if flow.expected else 0.0)
    with st.container(horizontal=True):
        take_back(flow)
        _start_over(pipeline)


def _be_patient(waited: float) -> None:
    if waited > LATE_SECONDS:
        st.html(
            notice(
                "warn",
                f"No worker has started this for {duration(waited)}.",
                "Your file is saved. `rowrelay up` starts a worker.",
                status_link(),
                live=True,
            )
        )
    else:
        st.html(notice("info", "Waiting for a worker to start it.", "This takes a few seconds. Your file is saved."))
    st.progress(0.0)


def _waiting(run: Run) -> None:
    """A check that was asked for once more."""
    _title(_name(run))
    _be_patient(time.time() - run.facts.asked_at)
    _leave(run)


def _leave(run: Run) -> None:
    with st.container(horizontal=True):
        if st.button("Cancel", icon=":material/stop:"):
            _do(lambda: actions.cancel(run, by=who()))
        _start_over(run.pipeline)


def _do(act: Callable[[], object]) -> None:
    try:
        act()
    except RowrelayError as exc:
        st.html(notice("warn", exc.message, exc.hint))
        return
    cached.run.clear()
    st.rerun()


def _checking(run: Run) -> None:
    _title(_name(run))
    done, total = run.facts.checked_bytes, run.facts.file_bytes
    at = locale()
    st.progress(min(1.0, done / total) if total else 0.0)
    st.text(
        f"{at.number(run.facts.checked_rows)} rows checked, {size(done)} of {size(total)}" if total else "Reading …"
    )
    _leave(run)


def _refused(run: Run) -> None:
    _title(_name(run))
    kind = run.kind
    if kind == "stopped":
        message, hint = reason(run)
        readings = run.facts.readings
        st.html(notice("bad", "This file cannot be sent.", message, "" if readings else hint))
        if readings:
            reading.choose_encoding(run, readings)
    elif kind == "interrupted":
        st.html(notice("warn", "The check was interrupted.", "Nothing was sent. Check the file again."))
    elif kind == "cancelled":
        st.html(notice("info", "The check was cancelled.", "Nothing was sent."))
    else:
        st.html(notice("info", f"The run is {RUN[kind].word}.", run.reason))
    with st.container(horizontal=True):
        if st.button("Check again", type="primary" if kind != "stopped" else "secondary", icon=":material/refresh:"):
            _do(lambda: actions.check_again(run, by=who()))
        _start_over(run.pipeline)


def _sent(run: Run) -> None:
    _title(_name(run))
    st.html(notice("good", "This file has been let go.", "How it goes is on the page of its run."))
    if st.button("See the run", type="primary"):
        st.switch_page("run.py", query_params={"id": run.id})


def _checked(run: Run) -> None:
    definition = cached.definition(run.id, run.facts.epoch)
    ready = run.total - run.counts[RowState.REJECTED]
    terms = definition.terms
    seconds = expected_seconds(ready, terms.windows)
    at = locale()
    _title(_name(run))
    st.html(
        numbers(
            ("Rows in the file", at.number(run.total), f"checked in {duration(max(1.0, run.facts.check_seconds))}"),
            ("Ready to send", at.number(ready), _share(ready, run.total)),
            ("Rejected", at.number(run.wrong), _share(run.wrong, run.total)),
            *([("Left out", at.number(run.skipped), "delivered before")] if run.skipped else []),
            ("Will take at least", duration(seconds), f"at {cached.pace(terms)}"),
            ("Done at the earliest", at.time(time.time() + seconds) if seconds is not None else "–", "if sent now"),
        )
    )
    st.html(theme.bar({**run.shown_counts, RowState.WAITING: ready}, run.total))
    if here := here_notice(definition):
        st.html(here)
    if run.notices:
        st.html(notice("warn", "Look at this before you send.", *run.notices))
    _delivered(run)
    again = _same_content(run)
    _decide(run, ready, again=again)
    if run.wrong:
        _rejected(run)
    if ready:
        _first_requests(run, definition)


def _delivered(run: Run) -> None:
    """What earlier runs delivered of these rows, and a way to leave that out."""
    count = locale().number(run.facts.delivered)
    if run.skipped:
        st.html(notice("info", f"{count} rows were delivered before. They are left out."))
    elif run.facts.delivered:
        st.html(notice("warn", f"{count} of these rows were delivered before, as the pipeline's key says."))
        if st.button("Leave them out", help="Checks the file once more"):
            try:
                again = actions.check(run.pipeline, run.file, by=who(), how=actions.How(skip_delivered=True))
            except RowrelayError as exc:
                st.html(notice("warn", exc.message, exc.hint))
                return
            cached.ask(run=again, file="")
            st.rerun()


def _same_content(run: Run) -> bool:
    """Whether a file with this content was sent before, and the person has not yet said to send it again."""
    others = cached.same_content(run.facts.digest, but=run.id)
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


def _decide(run: Run, ready: int, *, again: bool) -> None:
    at = locale()
    with st.container(horizontal=True):
        label = f"Send {at.number(ready)} {'good ' if run.wrong else ''}row{'s' if ready != 1 else ''}"
        if ready and st.button(label, type="primary", icon=":material/send:", disabled=again):
            _send(run)
        if run.wrong:
            st.link_button(
                "Download rejected rows", f"api/runs/{run.id}/troubled.csv?state=rejected", icon=":material/download:"
            )
        _start_over(run.pipeline, "Fix and upload again" if run.wrong else "Take another file")


def _send(run: Run) -> None:
    try:
        actions.resume(run, "unfinished", by=who())
    except RowrelayError as exc:
        st.html(notice("warn", exc.message, exc.hint, "Nothing was sent. The checked file is kept."))
        return
    cached.run.clear()
    st.switch_page("run.py", query_params={"id": run.id})


def _rejected(run: Run) -> None:
    samples = cached.samples(run.id, run.wrong)
    reading.choose_apostrophes(run, samples)
    st.header("Rejected rows", anchor=False)
    table = pd.DataFrame(
        [
            {"line": each.line, "column": reason.column or "whole row", "value": reason.value, "reason": reason.check}
            for each in samples
            for reason in each.reasons
        ]
    )
    st.dataframe(
        table,
        hide_index=True,
        height=min(420, 38 + 35 * len(table)),
        column_config={
            "line": st.column_config.NumberColumn("line", width="small", format="localized"),
            "column": st.column_config.TextColumn("column", width="small"),
            "value": st.column_config.TextColumn("what stands there", width="medium"),
            "reason": st.column_config.TextColumn("what is wrong", width="large"),
        },
        alt="Rejected rows with their reasons",
    )
    if run.wrong > len(samples):
        st.caption(f"The first {len(samples)} of {locale().number(run.wrong)}; the download has all.")


def _first_requests(run: Run, definition: Definition) -> None:
    st.header("The first requests, as they would go out", anchor=False)
    with show_errors():
        book = cached.rowbook(run)
        for row in book.spool.read(0, 3):
            shown = preview.request_of(run.id, definition, row, book.settings)
            with st.expander(f"Row {row.row}, line {row.line}", expanded=row.row == 1):
                st.html(theme.code(preview.as_text(shown)))


def _start_over(pipeline: str = "", label: str = "Take another file") -> None:
    """Back to where a file is chosen, with the same pipeline."""
    if st.button(label, icon=":material/upload_file:"):
        cached.ask(run="", file="", pipeline=pipeline)
        st.rerun()


def _link_to(run: Run) -> Markup:
    return tag("a", "See that run", href=f"run?id={run.id}", target="_self")


def _name(run: Run) -> str:
    return run.facts.name or run.file


def _share(part: int, whole: int) -> str:
    share = 100 * part / whole if whole else 0.0
    return f"{share:.0f} %" if part in (0, whole) or 1 <= share <= 99 else f"{min(share, 99.9):.1f} %"
