"""To read a file otherwise than it was read: encoding, delimiter, header, sheet; with a look at its first rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.parts import cached
from dashboard.parts.html import tag
from dashboard.parts.send.anew import check_anew
from dashboard.parts.theme import notice
from dashboard.words import by_name, encoding_in_words
from flows.ledger.run import Run
from flows.pipeline.definition import Definition
from flows.pipeline.file_form import SHEETS, FileForm
from flows.source.header import DELIMITERS
from flows.source.preview import Line, Look
from flows.source.readings import COMMON

Keys = dict[str, Any]  # of `source` in a definition


def offer(run: Run, definition: Definition, *, asks: bool = False) -> None:
    """A part of the page that can be opened; `asks`: it is open, since the file could not be read as it was."""
    part = st.expander("Read it otherwise", expanded=asks, on_change="rerun", key=f"otherwise-{run.id}")
    if not part.open:
        return
    with part:
        before = cached.look(run, definition.source.but(run.facts.said))
        _sheets(run, before)
        chosen = _chosen(run, before)
        now = cached.look(run, definition.source.but(run.facts.said).but(FileForm(**chosen))) if chosen else before
        _shown(run, now)
        if st.button("Check it so", key="read-so", type="primary", disabled=not chosen or bool(now.problem)):
            check_anew(run, **chosen)


def _sheets(run: Run, look: Look) -> None:
    """The sheets of a workbook, where nobody said which and more than one could be meant."""
    if len(look.sheets) < 2 or look.form.sheet is not None:
        return
    for at, tab in enumerate(look.sheets):
        with st.container(border=True):
            st.html(tag("strong", tab.name))
            st.dataframe(_numbered(tab.top), hide_index=True, alt=f"The first rows of the sheet {at + 1}")
            if st.button(f"Take sheet {at + 1}", key=f"sheet-{at}"):
                check_anew(run, sheet=tab.name)


def _chosen(run: Run, look: Look) -> Keys:
    """What is chosen otherwise than it is now, by key."""
    kind = look.form.kind or "csv"
    if kind == "csv":
        with st.container(horizontal=True):
            found: Keys = {"encoding": _encoding(run, look), "delimiter": _delimiter(run, look)}
    elif kind in SHEETS:
        found = {"sheet": _sheet(run, look)}
    else:
        return {}
    with st.container(horizontal=True):
        found["header_row"] = _number(
            run, "Row that names the columns", "header", look.form.header_row or None, least=1
        )
        found["skip_footer"] = _number(run, "Rows at the end that are none", "footer", look.form.skip_footer or 0)
    now = look.form.stated
    return {key: value for key, value in found.items() if value is not None and value != (now.get(key) or 0)}


def _encoding(run: Run, look: Look) -> str | None:
    names = list(dict.fromkeys([*([look.form.encoding] if look.form.encoding else []), *COMMON]))
    return st.selectbox(
        "Encoding", names, index=0 if look.form.encoding else None, format_func=encoding_in_words,
        placeholder="Choose an encoding", key=f"encoding-{run.id}",
    )  # fmt: skip


def _delimiter(run: Run, look: Look) -> str | None:
    found = look.form.delimiter
    signs = list(DELIMITERS)
    return st.selectbox(
        "Between the cells", signs, index=signs.index(found) if found in signs else None,
        format_func=lambda sign: DELIMITERS[sign], placeholder="Choose a delimiter", key=f"delimiter-{run.id}",
    )  # fmt: skip


def _sheet(run: Run, look: Look) -> str | None:
    names = [tab.name for tab in look.sheets]
    now = look.form.sheet
    return st.selectbox(
        "Sheet", names, index=names.index(now) if now in names else None, placeholder="Choose a sheet",
        key=f"sheet-{run.id}",
    )  # fmt: skip


def _number(run: Run, label: str, name: str, now: int | None, *, least: int = 0) -> int | None:
    return st.number_input(label, least, 10_000, now, key=f"{name}-{run.id}", width=220)


def _shown(run: Run, look: Look) -> None:
    """How the file reads, or why it does not; and its first rows as they stand, where they are not the same."""
    if look.problem:
        st.html(notice("warn", by_name(run, look.problem), look.hint if not look.readings else ""))
    if look.columns:
        st.html(tag("div", "The first rows, read so", cls="rr-label"))
        st.dataframe(_table(look.columns, look.rows), hide_index=True, alt="The first rows of the file, read so")
    if look.top and (look.problem or (look.form.header_row or 1) > 1 or len(look.columns) == 1):
        st.html(tag("div", "The same rows as they stand in the file", cls="rr-label"))
        st.dataframe(_numbered(look.top), hide_index=True, alt="The first rows as they stand in the file")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> pd.DataFrame:
    """Rows under their header, whose names need not be different ones."""
    width = len(columns)
    names = [name if name and columns.index(name) == at else f"{name} ({at + 1})" for at, name in enumerate(columns)]
    return pd.DataFrame([[*row, *[""] * width][:width] for row in rows], columns=names)


def _numbered(lines: Sequence[Line]) -> pd.DataFrame:
    """Rows as they stand, with their numbers."""
    width = max((len(line.cells) for line in lines), default=0)
    names = ["row", *map(str, range(1, width + 1))]
    return pd.DataFrame(
        [[line.number, *line.cells, *[""] * (width - len(line.cells))] for line in lines], columns=names
    )
