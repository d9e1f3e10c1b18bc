"""To read a file otherwise than it was read: encoding, delimiter, header, sheet; with a look at its first rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.connections import settings
from dashboard.parts.html import tag
from dashboard.parts.send.anew import check_anew
from dashboard.parts.theme import notice
from dashboard.words import CONTROLS, MERGED, OTHERWISE, by_name, encoding_in_words, on_page, visible
from flows.errors import FileError
from flows.ledger.run import Run
from flows.pipeline.definition import Definition
from flows.pipeline.file_form import SHEETS, FileForm
from flows.source.header import DELIMITERS, Called
from flows.source.preview import Line, Look, look
from flows.source.readings import COMMON
from flows.storage.located import opened
from flows.storage.storage import scratch

_ROWS = 6
_NARROW: dict[str, Any] = {"row": st.column_config.NumberColumn("row", width=50, pinned=True)}
Keys = dict[str, Any]  # of `source` in a definition


def offer(run: Run, definition: Definition, *, asks: bool = False) -> None:
    """A part of the page that can be opened; `asks`: it is open, since the file could not be read as it was.

    Nothing where the file is not there any more, of which others speak.
    """
    said = definition.source.but(run.facts.said)
    with suppress(FileError):
        before = _looked(run, definition, said) if asks else None
        part = st.expander(OTHERWISE, expanded=asks, on_change="rerun", key=f"otherwise-{run.id}")
        if part.open:
            with part:
                _choose(run, definition, said, before or _looked(run, definition, said))


@st.cache_data(ttl=60, show_spinner=False, max_entries=50)
def _look(file: str, form: str, pipeline: str, _definition: Definition) -> Look:
    del pipeline
    with opened(file, settings(), _definition) as path, scratch(settings().data) as folder:
        most, wanted = settings().max_upload_bytes, Called.of(_definition).names(_definition.column_names)
        return look(path, FileForm.model_validate_json(form), wanted=wanted, max_bytes=most, scratch=folder)


def _looked(run: Run, definition: Definition, form: FileForm) -> Look:
    """The first rows of a run's file, read so. Raises FileError where it is not to be reached."""
    return _look(run.file, form.model_dump_json(exclude_none=True), run.pipeline, definition)


def _choose(run: Run, definition: Definition, said: FileForm, before: Look) -> None:
    _sheets(run, before)
    chosen = _chosen(run, said, before)
    now = _looked(run, definition, said.but(FileForm(**chosen))) if chosen else before
    _shown(run, now)
    if st.button("Check it so", key="read-so", type="primary", disabled=not chosen or bool(now.problem)):
        check_anew(run, **chosen)


def _sheets(run: Run, found: Look) -> None:
    """The sheets of a workbook, where nobody said which and more than one could be meant."""
    if len(found.sheets) < 2 or found.form.sheet is not None:
        return
    for at, tab in enumerate(found.sheets):
        with st.container(border=True):
            st.html(tag("strong", tab.name))
            st.dataframe(
                _numbered(tab.top), hide_index=True, column_config=_NARROW, alt=f"The first rows of the sheet {at + 1}"
            )
            if st.button(f"Take sheet {at + 1}", key=f"sheet-{at}"):
                check_anew(run, sheet=tab.name)


def _chosen(run: Run, said: FileForm, seen: Look) -> Keys:
    """What is chosen otherwise than was said before, by key."""
    kind = seen.form.kind or "csv"
    found: Keys = {}
    with st.container(horizontal=True):
        if kind == "csv":
            found["encoding"] = _one_of(run, "encoding", COMMON, said.encoding, encoding_in_words)
            found["delimiter"] = _one_of(run, "delimiter", DELIMITERS, said.delimiter, DELIMITERS.get)
        if kind in SHEETS:
            found["sheet"] = _one_of(run, "sheet", [tab.name for tab in seen.sheets], said.sheet, visible)
            found["merged"] = _merged(run, said.merged or "refuse")
    if kind == "json":
        found["path"] = _one_of(run, "path", seen.lists, said.path, visible, others=True)
    if kind == "csv" or kind in SHEETS:
        with st.container(horizontal=True):
            found["header_row"] = _number(run, "header_row", said.header_row, least=1)
            found["skip_footer"] = _number(run, "skip_footer", said.skip_footer)
    return {key: value for key, value in found.items() if value is not None and value != getattr(said, key)}


def _one_of(
    run: Run,
    name: str,
    options: Iterable[str],
    now: object,
    words: Callable[[str], str | None],
    *,
    others: bool = False,
) -> str | None:
    """One of several, or as it is found; `others`: one may be typed that is not among them."""
    names: list[str | None] = [None, *dict.fromkeys([*([now] if isinstance(now, str) else []), *options])]
    return st.selectbox(
        CONTROLS[name], names, index=names.index(now) if isinstance(now, str) else 0, key=f"{name}-{run.id}",
        format_func=lambda each: "As it is found" if each is None else words(each) or each, accept_new_options=others,
    )  # fmt: skip


def _merged(run: Run, now: str) -> str | None:
    """What becomes of merged cells; None: what was said before."""
    chosen = st.selectbox(
        CONTROLS["merged"], list(MERGED), list(MERGED).index(now), key=f"merged-{run.id}",
        format_func=lambda each: MERGED[each],
    )  # fmt: skip
    return chosen if chosen != now else None


def _number(run: Run, name: str, now: int | None, *, least: int = 0) -> int | None:
    return st.number_input(
        CONTROLS[name], least, 10_000, now, key=f"{name}-{run.id}", width=260, placeholder="As it is found"
    )


def _shown(run: Run, seen: Look) -> None:
    """How the file reads, or why it does not; and its first rows as they stand, where they are not the same."""
    if seen.problem:
        st.html(notice("warn", by_name(seen.problem), on_page(seen.hint) if not seen.readings else ""))
    if seen.columns:
        st.html(tag("div", f"The first rows, {_as(seen)}", cls="rr-label"))
        st.dataframe(_table(seen.columns, seen.rows[:_ROWS]), hide_index=True, alt="The first rows, read so")
    if seen.top and (seen.problem or (seen.form.header_row or 1) > 1 or len(seen.columns) == 1):
        st.html(tag("div", "As they stand in the file", cls="rr-label"))
        st.dataframe(
            _numbered(seen.top), hide_index=True, column_config=_NARROW, alt="The first rows as they stand in the file"
        )


def _as(seen: Look) -> str:
    """How they were read, in words."""
    form = seen.form
    words = [
        f"as {encoding_in_words(form.encoding)}" if form.encoding else "",
        f"with a {DELIMITERS.get(form.delimiter, form.delimiter)} between the cells" if form.delimiter else "",
        f"of the sheet {visible(str(form.sheet))}" if form.sheet else "",
        f"under row {form.header_row}" if (form.header_row or 1) > 1 else "",
    ]
    return ", ".join(word for word in words if word) or "read so"


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
