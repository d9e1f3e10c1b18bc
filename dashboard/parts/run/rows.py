"""The lower half of the Run page: its rows, a hundred at a time."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.parts import cached, theme
from dashboard.parts.address import ask, query_number
from dashboard.parts.cached import locale, show_errors
from dashboard.parts.run import open_row, reasons, to_rows
from dashboard.rows.book import Rowbook
from dashboard.rows.question import WRONG, Found, Page, Question
from dashboard.words import ORDER, ROW, SKIPPED
from flows.errors import StackError
from flows.ledger.run import Run
from flows.records import RowState
from flows.sheet import plain

_MOST_CHARACTERS = 300
_OF_ONE_RUN = ("state", "search", "in", "sort", "down", "open_row", "typed", "picked", "question")


def show(run: Run) -> None:
    """Filters, a page of rows, the open row."""
    st.header("Rows", anchor="rows")
    if st.session_state.setdefault("rows_of", run.id) != run.id:  # filters belong to the run that they were set for
        st.session_state["rows_of"] = run.id
        for name in _OF_ONE_RUN:
            st.session_state.pop(name, None)
    question = _question(run, _columns_of(run))
    live = run.busy and not question.search and not question.sort

    @st.fragment(run_every=5.0 if live else None)
    def rows() -> None:
        with show_errors(wake=True):
            if (now := cached.run(run.id)) is not None:
                _page(cached.rowbook(now), question)

    rows()
    to_rows.follow()


def _columns_of(run: Run) -> list[str]:
    """The columns that can be searched: those that were seen last, where the ledger is away."""
    try:
        columns = list(cached.definition(run.id, run.facts.epoch).column_names)
    except StackError:
        of, columns = st.session_state.get("columns", ("", []))
        if of != run.id:
            raise
    st.session_state["columns"] = (run.id, columns)
    return columns


def _question(run: Run, columns: list[str]) -> Question:
    # What can be chosen are plain words, because they are what stands in the address; all of them at any time, so
    # that a link to the unknown rows is one before there are any. Few pipelines have accepted ones.
    accepts = run.counts[RowState.ACCEPTED] or RowState.ACCEPTED in (st.session_state.get("state") or [])
    pills = [str(state) for state in ORDER if accepts or state is not RowState.ACCEPTED]
    chosen = st.pills(
        "State",
        [*pills, *([SKIPPED.word] if run.skipped else [])],
        selection_mode="multi",
        key="state",
        bind="query-params",
        label_visibility="collapsed",
    )
    left, middle, right, last = st.columns([2.4, 1.2, 1.2, 0.9], vertical_alignment="bottom")
    search = left.text_input(
        "Search",
        key="search",
        bind="query-params",
        placeholder="Text, or a number like 17 or 17-20",
        icon=":material/search:",
    )
    places = {"anywhere": "", "row number": "@row", "line number": "@line"} | {_unlike(name): name for name in columns}
    column = middle.selectbox("in", list(places), key="in", bind="query-params")
    sorts = {
        "row": "", "status": "@status", "attempts": "@attempts", "time taken": "@took_seconds", "when": "@at",
    }  # fmt: skip
    sorts |= {_unlike(name): name for name in columns}
    sort = right.selectbox("Sort by", list(sorts), key="sort", bind="query-params")
    descending = last.toggle("Descending", key="down", bind="query-params")
    # To people a skipped row is not a rejected one, which the ledger has it for.
    states = tuple(WRONG if state == RowState.REJECTED else state for state in chosen)
    reason = reasons.chosen()
    return Question(
        states, (search or "").strip(), places.get(column, ""), sorts.get(sort, ""), bool(descending), reason
    )


def _unlike(name: str) -> str:
    """A column's name so that it is no other choice, and not empty."""
    own = ("anywhere", "row number", "line number", "row", "status", "attempts", "time taken", "when")
    return f"{name} (column)" if name in own or not name.strip() else name


def _page(book: Rowbook, question: Question) -> None:
    run = book.run
    if st.session_state.setdefault("question", question) != question:
        st.session_state["question"] = question
        ask(page="")  # another question, another first page
    number = query_number("page") or 1
    # While it is live, all tabs share one copy for a few seconds; at rest, what has changed is seen at once.
    moved = () if run.busy else tuple(run.counts.values())
    page = cached.page(run.id, question, number, moved, book)
    if number > page.pages:  # an address of before a filter, or typed
        page = cached.page(run.id, question, page.pages, moved, book)
    at = locale()
    if not page.rows:
        st.html(theme.empty("No row fits.", "Take away a filter, or search for less."))
        return
    if page.note:
        st.caption(page.note)
    st.caption("Click a row to see its request and what the API said.")
    picked = st.dataframe(
        _frame(page, book, at),
        hide_index=True,
        on_select="rerun",
        selection_mode="single-cell",
        key=f"rows-{run.id}-{page.number}-{hash(question)}",
        column_config=_columns(book),
        height=min(420, 38 + 35 * len(page.rows)),
        alt="Rows of this run and what became of them",
    )
    _pages(page, question, at, run.total)
    cell = next(iter(picked.selection.cells), None)
    if cell != st.session_state.get("picked"):  # otherwise a row that was closed would open again
        st.session_state["picked"] = cell
        if cell is not None and cell[0] < len(page.rows):
            ask(row=page.rows[cell[0]].record.row)
    open_row.show(book, at)


def _pages(page: Page, question: Question, at: Any, total: int) -> None:
    first = (page.number - 1) * 100 + 1
    text = f"{at.number(first)}–{at.number(first + len(page.rows) - 1)} of {at.number(page.matching)} row"
    text += "s" if page.matching != 1 else ""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.caption(text)
        if page.pages > 1:
            key = f"page-of-{page.pages}-{hash(question)}"
            st.pagination(page.pages, key=key, default=page.number, on_change=_turn, args=(key,))
        # The table is drawn on a canvas, which neither a keyboard nor a screen reader gets far with.
        typed = st.number_input("Open row", 1, total, None, key="open_row", placeholder="its number", width=170)
    if typed != st.session_state.get("typed"):
        st.session_state["typed"] = typed
        if typed is not None:
            ask(row=int(typed))


def _turn(key: str) -> None:
    """Called before this part is drawn anew, so that a page is drawn once and not the one before it first."""
    number = st.session_state[key]
    ask(page=number if number > 1 else "")


def _frame(page: Page, book: Rowbook, at: Any) -> pd.DataFrame:
    columns, kept = book.definition.column_names, book.definition.kept
    first = [f"a:{name}" for name in book.definition.key or columns[:1]]
    table: list[dict[str, Any]] = []
    troubled = any(found.why for found in page.rows)
    in_file = book.names_in_file()
    for found in page.rows:
        record, shown = found.record, SKIPPED if found.skipped else ROW[found.record.state]
        line: dict[str, Any] = {"row": record.row, "state": f"{shown.sign} {shown.word}"}
        cells = {f"a:{name}": _short(_value(found, name, in_file)) for name in columns}
        line |= {name: cells.pop(name) for name in first}  # whose row it is: seen on a phone, too
        if troubled:
            line["why"] = _short(found.why)
        line |= cells
        line |= {f"b:{name}": _short(record.kept.get(name)) for name in kept}
        line |= {"status": str(record.status or ""), "attempts": str(record.attempts or "")}
        line["line"] = found.stands.removeprefix("line ")
        table.append(line)
    return pd.DataFrame(table)


def _columns(book: Rowbook) -> dict[str, Any]:
    config: dict[str, Any] = {
        "row": st.column_config.NumberColumn("row", width=70, format="localized", pinned=True),
        "line": st.column_config.TextColumn("line" if book.run.facts.places.kind == "csv" else "place", width=90),
        "state": st.column_config.TextColumn("state", width=110),
        "status": st.column_config.TextColumn("status", width=70),
        "attempts": st.column_config.TextColumn("attempts", width=80),
        "why": st.column_config.TextColumn("reason", width="large"),
    }
    for name in book.definition.column_names:
        config[f"a:{name}"] = st.column_config.TextColumn(_label(name), width=_width(book, name))
    for name in book.definition.kept:
        config[f"b:{name}"] = st.column_config.TextColumn(_label(name), width="small")
    return config


def _width(book: Rowbook, name: str) -> Any:
    column = book.definition.columns.get(name)
    return "medium" if column is None or column.type == "str" else "small"


def _label(name: str) -> str:
    return name if name.strip() else "(no name)"


def _value(found: Found, name: str, in_file: dict[str, str]) -> Any:
    return found.values.get(name, found.values.get(in_file.get(name, name)))


def _short(value: Any) -> str:
    text = plain(value)
    return text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + " …"
