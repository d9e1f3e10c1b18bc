"""How a file is to be read, where only a person can say it: its encoding, and what its apostrophes are."""

from __future__ import annotations

import csv
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard.parts.send.anew import check_anew
from dashboard.parts.theme import notice
from dashboard.words import encoding_in_words
from flows.ledger.run import Run
from flows.records import Reading, Rejection
from flows.sheet import is_reason
from flows.source.content import GUARDED
from flows.source.header import find_delimiter
from flows.source.quoting import records
from flows.source.readings import COMMON

SHOWN_COLUMNS, SHOWN_CHARS = 20, 60
LIKELY = 3  # readings that are shown at once


def choose_encoding(run: Run, readings: Sequence[Reading]) -> None:
    """The readings that fit, each with its rows, and a button that checks the file so."""
    st.header("How does it read right?", anchor=False)
    tables = telling([table(reading.lines) for reading in readings])
    pairs = list(zip(readings, tables, strict=True))
    for at, (reading, sample) in enumerate(pairs[:LIKELY]):
        _reading(run, reading.encoding, sample, likeliest=at == 0)
    if pairs[LIKELY:]:
        with st.expander(f"{len(pairs[LIKELY:])} more ways to read it"):
            for reading, sample in pairs[LIKELY:]:
                _reading(run, reading.encoding, sample)
    others = [name for name in COMMON if name not in {reading.encoding for reading in readings}]
    with st.expander("None of them reads right"):
        other = st.selectbox(
            "Another encoding", others, index=None, placeholder="Choose an encoding", format_func=encoding_in_words
        )
        if st.button("Try it", disabled=other is None) and other:
            check_anew(run, encoding=other)


def _reading(run: Run, name: str, sample: pd.DataFrame, *, likeliest: bool = False) -> None:
    words = encoding_in_words(name)
    with st.container(border=True):
        st.dataframe(sample, hide_index=True, alt=f"Rows of the file, read as {words}")
        if st.button(f"Read it as {words}", key=f"reading-{name}", type="primary" if likeliest else "secondary"):
            check_anew(run, encoding=name)


def choose_apostrophes(run: Run, samples: Sequence[Rejection]) -> None:
    """What apostrophes are that may only guard cells against spreadsheets, if rows were rejected for them."""
    found = next((why for each in samples for why in each.reasons if why.check == GUARDED), None)
    if found is None:
        return
    st.html(
        notice(
            "warn",
            f"{found.column}: what is the apostrophe in {found.value}?",
            "Some programs put one before numbers, dates and formulas, so that spreadsheets leave them alone.",
            "Rows with such cells are rejected until you choose.",
        )
    )
    with st.container(horizontal=True):
        if st.button(f"Read {found.value[1:]}", help="Checks the file once more, without such apostrophes"):
            check_anew(run, apostrophes="remove")
        if st.button(f"Read {found.value}", help="Checks the file once more, with every apostrophe as it stands"):
            check_anew(run, apostrophes="keep")


def table(lines: Sequence[str]) -> pd.DataFrame:
    """Lines of a file as a table, the first of them as its header."""
    ended = [f"{line}\n" for line in lines]
    delimiter = find_delimiter(ended, None)
    rows = [_cells(line, delimiter) for line in ended]
    width = min(max(map(len, rows)), SHOWN_COLUMNS)
    names = [name if name and rows[0].index(name) == at else f"{name} ({at + 1})" for at, name in enumerate(rows[0])]
    names += [f"({at + 1})" for at in range(len(names), width)]
    cells = [[cell[:SHOWN_CHARS] for cell in (*row, *[""] * width)][:width] for row in rows[1:]]
    return pd.DataFrame(cells, columns=names[:width])


def telling(tables: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """The same tables, with what tells the readings apart first, and without the reasons that Rowrelay wrote."""
    shown = [each.loc[:, [not is_reason(str(name)) for name in each.columns]] for each in tables]
    width = min(each.shape[1] for each in shown)
    texts = [[(str(each.columns[at]), *each.iloc[:, at]) for at in range(width)] for each in shown]
    differ = [at for at in range(width) if any(other[at] != texts[0][at] for other in texts)]
    return [each.iloc[:, [*differ, *(at for at in range(each.shape[1]) if at not in differ)]] for each in shown]


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(records([line], delimiter), [])
    except csv.Error:  # the line is one of several of a record
        return line.split(delimiter)
