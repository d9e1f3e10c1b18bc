"""Check a file once more, read otherwise than before, as a run of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from dashboard import starting
from dashboard.parts.address import ask
from dashboard.parts.cached import who
from dashboard.parts.theme import notice
from flows.errors import RowrelayError
from flows.ledger.run import Run


def check_anew(run: Run, mapping: Mapping[str, str] | None = None, **keys: Any) -> None:
    """Check the file with what was said of it before and is said now, by the keys of `source`; and go there."""
    how = starting.How.of(run)
    try:
        how = replace(how, mapping=mapping) if mapping is not None else how.but(**keys)
        again = starting.check(run.pipeline, run.file, by=who(), how=how)
    except RowrelayError as exc:
        st.html(notice("warn", exc.message, exc.hint))
        return
    ask(run=again)
    st.rerun()
