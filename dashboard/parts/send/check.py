"""The second half of the Send page: what the check found, and the choice that follows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Literal

import streamlit as st

from dashboard import actions, preview, starting, target
from dashboard.connections import settings
from dashboard.parts import answer, apostrophes, cached, theme
from dashboard.parts.cached import locale, show_errors, who
from dashboard.parts.estimate import wait_seconds
from dashboard.parts.html import Markup, tag
from dashboard.parts.locale import size
from dashboard.parts.run.waiting import LATE_SECONDS, gone, status_link, take_back
from dashboard.parts.send import decide, mapping, mend, otherwise, reading, remember
from dashboard.parts.target import here_notice
from dashboard.parts.theme import notice, numbers
from dashboard.words import RUN, SEVERAL_READINGS, on_page, reason, visible
from flows.client.outlook import number_of_requests
from flows.errors import FileError, RowrelayError, RunNotFound, StackError
from flows.ledger.run import Run
from flows.limit.pace import expected_seconds
from flows.pipeline.definition import Definition
from flows.records import AS_SAID, Reason, Rejection, Row, RowState
from flows.words import duration

_OPEN = ("starting", "waits", "checking", "checked")  # what the Send page leads back to


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
        _remember(name, before, found)
        if found is None:
            _not_begun(name)
        elif before == "starting":
            _title(decide.name_of(found))
            st.html(notice("info", "The check is about to begin."))
        elif before == "checking":
            _checking(found)
        elif before == "waits":
            _waiting(found)
        elif before == "cancelling" and not found.total:
            _title(decide.name_of(found))
            st.html(notice("info", "Cancelled: the check is about to end."))
        elif before == "checked":
            _checked(found)
        elif found.total == 0:
            _refused(found)
        else:
            _sent(found)


def _remember(name: str, kind: str, run: Run | None) -> None:
    """Which check is open, for the Send page to lead back to it."""
    if kind in _OPEN:
        st.session_state["open_check"] = (name, decide.name_of(run) if run else "")
    elif (st.session_state.get("open_check") or ("",))[0] == name:
        st.session_state["open_check"] = None


def _title(text: str) -> None:
    st.html(tag("div", tag("h1", text), cls="rr-head"))


def _not_begun(name: str) -> None:
    _title("Checking the file")
    try:
        found = cached.not_begun(name)
    except RunNotFound as exc:
        st.html(gone(exc))
        decide.start_over()
        return
    flow, pipeline = found.flow, str(found.flow.parameters.get("pipeline") or "")
    if flow.ended:
        st.html(notice("info" if found.kind == "cancelled" else "bad", *found.words))
        decide.start_over(pipeline)
        return
    _be_patient(time.time() - flow.expected if flow.expected else 0.0)
    with st.container(horizontal=True):
        take_back(flow)
        decide.start_over(pipeline)


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
    _title(decide.name_of(run))
    _be_patient(time.time() - run.facts.asked_at)
    _leave(run)


def _leave(run: Run) -> None:
    with st.container(horizontal=True):
        if st.button("Cancel", icon=":material/stop:"):
            _do(lambda: actions.cancel(run, by=who()))
        decide.start_over(run.pipeline)


def _do(act: Callable[[], object]) -> None:
    try:
        act()
    except RowrelayError as exc:
        st.html(notice("warn", exc.message, exc.hint))
        return
    cached.run.clear()
    st.rerun()


def _checking(run: Run) -> None:
    _title(decide.name_of(run))
    done, total = run.facts.checked_bytes, run.facts.file_bytes
    at = locale()
    st.progress(min(1.0, done / total) if total else 0.0)
    st.text(
        f"{at.number(run.facts.checked_rows)} rows checked, {size(done)} of {size(total)}" if total else "Reading …"
    )
    _leave(run)


def _refused(run: Run) -> None:
    _title(decide.name_of(run))
    kind = run.kind
    if kind == "asks":
        ask = "Choose below the reading in which every letter is right."
        st.html(notice("warn", SEVERAL_READINGS, ask))
        reading.choose_encoding(run, run.facts.readings)
    elif kind == "stopped":
        _cannot_be_sent(run)
    elif kind == "interrupted":
        st.html(notice("warn", "The check was interrupted.", "Nothing was sent. Check the file again."))
    elif kind == "cancelled":
        st.html(notice("info", "The check was cancelled.", "Nothing was sent."))
    else:
        st.html(notice("info", f"The run is {RUN[kind].word}.", run.reason))
    with st.container(horizontal=True):
        again: Literal["primary", "secondary"] = "secondary" if kind in ("stopped", "asks") else "primary"
        if st.button("Check again", type=again, icon=":material/refresh:"):
            _do(lambda: starting.check_again(run, by=who()))
        decide.start_over(run.pipeline)


def _cannot_be_sent(run: Run) -> None:
    """Why, and the ways on: another pipeline, another reading, another name for its columns."""
    definition = cached.definition(run.id, run.facts.epoch)
    needed = sum(not column.optional for column in definition.columns.values())
    narrow = len(run.facts.header) < needed  # its header is elsewhere, or something else stands between its cells
    if not run.facts.header:
        st.html(notice("bad", "This file cannot be sent.", *reason(run)))
    elif narrow:
        ask = "Does the header stand further down, or is something else between the cells? Say so below."
        st.html(notice("warn", f"The first row does not name the columns of {definition.name}.", ask))
    decide.offer_others(run)
    if run.facts.header and not narrow:
        mapping.choose(run)
    otherwise.offer(run, definition, asks=narrow)


def _sent(run: Run) -> None:
    _title(decide.name_of(run))
    going = run.busy or cached.waits(run)
    words = "This file is being sent." if going else f"The run of this file is {RUN[run.kind].word}."
    st.html(notice("good" if going else "info", words, "What becomes of its rows is on the page of the run."))
    with st.container(horizontal=True):
        if st.button("See the run", type="primary"):
            st.switch_page("run.py", query_params={"id": run.id})
        decide.start_over(run.pipeline)


def _checked(run: Run) -> None:
    definition = cached.definition(run.id, run.facts.epoch)
    ready = run.total - run.counts[RowState.REJECTED]
    terms = definition.terms
    shown, first = _planned(run, definition) if ready else ([], [])
    number = number_of_requests(definition, ready, first=len(shown[0].rows) if shown else 0)
    seconds = max(1.0, (expected_seconds(number.likely, terms.windows) or 0.0) + wait_seconds(terms))
    at = locale()
    left = "nothing to undo" if run.facts.undoes else "delivered before"
    _title(decide.name_of(run))
    st.html(tag("div", f"{run.pipeline} to {target.in_words(definition)}", cls="rr-muted rr-small"))
    st.html(
        numbers(
            ("Rows in the file", at.number(run.total), f"checked in {duration(max(1.0, run.facts.check_seconds))}"),
            ("Ready to send", at.number(ready), _share(ready, run.total)),
            ("Rejected", at.number(run.wrong), _share(run.wrong, run.total)),
            *([("Left out", at.number(run.skipped), left)] if run.skipped else []),
            *([("Requests", at.number(number.likely), number.words)] if _many(definition) and ready else []),
            *([("Will take at least", duration(seconds), f"at {cached.pace(terms)}")] if ready else []),
            *([("Done at the earliest", at.time(time.time() + seconds), "if sent now")] if ready else []),
        )
    )
    st.html(theme.bar({**run.shown_counts, RowState.WAITING: ready}, run.total))
    if here := here_notice(definition):
        st.html(here)
    mapping.said(run)
    if told := [on_page(each) for each in run.notices if not each.endswith(AS_SAID)]:
        st.html(notice("warn", "Look at this before you send.", *told))
    decide.show(run, definition, ready)
    otherwise.offer(run, definition)
    remember.show(definition, run.facts.said, run.facts.asked_map)
    mend.show(run, definition)
    if run.wrong:
        _rejected(run, definition)
    if ready:
        _first_requests(shown)
        if definition.auth is not None:
            st.caption(f"Let in by: {definition.auth.words}. Nothing was fetched for this check.")
        answer.show(definition, first)


def _rejected(run: Run, definition: Definition) -> None:
    samples = cached.samples(run.id, run.wrong, run.facts.rows_held)
    key = _places_of_key(run, definition)
    reading.choose_apostrophes(run, samples)
    st.header("Rejected rows", anchor=False)
    names = [*key, "what is wrong", "what stands there", "line" if _is_text(run) else "place"]
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in names)))
    place = _place_of(run)
    lines = (_wrong(each, why, key.values(), place(each.line, why.column)) for each in samples for why in each.reasons)
    table = tag("table", head, tag("tbody", *lines), cls="rr-table rr-stack", aria_label="Rejected rows, with reasons")
    st.html(tag("div", table, cls="rr-scroll rr-tall", tabindex=0))
    if run.wrong > len(samples):
        st.caption(f"The first {len(samples)} of {locale().number(run.wrong)}; the download has all.")
    apostrophes.explain(cell for each in samples if not each.skipped for cell in each.cells)


def _is_text(run: Run) -> bool:
    return run.facts.places.kind == "csv"


def _place_of(run: Run) -> Callable[[int, str], str]:
    """What says where a cell stands: its very place where the spool tells which column is which, else the row's."""
    if _is_text(run):
        return lambda line, column: f"line {locale().number(line)}"
    with suppress(FileError, StackError):
        return cached.rowbook(run).cell_places()
    return lambda line, column: run.facts.places.place(line)


def _wrong(row: Rejection, why: Reason, key: Iterable[int], place: str) -> Markup:
    """Whose row it is, what is wrong with it, and where: the first two are seen without scrolling on a phone, too."""
    cells = [row.cells[at] if at < len(row.cells) else "" for at in key]
    value = _cell(why.value) if why.column or why.value else None
    return tag(
        "tr",
        *(tag("td", tag("strong", _cell(cell))) for cell in cells),
        tag("td", why.check),
        tag("td", tag("span", why.column or "whole row", cls="rr-muted rr-small"), " ", value),
        tag("td", tag("span", place, cls="rr-muted rr-small")),
    )


def _cell(text: str) -> str:
    return visible(text) if text.strip() else "(empty)"


def _places_of_key(run: Run, definition: Definition) -> dict[str, int]:
    """Where the columns stand that say whose row it is."""
    if definition.key:
        with suppress(FileError, StackError):
            places = cached.rowbook(run).places()
            return {name: at for name in definition.key if (at := places.get(name)) is not None}
    return {}


def _many(definition: Definition) -> bool:
    """Whether a row is not simply a request."""
    return definition.batch is not None or bool(definition.steps)


def _planned(run: Run, definition: Definition) -> tuple[list[preview.Shown], list[Row]]:
    """(the first requests, the rows that the very first carries); none where the rows cannot be read, which is said.

    Made once: a batch may be large.
    """
    known = (run.id, run.facts.epoch, run.facts.rows_held)
    if st.session_state.get("planned", (None,))[0] != known:
        shown: list[preview.Shown] = []
        rows: list[Row] = []
        with show_errors():
            rows = cached.rowbook(run).spool.read(0, max(preview.MOST_SHOWN, definition.rows_per_request))
            shown = preview.first_requests(run.id, definition, rows, settings(), run.facts.places)
        carried = set(next((each.rows for each in shown if each.rows), ()))
        st.session_state["planned"] = (known, shown, [row for row in rows if row.row in carried])
    _, shown, rows = st.session_state["planned"]
    return shown, rows


def _first_requests(shown: Sequence[preview.Shown]) -> None:
    several = len(shown) > 1
    title = "The first requests, as they would go out" if several else "The first request, as it would go out"
    st.header(title, anchor=False)
    for at, each in enumerate(shown):
        with st.expander(each.title, expanded=at == 0 or bool(several and "step" in each.title)):
            st.html(theme.code(preview.as_text(each)))


def _share(part: int, whole: int) -> str:
    share = 100 * part / whole if whole else 0.0
    return f"{share:.0f} %" if part in (0, whole) or 1 <= share <= 99 else f"{min(share, 99.9):.1f} %"
