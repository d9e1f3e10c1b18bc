"""A row that is opened: what stands in it, its request, and what the API said."""

from __future__ import annotations

import streamlit as st

from dashboard import preview
from dashboard.parts import theme
from dashboard.parts.address import ask, query_number
from dashboard.parts.html import tag
from dashboard.parts.locale import Locale
from dashboard.parts.theme import facts
from dashboard.rows.book import Rowbook
from dashboard.rows.question import Found
from dashboard.words import ROW, SKIPPED
from flows.ledger.parcels import in_words
from flows.records import Row, RowState
from flows.sheet import plain


def show(book: Rowbook, at: Locale) -> None:
    """The row that the address names, over the page."""
    asked = query_number("row")
    if asked is None or not 1 <= asked <= book.run.total:
        return
    (found,) = book.rows([asked])
    title = f"Row {at.number(asked)}" + (f", {found.stands}" if found.line else "")
    st.dialog(title, width="medium", on_dismiss=_close)(_row)(book, found, at)


def _row(book: Rowbook, found: Found, at: Locale) -> None:
    record = found.record
    st.html(theme.chip(SKIPPED if found.skipped else ROW[record.state]))
    st.html(
        facts(
            ("Attempts", at.number(record.attempts)),
            (
                "Last attempt" if record.state is not RowState.WAITING else "Not before",
                at.time(record.at, seconds=True),
            ),
            ("Status", f"HTTP {record.status}" if record.status else "–"),
            (
                "Time to the answer",
                f"{record.took_seconds * 1000:.0f} ms" if record.took_seconds is not None else "–",
            ),
            *((name, plain(value)) for name, value in record.kept.items()),
        )
    )
    if found.place:
        rows = book.travelled_with(record.row)
        parcel = f"{found.place[0]}, at position {at.number(found.place[1])} (counted from 0)"
        alone = "none: it went alone"
        st.html(facts(("Parcel", parcel), ("Rows in it", in_words(rows) if len(rows) > 1 else alone)))
    if found.why:
        st.html(facts(("Why", found.why)))
    if found.changed:
        st.html(facts(*((f"{name} in the file", text) for name, text in found.changed.items())))
    if record.excerpt:
        st.html(tag("div", "What the API said", cls="rr-label"))
        st.html(theme.code(record.excerpt))
    _contents(book, found)


def _close() -> None:
    ask(row="")
    st.session_state["open_row"] = st.session_state["typed"] = None


def _contents(book: Rowbook, found: Found) -> None:
    if found.record.state is RowState.REJECTED:
        stands = "The row, as it was mended" if found.changed else "The row as it stands in the file"
        st.html(tag("div", stands, cls="rr-label"))
        st.html(theme.code("\n".join(f"{name}: {plain(value)}" for name, value in found.values.items())))
        return
    row = Row(found.record.row, found.line, found.values)
    parcel = book.parcel(row.row) if found.place else []
    shown = preview.sent_as(book.run, book.definition, row, found.record, book.settings, parcel)
    title = "The request that it went in" if len(parcel) > 1 else "Its requests" if len(shown) > 1 else "Its request"
    st.html(tag("div", f"{title}, secrets masked", cls="rr-label"))
    st.html(theme.code(preview.in_text(shown)))
