"""Paste an answer of the API and see what it would mean: as `rowrelay answer` says it. Nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from dashboard import preview
from dashboard.connections import settings
from dashboard.parts.theme import facts, notice
from flows.client.meaning import NOBODY, Meaning, Of, headers_of, meaning
from flows.client.meaning_words import BUILT_IN, UNREAD, becomes, by_which, kept_in_words, limit_says, which, whole
from flows.errors import RowrelayError
from flows.pipeline.definition import Definition
from flows.pipeline.fault import Place
from flows.records import Row

_MOST_BYTES = 2 * 2**20  # that somebody pastes


def show(definition: Definition, rows: Sequence[Row] = (), *, lines: Mapping[Place, int] | None = None) -> None:
    """The fields, and what comes of them. `rows`: those of the first request; `lines`: where keys of the file stand."""
    box = st.expander("What would an answer mean?", on_change="rerun", key="answer")
    if not box.open:
        return
    with box:
        st.caption("Paste an answer of the API, from its documentation or from a test. Nothing is sent.")
        left, right = st.columns([1, 2])
        status = left.number_input("Status", 200, 599, 200, key="answer_status")
        choices = _choices(definition)
        asked = (
            right.selectbox("It answers", list(choices), key="answer_of") if len(choices) > 1 else next(iter(choices))
        )
        body = st.text_area("Body", key="answer_body", height=140, max_chars=_MOST_BYTES)
        headers = st.text_area(
            "Headers", key="answer_headers", height=68, placeholder="Retry-After: 30", help="One a line; may be empty"
        )
        of, step = choices[asked or next(iter(choices))]
        try:
            given = (body or "").encode()
            told = [line for line in (headers or "").splitlines() if line.strip()]
            compiled = preview.compiled_of(definition, settings())
            means = meaning(compiled, int(status), headers_of(told, given), given, rows, step=step, of=of)
        except RowrelayError as exc:
            st.html(notice("warn", exc.message, exc.hint))
            return
        _tell(means, definition, lines or {}, told_rows=bool(rows))


def _choices(definition: Definition) -> dict[str, tuple[Of, str]]:
    """What may be answered: words for people → (what it is, which step)."""
    steps = [step.name for step in definition.steps if step.request is not None]
    found: dict[str, tuple[Of, str]] = {f"step {name}": ("request", name) for name in steps}
    if not found:
        found["the request"] = ("request", "")
    if definition.reconcile is not None:
        found["the question about an unknown row"] = ("reconcile", "")
    if definition.poll is not None:
        found["the question about a job"] = ("poll", "")
    return found


def _tell(means: Meaning, definition: Definition, lines: Mapping[Place, int], *, told_rows: bool) -> None:
    st.html(
        facts(
            ("Means", whole(means)),
            ("By", which(means.rule, lines) if means.rule else BUILT_IN),
            ("Reason", means.reply.reason),
            ("Limit", limit_says(means, definition)),
        )
    )
    if means.unread:
        st.html(
            notice("info", UNREAD, "Check a file: on its page the answer is read for the rows of its first request.")
        )
    table = [
        {
            "row": "any" if each.row is NOBODY else str(each.row.row),
            "becomes": each.outcome.state.value if means.goes_on else becomes(each.outcome, means, definition),
            "kept": kept_in_words(each.outcome.kept),
            "reason": each.outcome.reason,
            "by": by_which(each, lines),
        }
        for each in means.rows
        if told_rows or each.outcome.kept or not means.goes_on
    ]
    if table:
        frame = pd.DataFrame(table)
        used = [name for name in frame if frame[name].astype(bool).any()]
        st.dataframe(frame[used], hide_index=True, alt="What the answer means for each row")
