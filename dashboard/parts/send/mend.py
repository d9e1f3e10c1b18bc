"""Rejected rows mended on the page of a check: by value, cell by cell, taken back, and kept for later files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import actions
from dashboard.parts import cached
from dashboard.parts.cached import locale, show_errors, who
from dashboard.parts.html import tag
from dashboard.parts.send import proposed
from dashboard.parts.theme import notice
from dashboard.rows.groups import Group
from dashboard.rows.question import WRONG, Found, Question
from dashboard.words import visible
from flows.delivery.changes import as_map, read
from flows.errors import RowrelayError
from flows.ledger.mends import Mend, in_effect
from flows.ledger.run import Run
from flows.pipeline.definition import Definition

AT_ONCE = 10  # groups on a page: each has a box of its own
MOST = 10_000  # groups that are looked at, as many as one document may change
EMPTY, SKIP = "make it empty", "skip these rows"


def show(run: Run, definition: Definition) -> None:
    """What can be mended of a checked run, and what was; nothing where no row was ever rejected."""
    left = in_effect(cached.mends(run.id, run.facts.rows_held))
    if not (run.wrong or left) or run.facts.undoes:
        return
    st.header("Mend", anchor=False)
    st.caption(
        "The file stays as it is. Only the changed rows are checked again, and the results say what was changed."
    )
    _said(run)
    if run.wrong:
        by_value, by_cell = st.tabs(["By value", "Cell by cell"])
        with by_value, show_errors():
            _by_value(run, definition)
        with by_cell, show_errors():
            _by_cell(run, definition)
    if left:
        _done(run, definition, left)


def _said(run: Run) -> None:
    """What came of the latest document, until there is another one."""
    place = st.empty()  # always there: what comes below would be drawn as new things, beside the old ones
    said = st.session_state.get("mended")
    if said and said["run"] == run.id and said.setdefault("held", run.facts.rows_held) == run.facts.rows_held:
        place.html(notice(*said["words"]))


def _by_value(run: Run, definition: Definition) -> None:
    found, known = cached.groups(run, "rejected", 0, MOST), cached.causes(run, MOST)
    chosen, taken = proposed.choose(known, run.facts.rows_held[:12])
    if taken:
        _apply(run, [change for each in chosen for change in each.changes])
    covered = {(each.column, each.value) for cause in chosen for each in cause.groups}
    left = [each for each in found.items if (each.column, each.value) not in covered]
    if left:
        _by_hand(run, left, found.matching - len(found.items), proposes=bool(covered))


def _by_hand(run: Run, groups: Sequence[Group], more: int, *, proposes: bool) -> None:
    """Groups, ten at a time, each with a place for what it becomes. `more`: there are so many others."""
    pages = -(-len(groups) // AT_ONCE)
    number = min(pages, int(st.session_state.get(f"groups-{run.id}") or 1))
    first = (number - 1) * AT_ONCE
    some = groups[first : first + AT_ONCE]
    here = f"{run.facts.rows_held[:12]}-{number}-{hash(tuple(some)) & 0xFFFF}"
    if proposes:
        st.html(tag("div", tag("strong", "For you to say"), cls="rr-label"))
    with st.form(f"mend-{here}", border=False):
        for at, group in enumerate(some):
            _group(group, first + at + 1, f"{here}-{at}")
        pressed = st.form_submit_button("Apply", type="secondary" if proposes else "primary", icon=":material/check:")
    if pages > 1:
        st.caption(f"{locale().number(len(groups) + more)} groups, the largest first.")
        st.pagination(pages, key=f"groups-{run.id}", default=1)
    if pressed:
        _apply(run, [change for at, group in enumerate(some) if (change := _change(group, f"{here}-{at}"))])


def _group(group: Group, number: int, key: str) -> None:
    at = locale()
    with st.container(border=True):
        rows = f"{at.number(group.rows)} row{'' if group.rows == 1 else 's'}"
        stands = visible(group.value[:200]) if group.value.strip() else "(empty)"
        where = [tag("strong", stands), " in ", group.column] if group.column else ["the whole row"]
        st.html(tag("div", tag("strong", rows), ": ", *where, tag("span", f": {group.check}", cls="rr-muted")))
        if not group.by_value:
            why = "It is too long to be changed by its value" if group.cut else "Its cells cannot be changed by value"
            st.caption(f"{why}. The first is {group.place}; see Cell by cell.")
            return
        left, right = st.columns([1.4, 1], vertical_alignment="center")
        # What stands in a file must not stand in a label, which is Markdown.
        left.text_input(
            f"What group {number} becomes", key=f"becomes-{key}", value=None, placeholder="What it should be",
            label_visibility="collapsed",
        )  # fmt: skip
        right.pills(f"Or, for group {number}", [EMPTY, SKIP], key=f"or-{key}", label_visibility="collapsed")


def _change(group: Group, key: str) -> dict[str, Any] | None:
    """What a person has said of a group; None where nothing."""
    becomes, other = st.session_state.get(f"becomes-{key}"), st.session_state.get(f"or-{key}")
    change: dict[str, Any] = {"column": group.column, "value": group.value}
    if becomes:
        change["becomes"] = becomes
    elif other == EMPTY:
        change["becomes"] = ""
    if other == SKIP:
        change["skip"] = True
    return change if len(change) > 2 else None


def _by_cell(run: Run, definition: Definition) -> None:
    """A hundred rejected rows as a table whose cells can be typed over."""
    book, question = cached.rowbook(run), Question((WRONG,))
    pages = max(1, -(-run.wrong // 100))
    number = min(pages, int(st.session_state.get(f"cells-{run.id}") or 1))
    page = cached.page(run.id, question, number, (*run.counts.values(), hash(run.facts.rows_held)), book)
    in_file = {name: own for name, own in book.names_in_file().items() if name in definition.column_names}
    whole = [found for found in page.rows if len(found.values) == len(book.spool.manifest().header)]
    key = f"grid-{run.facts.rows_held[:12]}-{number}"
    st.data_editor(
        _table(whole, in_file),
        key=key,
        hide_index=True,
        disabled=["row", "reason"],
        column_config=_columns(in_file),
        height=min(420, 38 + 35 * max(1, len(whole))),
    )
    if len(whole) < len(page.rows):
        st.caption("Rows with too few or too many cells are not shown: correct them in the file.")
    edited = dict(st.session_state.get(key, {}).get("edited_rows", {}))
    changes = changes_of(edited, whole, in_file)
    cells = f"{len(changes)} cell{'' if len(changes) == 1 else 's'}" if changes else "cells"
    if st.button(f"Change {cells}", key="change-cells", type="primary", disabled=not changes):
        _apply(run, changes)
    if pages > 1:
        st.pagination(pages, key=f"cells-{run.id}", default=1)


def _table(rows: Sequence[Found], in_file: Mapping[str, str]) -> pd.DataFrame:
    """`a:` in front of the columns of the file, so that none is taken for one of ours."""
    lines = [
        {
            "row": found.record.row,
            "reason": found.why,
            **{f"a:{name}": found.values[own] for name, own in in_file.items()},
        }
        for found in rows
    ]
    return pd.DataFrame(lines, columns=["row", "reason", *(f"a:{name}" for name in in_file)])


def _columns(in_file: Mapping[str, str]) -> dict[str, Any]:
    row = st.column_config.NumberColumn("row", width=70, format="localized", pinned=True)
    reason = st.column_config.TextColumn("reason", width="medium")
    return {"row": row, "reason": reason} | {f"a:{name}": st.column_config.TextColumn(name) for name in in_file}


def changes_of(
    edited: Mapping[int, Mapping[str, Any]], rows: Sequence[Found], in_file: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The cells that were typed over, as changes; `edited` by position in the table, then by its column."""
    found: list[dict[str, Any]] = []
    for at, cells in sorted(edited.items()):
        row = rows[int(at)]
        for column, typed in cells.items():
            name, text = column.removeprefix("a:"), "" if typed is None else str(typed)
            if row.values[in_file[name]] != text:
                found.append({"row": row.record.row, "column": name, "becomes": text})
    return found


def _done(run: Run, definition: Definition, left: Sequence[Mend]) -> None:
    """What is in effect, the way back, and the way to have it done by the pipeline from now on."""
    at, last = locale(), left[-1]
    mended = run.facts.mended_rows
    words = f"{at.number(mended)} row{' is' if mended == 1 else 's are'} ready to send because of what was mended."
    st.html(tag("div", words, cls="rr-muted"))
    rows = last.changed + last.skipped
    label = f"Undo the last change ({at.number(rows)} row{'' if rows == 1 else 's'})"
    if st.button(label, key="undo-mend", icon=":material/undo:"):
        _do(run, {"undo": last.number})
    if kept := as_map(definition, left):
        with st.expander("Keep these changes for later files"):
            st.caption("Add these lines to the pipeline: it then reads these values so by itself.")
            st.code(kept, language="yaml")


def _apply(run: Run, changes: Sequence[dict[str, Any]]) -> None:
    if not changes:
        st.html(notice("info", "Nothing was changed.", "Say of a group what its value becomes, or skip its rows."))
        return
    _do(run, {"changes": list(changes)})


def _do(run: Run, document: dict[str, Any]) -> None:
    try:
        with st.spinner("Checking the changed rows …"):
            made = actions.mend(run, read(document), by=who())
    except RowrelayError as exc:
        st.html(notice("warn", exc.message, exc.hint, "Nothing was changed."))
        return
    st.session_state["mended"] = {"run": run.id, "words": _words(made)}
    cached.forget_run()
    st.rerun()


def _words(made: Mend) -> tuple[str, str, str]:
    at = locale()
    if made.undo is not None:
        return "info", "The last change is taken back.", ""
    skipped = f"{at.number(made.skipped)} row{' is' if made.skipped == 1 else 's are'} skipped."
    if not made.changed:
        return "info", skipped, ""
    left = made.changed - made.accepted
    first = f"{at.number(made.accepted)} row{' is' if made.accepted == 1 else 's are'} ready to send now."
    more = [f"{at.number(left)} of the changed rows {'is' if left == 1 else 'are'} still rejected."] if left else []
    more += [skipped] if made.skipped else []
    return "good" if made.accepted else "warn", first, " ".join(more)
