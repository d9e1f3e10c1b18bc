"""What can be done about a run: buttons that each ask once and say what will happen, and what can be taken home."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Literal

import streamlit as st

from dashboard import actions, starting
from dashboard.parts import apostrophes, cached, delivered_since
from dashboard.parts.cached import show_errors, who
from dashboard.parts.html import tag
from dashboard.parts.run import undo
from dashboard.parts.theme import notice
from dashboard.rows.groups import Group
from dashboard.rows.since import NOTHING, Since
from dashboard.words import visible
from flows.client.outlook import number_of_requests
from flows.errors import RowrelayError
from flows.ledger.run import Run
from flows.limit.pace import expected_seconds
from flows.records import RowState, Wanted
from flows.words import duration


def show(run: Run) -> None:
    """The buttons that make sense now, and the downloads."""
    kind = run.kind
    counts = run.counts
    waits = cached.waits(run)
    rests = not run.busy and not waits
    since = _since(run) if rests and run.total else NOTHING
    undo.links(run)
    left = counts[RowState.WAITING] + counts[RowState.SENDING]
    with st.container(horizontal=True):
        if (run.busy and not run.cancelling) or waits:
            _button("Cancel", "stop", lambda: _cancel(run, waits), kind="secondary")
        if rests and run.total and left and kind != "checked":
            _button(
                f"Resume: {_n(left)} row{'' if left == 1 else 's'}",
                "play_arrow",
                lambda: _resume(run, left),
                kind="secondary" if since.states.get(RowState.WAITING) else "primary",
            )
        checked = rests and kind == "checked" and left  # what was found, and has gone out since, is seen there first
        if checked and st.button("See the check and send", icon=":material/fact_check:", type="primary"):
            st.switch_page("check.py", query_params={"run": run.id})
        if rests and not run.total and kind in ("stopped", "asks", "interrupted", "cancelled"):
            again = "secondary" if kind == "asks" else "primary"
            _button("Check again", "refresh", lambda: _check_again(run), kind=again)
            if st.button("Take another file", icon=":material/upload_file:"):
                st.switch_page("send.py", query_params={"pipeline": run.pipeline})
        if rests and counts[RowState.FAILED]:
            _send_again(run, "failed", since)
        if rests and counts[RowState.UNKNOWN] and cached.definition(run.id, run.facts.epoch).reconcile is not None:
            _button(f"Ask the API about {_n(counts[RowState.UNKNOWN])} unknown", "quiz", lambda: _reconcile(run))
        if rests and counts[RowState.ACCEPTED] and cached.definition(run.id, run.facts.epoch).poll is not None:
            _button(f"Ask about {_n(counts[RowState.ACCEPTED])} accepted now", "quiz", lambda: _ask(run))
        if rests and counts[RowState.UNKNOWN]:
            _send_again(run, "unknown", since)
            _button("Mark unknown as done", "done_all", lambda: _mark(run))
        if rests and counts[RowState.DONE] and not run.facts.undoes and cached.says_undo(run.id):
            _button("Undo", "undo", lambda: undo.ask(run))
        if rests:
            _button("Delete", "delete", lambda: _delete(run), kind="tertiary")
    if run.total:
        _downloads(run, since)


def _since(run: Run) -> Since:
    """What later runs have delivered of the rows that are not done here, which is said."""
    since = NOTHING
    with show_errors():
        since = delivered_since.of(run)
        for later, count in since.runs.items():
            link = tag("a", "See that run", href=f"run?id={later}", target="_self")
            st.html(notice("info", f"A later run has delivered {_n(count)} of the rows that are not done here.", link))
    return since


def _send_again(run: Run, rows: Literal["failed", "unknown"], since: Since) -> None:
    """Not offered as the thing to do where a later run has delivered them."""
    state = RowState(rows)
    count, there = run.counts[state], since.states.get(state, 0)
    words = f"Send {_n(count)} {rows} again"
    if there:
        words += f" ({'' if there == count else f'{_n(there)} of them '}delivered since)"
    _button(words, "replay", lambda: _again(run, rows), kind="tertiary" if there == count else "secondary")


def send_group_again(run: Run, group: Group, key: str) -> None:
    """A button that sends again the failed or unknown rows of one reason."""
    if group.state != "rejected" and st.button("Send again", key=key, icon=":material/replay:", type="tertiary"):
        _again(run, group.state, group.reason, group.rows)


def _button(label: str, icon: str, act: Callable[[], None], *, kind: str = "secondary") -> None:
    if st.button(label, icon=f":material/{icon}:", type=kind):  # type: ignore[arg-type]
        act()


def _downloads(run: Run, since: Since) -> None:
    base = f"api/runs/{run.id}"
    links = [
        tag("a", "Results as JSON", href=f"{base}/results.json", download=True),
        tag("a", "Results as CSV", href=f"{base}/results.csv", download=True),
    ]
    # This part of the page is not drawn anew as rows come in, so while they do the links carry no numbers.
    if run.to_correct and not run.facts.undoes:  # sent again as a file, they would be sent and not undone
        there = since.states.get(RowState.REJECTED, 0) + since.states.get(RowState.FAILED, 0)
        kinds = " and ".join(
            word for word, count in (("rejected", run.wrong), ("failed", run.counts[RowState.FAILED])) if count
        )
        rows = "Rejected and failed rows" if run.busy else _rows(run.to_correct, kinds)
        if there == run.to_correct:
            text = f"{rows}, delivered since"
        else:
            text = f"{rows}, to correct and send again" + (f" ({_n(there)} of them delivered since)" if there else "")
        links.append(tag("a", text, href=f"{base}/troubled.csv", download=True))
        if not run.busy and there < run.to_correct:
            links.append(tag("a", "Upload the corrected file", href=f"./?pipeline={run.pipeline}", target="_self"))
    if run.counts[RowState.UNKNOWN]:
        text = "Unknown rows" if run.busy else _rows(run.counts[RowState.UNKNOWN], "unknown")
        links.append(tag("a", text, href=f"{base}/troubled.csv?state=unknown", download=True))
    st.html(tag("div", tag("span", "Download:", cls="rr-muted"), *links, cls="rr-links"))
    if run.to_correct and not run.busy:
        with suppress(RowrelayError):  # what is away is said where the rows are
            apostrophes.explain(cached.cells_to_correct(run))


@st.dialog("Cancel this run?")
def _cancel(run: Run, waits: bool) -> None:
    left = run.counts[RowState.WAITING]
    if waits:
        st.text("It has not begun, and will not. Everything stays as it is.")
    elif not run.total:
        st.text("The file is read no further. Nothing was sent, and you can check it again later.")
    else:
        st.text(
            "No further row is sent; the requests under way are waited for. "
            f"{_n(left)} rows stay unsent. You can resume later."
        )
    _confirm("Cancel the run", lambda: actions.cancel(run, by=who()))


@st.dialog("Send the rest?")
def _resume(run: Run, rows: int) -> None:
    definition = cached.definition(run.id, run.facts.epoch)
    seconds = expected_seconds(number_of_requests(definition, rows).likely, definition.terms.windows)
    took = f" That takes at least {duration(seconds)}." if rows and seconds is not None else ""
    what = f"{_n(rows)} rows that were not sent go out."
    _warn(run, RowState.WAITING)
    st.text(f"{what}{took} Rows that are done, accepted, failed or unknown are left alone.")
    _confirm("Send", lambda: starting.resume(run, "unfinished", by=who()))


@st.dialog("Check this file again?")
def _check_again(run: Run) -> None:
    st.text("The file is read and checked from its beginning. Nothing is sent before you have seen what is found.")
    _confirm("Check again", lambda: starting.check_again(run, by=who()), then="check.py", run=run.id)


@st.dialog("Ask the API about the unknown rows?")
def _reconcile(run: Run) -> None:
    st.text(
        f"Rowrelay asks the API about each of {_rows(run.counts[RowState.UNKNOWN])}. One that is there becomes done, "
        "one that is not there is sent. What the answer cannot settle stays unknown."
    )
    _confirm("Ask the API", lambda: starting.resume(run, "reconcile", by=who()))


@st.dialog("Ask about the accepted rows?")
def _ask(run: Run) -> None:
    st.text("Rowrelay asks the API now what became of them. It also asks by itself from time to time.")
    _confirm("Ask now", lambda: starting.resume(run, "accepted", by=who()))


@st.dialog("Send these rows again?")
def _again(run: Run, rows: Wanted, reason: str = "", count: int = 0) -> None:
    """`count` rows with this `reason`, or all in that state."""
    _warn(run, RowState(rows))
    count = count or run.counts[RowState(rows)]
    if reason:
        st.text(f"Only those with this reason: {visible(reason[:200])}")
    if rows == "failed":
        st.text(
            f"{_rows(count)} that the API refused {'is' if count == 1 else 'are'} sent again as "
            f"{'it is' if count == 1 else 'they are'}. "
            "If the rows themselves are wrong, download, correct and upload them instead."
        )
    else:
        st.text(
            f"{_rows(count)} {'was' if count == 1 else 'were'} sent, but the answer was lost. The API may have "
            "acted on them. Sent again, a row may be there twice, unless the API honours its Idempotency-Key. "
            "Look there first."
        )
    by_new = False
    with show_errors():
        if rows == "failed" and cached.is_mended(run):
            by_new = st.checkbox("By the pipeline as it is now: it was changed since this run began", value=True)
    _confirm("Send again", lambda: starting.resume(run, rows, by=who(), renewed=by_new, reason=reason))


def _warn(run: Run, state: RowState) -> None:
    """Of rows that a later run has delivered."""
    with show_errors():
        if since := delivered_since.of(run).states.get(state, 0):
            text = f"A later run has delivered {_rows(since)} of these: sent again, they may be there twice."
            st.html(notice("warn", text))


@st.dialog("Call unknown rows done?")
def _mark(run: Run) -> None:
    st.text(
        f"{_n(run.counts[RowState.UNKNOWN])} rows will count as done, on your word that the API acted on them. "
        "This cannot be taken back. What the API answered stays unknown."
    )
    _confirm("Mark as done", lambda: actions.mark_done(run, by=who()))


@st.dialog("Delete this run?")
def _delete(run: Run) -> None:
    st.text(
        f"The run, what became of its {_n(run.total)} rows, and the uploaded file are removed for good. "
        "What the API has received stays there. Download the results first if you need them."
    )
    _confirm("Delete for good", lambda: actions.delete(run, by=who()), then="runs.py")


def _confirm(label: str, act: Callable[[], object], *, then: str = "", **query: str) -> None:
    with st.container(horizontal=True):
        sure = st.button(label, type="primary", key="sure")
        if st.button("Leave it", key="leave"):
            st.rerun()
    if not sure:
        return
    try:
        act()
    except RowrelayError as exc:
        st.html(notice("warn", exc.message, exc.hint, "Nothing was changed."))
        return
    cached.forget_run()
    if then:
        st.switch_page(then, query_params=query)
    st.rerun()


def _rows(count: int, what: str = "") -> str:
    return f"{_n(count)} {what + ' ' if what else ''}row{'' if count == 1 else 's'}"


def _n(count: int) -> str:
    return cached.locale().number(count)
