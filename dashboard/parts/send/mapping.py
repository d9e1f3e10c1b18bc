"""Which column of the file is which of the pipeline, where only a person can say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

import streamlit as st

from dashboard.files.template import rule_of
from dashboard.parts import cached
from dashboard.parts.html import tag
from dashboard.parts.send import remember
from dashboard.parts.send.anew import check_anew
from dashboard.parts.theme import notice
from dashboard.words import reason, visible
from flows.errors import FileError
from flows.ledger.run import Run
from flows.pipeline.definition import Definition
from flows.pipeline.proposal import Proposal, propose
from flows.source.header import COLUMNS_DIFFER, Called, match

_VALUES, _CHARS = 3, 30
_SAID = 600  # characters of what is missing and what is unknown


def choose(run: Run) -> None:
    """Each column of the pipeline beside those of the file, what is proposed chosen, and a button that checks so."""
    definition, names = cached.definition(run.id, run.facts.epoch), list(dict.fromkeys(run.facts.header))
    rules = {name: definition.columns.get(name) for name in definition.column_names}
    proposal = propose(rules, run.facts.header, run.facts.header_rows)
    _, missing, rest = reason(run)[0].partition(COLUMNS_DIFFER)
    what = f"Its columns are not those of {definition.name}."
    more = "What is chosen below is a proposal: look at the values, and change what is wrong."
    st.html(notice("warn", what, _sentence(rest.partition("). ")[2][:_SAID]) if missing else "", more))
    st.header("Which column is which?", anchor=False)
    chosen = {name: _column(run, definition, name, names, proposal) for name in rules}
    used = [name for name in chosen.values() if name is not None]
    if left := [name for name in names if name not in used]:
        st.caption("Left over in the file, and not sent: " + ", ".join(_named(name) for name in left))
    in_the_way = _in_the_way(definition, chosen)
    if in_the_way:
        st.html(notice("warn", in_the_way))
    mapping = _said(definition, run.facts.header, chosen, proposal)
    blocked = bool(in_the_way or not mapping)
    if st.button("Check with these columns", type="primary", icon=":material/fact_check:", disabled=blocked):
        check_anew(run, mapping=dict(mapping))
    if any(mapping.values()):
        remember.show(definition, run.facts.said, mapping)


def said(run: Run) -> None:
    """One line of what a person said of the columns, if somebody did."""
    if run.facts.asked_map:
        pairs = [f"{_named(name)} → {column or 'left out'}" for name, column in run.facts.asked_map.items()]
        st.html(tag("div", f"Columns as you said: {', '.join(pairs)}.", cls="rr-muted rr-small"))


def _column(run: Run, definition: Definition, name: str, names: Sequence[str], proposal: Proposal) -> str | None:
    """One column of the pipeline: its name and rule, the choice, and values of what is chosen."""
    said = {column: other for other, column in run.facts.asked_map.items() if other in names}
    pair = proposal.of(name)
    first = said.get(name) or (pair.name if pair else None)
    own, choice, values = st.columns([2, 2, 3], vertical_alignment="center")
    rule = tag("div", rule_of(definition.columns.get(name)), cls="rr-muted rr-small")
    own.html(tag("div", tag("strong", name), rule))
    chosen = choice.selectbox(
        f"Column of the file for {name}",
        [None, *names],
        index=names.index(first) + 1 if first in names else 0,
        format_func=lambda other: "No column" if other is None else _named(other),
        label_visibility="collapsed",
        key=f"map-{run.id}-{name}",
    )
    why = pair.why if pair and chosen == pair.name else ""
    shown = ", ".join(_values(run, chosen)) or ("No values" if chosen is not None else "")
    values.html(tag("div", shown, tag("div", why, cls="rr-muted rr-small")))
    return chosen


def _values(run: Run, name: str | None) -> list[str]:
    """Three values of a column of the file."""
    if name is None:
        return []
    at = run.facts.header.index(name)
    cells = [row[at] for row in run.facts.header_rows if at < len(row) and row[at].strip()]
    return [visible(cell if len(cell) <= _CHARS else cell[: _CHARS - 1] + "…") for cell in cells[:_VALUES]]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _named(name: str) -> str:
    return visible(name) if name.strip() else "(no name)"


def _in_the_way(definition: Definition, chosen: Mapping[str, str | None]) -> str:
    """Why these choices cannot be checked; "" if they can."""
    taken: dict[str, str] = {}
    for column, name in chosen.items():
        if name in taken:
            return f"{_named(name)} is chosen for {taken[name]} and for {column}. Choose it once."
        if name is not None:
            taken[name] = column
    missing = [name for name, column in definition.columns.items() if not column.optional and chosen[name] is None]
    return f"Choose a column for {', '.join(missing)}." if missing else ""


def _said(
    definition: Definition, header: Sequence[str], chosen: Mapping[str, str | None], proposal: Proposal
) -> dict[str, str]:
    """What has to be said of the file's columns: what they are not taken for anyway, or only look like."""
    wanted = dict.fromkeys(chosen, True)
    found: dict[str, int | None] = {}
    with suppress(FileError):  # more than what is missing may be unclear, and then everything is said
        found = match(list(header), wanted, ",", FileError, Called.of(definition)).positions
    used = set(chosen.values())
    no_column = [pair.name for pair in proposal.pairs if chosen[pair.column] is None and pair.name not in used]
    return dict.fromkeys(no_column, "") | {
        name: column
        for column, name in chosen.items()
        if name is not None and ((at := found.get(column)) is None or header[at] != name)
    }
