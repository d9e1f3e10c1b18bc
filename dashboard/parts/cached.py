"""What the pages read: short-lived copies shared by all tabs, and one calm way to say that something is away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import streamlit as st

from dashboard import absent, run_list, signin, starting
from dashboard.absent import NotBegun
from dashboard.connections import client, pipelines, settings, view
from dashboard.files import inbox
from dashboard.files.fitting import fitting
from dashboard.parts import theme
from dashboard.parts.html import Markup, tag
from dashboard.parts.locale import Locale
from dashboard.parts.run import charts
from dashboard.parts.run.charts import Chart
from dashboard.prefect_api import health, schedules, sending, server
from dashboard.prefect_api.health import Service
from dashboard.prefect_api.schedules import Schedule
from dashboard.prefect_api.sending import Sending
from dashboard.rows import across, choice
from dashboard.rows import groups as grouped
from dashboard.rows.across import Hit
from dashboard.rows.book import Rowbook
from dashboard.rows.causes import Cause
from dashboard.rows.causes import causes as causes_of
from dashboard.rows.groups import Groups, State
from dashboard.rows.question import Page, Question
from dashboard.run_list import RunFilter
from dashboard.words import by_name
from flows.credentials.account import Standing
from flows.delivery import renewal
from flows.errors import RowrelayError, RunNotFound, StackError
from flows.intake.fate import Taken
from flows.ledger.connection import translated
from flows.ledger.mends import Mend
from flows.ledger.run import Run
from flows.limit import status as limit_status
from flows.limit.status import LimitStatus
from flows.pipeline.definition import Definition
from flows.pipeline.reading import from_resolved
from flows.records import LimitTerms, Rejection, RowState
from flows.sheet import plain
from flows.words import limit_words

# Twenty tabs on one run cost as much as one: whoever asks within the time gets the same copy.
_NOW, _SOON, _LATER = 0.8, 3.0, 10.0
_SOME = 200  # rows that are looked at for what a page would like to say


@contextmanager
def show_errors(trying_again: bool = False, *, wake: bool = False) -> Iterator[None]:
    """Show our errors as a message on the page, in place of what could not be read.

    `wake`: where a service is away, the page is drawn anew when `awake` finds it back.
    """
    try:
        yield
    except RowrelayError as exc:
        st.html(away(exc, "This page looks again by itself." if trying_again or wake else ""))
        if wake and isinstance(exc, StackError):
            st.session_state["asleep"] = True


def awake() -> None:
    """Called by a part of the page that has just read something: what had failed beside it is drawn anew."""
    if st.session_state.pop("asleep", False):
        st.rerun()


def away(error: RowrelayError, *more: str) -> Markup:
    """An error in words: what happened first, technical detail last."""
    message = by_name(error.message)
    title, colon, detail = message.partition(": ")
    if not isinstance(error, StackError) or not colon:
        title, detail = message, ""
    small = tag("span", detail, cls="rr-muted rr-small") if detail else None
    return theme.notice("warn", title.rstrip(".") + ".", error.hint, *more, small)


def locale() -> Locale:
    """How the person at this screen reads numbers and times."""
    return Locale.of(st.context.locale, st.context.timezone)


def who() -> str:
    """Who acts, for a run's record."""
    if signin.required() and st.user.is_logged_in:
        return str(st.user.get("email") or st.user.get("name") or "dashboard")
    return "dashboard"


@st.cache_data(ttl=_NOW, show_spinner=False, max_entries=200)
def run(name: str) -> Run | None:
    """A run, None if the ledger has none of that name. Raises StackError."""
    reads = view()
    try:
        return reads.run(reads.resolve(name))
    except RunNotFound:
        return None


@st.cache_data(ttl=_SOON, show_spinner=False, max_entries=20)
def runs(first: int, count: int, wanted: RunFilter) -> tuple[list[Run], int, int]:
    """Some of the runs that fit, newest first; how many fit; and how many there are. Raises StackError."""
    every = view().count()
    if not wanted:
        return view().runs(first, count), every, every
    ids = _matching(wanted)
    found = view().these(ids[first : first + count])
    return run_list.find(found, wanted), len(ids), every


@st.cache_data(ttl=_LATER, show_spinner=False, max_entries=20)
def _matching(wanted: RunFilter) -> list[str]:
    """Looked up less often than a page of them is read: it costs a look at every run."""
    return run_list.matching(view(), wanted)


@st.cache_data(ttl=_LATER, show_spinner=False, max_entries=20)
def _in_rows(
    text: str, seconds: float, rows: tuple[tuple[str, int], ...], _runs: Sequence[Run]
) -> tuple[list[Hit], int]:
    del rows
    return across.look(view(), settings(), _runs, text, seconds=seconds)


def in_rows(text: str, seconds: float, runs: Sequence[Run]) -> tuple[list[Hit], int]:
    """Those of the runs that have a text in a row, and how many were looked through in this time. Raises StackError."""
    return _in_rows(text, seconds, tuple((run.id, run.finished_rows) for run in runs), runs)


def forget_runs() -> None:
    """Read the list of runs anew: something was done to one."""
    runs.clear()
    _matching.clear()


def forget_run() -> None:
    """Read everything about runs anew: something was done to this one."""
    run.clear()
    not_begun.clear()
    forget_runs()


@st.cache_data(ttl=60, show_spinner=False, max_entries=100)
def definition(run_id: str, epoch: int) -> Definition:
    """A run's own definition."""
    del epoch
    return from_resolved(view().definition(run_id))


@st.cache_data(ttl=_NOW, show_spinner=False, max_entries=100)
def chart(run_id: str, span: str) -> dict[int, dict[str, int]]:
    """Requests and outcomes by second or minute."""
    return view().chart(run_id, span)


@st.cache_data(ttl=_NOW, show_spinner=False, max_entries=100)
def events(run_id: str) -> list[tuple[float, str]]:
    """The last events, newest first."""
    return view().events(run_id, 50)


@st.cache_data(ttl=_SOON, show_spinner=False, max_entries=50)
def story(run_id: str) -> Chart:
    """Outcomes over time, worked out once for all tabs."""
    return charts.outcomes_over_time(chart(run_id, "seconds"), chart(run_id, "minutes"))


@st.cache_data(ttl=_LATER, show_spinner=False, max_entries=100)
def sendings(run_id: str) -> list[Sending]:
    """What was asked for and done of a run, oldest first. Raises StackError if Redis is away."""
    return sending.every(view().flows(run_id))


@st.cache_data(ttl=_LATER, show_spinner=False, max_entries=50)
def samples(run_id: str, rejected: int, rows_held: str = "") -> list[Rejection]:
    """The first rejections."""
    del rejected, rows_held
    return view().samples(run_id)


@st.cache_data(ttl=_SOON, show_spinner=False, max_entries=50)
def same_content(digest: str, but: str = "") -> list[Run]:
    """Other runs of files with this content that sent something, newest first."""
    return run_list.sent_before(view(), digest, but=but)


@st.cache_data(show_spinner=False, max_entries=50)
def mends(run_id: str, rows_held: str) -> list[Mend]:
    """The documents by which its rejected rows were mended; `rows_held` is another after each. Raises StackError."""
    del rows_held
    return view().mends(run_id)


def groups(run: Run, state: State, skip: int, limit: int) -> Groups:
    """Rows of a run by what is wrong with them, the largest groups first. Raises StackError, FileError."""
    return grouped.groups(rowbook(run), state, skip=skip, limit=limit)


@st.cache_data(show_spinner=False, max_entries=20)
def _causes(run_id: str, rows_held: str, most: int, _run: Run) -> list[Cause]:
    del run_id, rows_held
    return causes_of(groups(_run, "rejected", 0, most).items, definition(_run.id, _run.facts.epoch).columns)


def causes(run: Run, most: int) -> list[Cause]:
    """What rejected cells of the largest groups were likely meant to say. Raises StackError, FileError."""
    return _causes(run.id, run.facts.rows_held, most, run)


@st.cache_data(ttl=_NOW, show_spinner=False, max_entries=100)
def _asked(run_id: str, flow: str, epoch: int, _run: Run) -> bool:
    del run_id, flow, epoch
    return bool(starting.asked(_run))


def waits(run: Run) -> bool:
    """Whether something was asked of the run, and nobody delivers it yet. Never raises: a guess is no reason to."""
    flow = run.facts.asked
    try:
        return bool(flow) and not run.busy and _asked(run.id, flow, run.facts.epoch, run)
    except RowrelayError:
        return False


@st.cache_data(ttl=_SOON, show_spinner=False, max_entries=50)
def not_begun(run_id: str) -> NotBegun:
    """What Prefect knows of a run that the ledger does not have. Raises RunNotFound, RunDeleted, StackError."""
    return absent.not_begun(run_id, RunNotFound("There is no such run."))


@st.cache_data(ttl=_NOW, show_spinner=False, max_entries=50)
def limit(name: str) -> LimitStatus:
    """How a limit stands. Raises StackError."""
    with translated():
        return limit_status.status(client(), name)


@st.cache_data(ttl=_NOW, show_spinner=False, max_entries=2)
def limits() -> list[LimitStatus]:
    """How all limits stand. Raises StackError."""
    with translated():
        return [limit_status.status(client(), name) for name in limit_status.names(client())]


@st.cache_data(ttl=_SOON, show_spinner=False, max_entries=2)
def services() -> list[Service]:
    """Redis, Prefect, runner."""
    return health.services()


@st.cache_data(ttl=_SOON, show_spinner=False, max_entries=2)
def accounts() -> list[Standing]:
    """How the tokens of the pipelines stand."""
    return health.accounts()


@st.cache_data(ttl=_SOON, show_spinner=False, max_entries=2)
def all_schedules() -> list[Schedule]:
    """All schedules. Raises StackError."""
    return schedules.every()


@st.cache_data(show_spinner=False, max_entries=100)
def taken_by(flow_run: str) -> list[Taken]:
    """What a look through an inbox that has ended came to. Raises StackError."""
    return server.taken_by(flow_run)


@st.cache_data(ttl=_SOON, show_spinner=False, max_entries=64)
def page(run_id: str, question: Question, number: int, counts: tuple[int, ...], _book: Rowbook) -> Page:
    """A page of rows. `counts` make it another page when rows have moved. Raises StackError, FileError."""
    del run_id, counts
    return choice.page(_book, question, number)


@st.cache_data(ttl=_SOON, show_spinner=False, max_entries=2)
def lying() -> inbox.Inbox:
    """What lies in the inbox."""
    return inbox.newest(settings().inbox)


def is_mended(run: Run) -> bool:
    """Whether the pipeline was changed since the run began, so that its failed rows may go by the new one."""
    return renewal.is_mended(run, view(), settings())


@st.cache_data(ttl=600, show_spinner=False, max_entries=500)
def says_undo(run_id: str) -> bool:
    """Whether the pipeline that a run began with says how to undo it."""
    return "undo" in view().definition(run_id)


@st.cache_data(ttl=60, show_spinner=False, max_entries=50)
def fitting_pipelines(file: str, but: str) -> list[str]:
    """Other pipelines that have the columns of a file."""
    others = dict(pipelines())
    return fitting(file, others.pop(but), others, settings()) if but in others else []


@st.cache_data(ttl=60, show_spinner=False, max_entries=50)
def pipelines_of(file: str) -> list[str]:
    """All pipelines that have the columns of an uploaded file."""
    every = pipelines()
    return fitting(file, next(iter(every.values())), every, settings())


def rowbook(run: Run) -> Rowbook:
    """The rows of a run."""
    return Rowbook(view(), run, definition(run.id, run.facts.epoch), settings())


@st.cache_data(show_spinner=False, max_entries=50)
def _cells(run_id: str, counts: tuple[int, ...], _book: Rowbook) -> list[str]:
    del run_id, counts
    states = (RowState.REJECTED, RowState.FAILED)
    numbers = _book.view.select(_book.run.id, states, _book.run.total)[:_SOME].tolist()
    return [plain(value) for found in _book.rows(numbers) for value in found.values.values()]


def cells_to_correct(run: Run) -> list[str]:
    """What stands in the first of the rows that a person has to correct. Raises StackError, FileError."""
    return _cells(run.id, tuple(run.counts.values()), rowbook(run))


def known_pipelines() -> dict[str, Definition]:
    """The pipelines by name. Raises DefinitionError."""
    return pipelines()


def pace(terms: LimitTerms) -> str:
    """The limit in words, its numbers as the reader writes them."""
    return limit_words(terms.windows, terms.in_flight, number=locale().number)
